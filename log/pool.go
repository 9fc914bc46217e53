package log

import "sync"

// A pool has buffers for pumps. There are fewer buffers than pumps, because only one pump can write at a time.
type pool struct {
	mu   sync.Mutex
	cond sync.Cond
	free []*buffers // a stack, so that a quiet system keeps using the same memory
	more int        // how many may still be allocated
	line int        // the length of the longest line
}

// buffers are the buffers that a pump needs for one chunk.
type buffers struct {
	in   []byte // an incomplete line, and the bytes of one read
	out  []byte // the bytes of one write, and the line that does not fit into it any more
	head []byte
}

func newPool(n, line int) *pool {
	p := &pool{more: n, line: line}
	p.cond.L = &p.mu
	return p
}

// get returns buffers. It waits until there are free ones.
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

// put returns buffers to the pool.
func (p *pool) put(b *buffers) {
	p.mu.Lock()
	p.free = append(p.free, b)
	p.mu.Unlock()
	p.cond.Signal()
}
