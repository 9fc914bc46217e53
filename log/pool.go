package log

import "sync"

// A pool holds the buffers of pumps. There are fewer of them than pumps, because only one can write at a time.
type pool struct {
	mu   sync.Mutex
	cond sync.Cond
	free []*buffers // a stack, so that a quiet system keeps touching the same memory
	more int        // how many can still be made
	line int        // the longest line
}

// buffers are what a pump needs to carry one chunk.
type buffers struct {
	in   []byte // a line that has begun, and one read
	out  []byte // one write, and the line that was too much for it
	head []byte
}

func newPool(n, line int) *pool {
	p := &pool{more: n, line: line}
	p.cond.L = &p.mu
	return p
}

// get returns buffers; it waits until there are some.
func (p *pool) get() *buffers {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) == 0 {
		if p.more > 0 {
			p.more--
			return &buffers{
				in:  make([]byte, p.line+readSize),
				out: make([]byte, 0, writeSize+p.line+1),
			}
		}
		p.cond.Wait()
	}
	b := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return b
}

// put gives buffers back.
func (p *pool) put(b *buffers) {
	p.mu.Lock()
	p.free = append(p.free, b)
	p.mu.Unlock()
	p.cond.Signal()
}
