package log

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// readSize is how much is read at once. It is a little less than the capacity of a pipe, so that with prefixes it
// still fits into one write of writeSize, and that into the pipe behind: 64 KiB and a few prefixes would block the
// writer each time until the consumer has been scheduled.
const (
	readSize  = 56 << 10
	writeSize = 64 << 10
	pipeSize  = 64 << 10 // what a pipe holds unless somebody has changed that
)

// stdStream tells stdout from stderr where they do not share a pipe.
type stdStream uint8

const (
	stdoutStream stdStream = iota + 1
	stderrStream
)

func (s stdStream) String() string { return [...]string{"", "stdout", "stderr"}[s] }

// A pump carries what comes out of one pipe to the writer. While the pipe is empty it holds nothing but the line
// that has begun, and is parked in the poller.
type pump struct {
	s       *Stream
	r       *os.File
	kind    stdStream
	life    uint64
	after   <-chan struct{} // what must be closed before the first read; may be nil
	through chan struct{}   // closed when everything up to the cut, or the end, has been written
	done    chan struct{}   // closed at the end

	asked atomic.Int32 // cutAsked, stopAsked
	cut   bool         // the cut has been made
	eof   bool

	frame frame
	split splitter
	begun []byte // the line that has begun

	// For the count of what a consumer that has stopped has not taken; see abandon.
	waiting atomic.Int64 // lines that are being written
	behind  atomic.Int64 // lines that were read and wait for that
	midline atomic.Bool  // what was read ends within a line
}

// What a pump can be asked for, beside pumping.
const (
	cutAsked  = 1 // to write everything that is in the pipe now as whole lines, and go on
	stopAsked = 2 // the same, and to end
)

func newPump(s *Stream, r *os.File, kind stdStream) *pump {
	p := &pump{
		s: s, r: r, kind: kind,
		through: make(chan struct{}), done: make(chan struct{}),
		frame: newFrame(s.log.options, s.name, kind),
	}
	p.split = p.frame.splitter()
	return p
}

// ask asks for a cut or a stop. It does not block.
func (p *pump) ask(what int32) {
	for {
		old := p.asked.Load()
		if old >= what {
			return
		}
		if p.asked.CompareAndSwap(old, what) {
			break
		}
	}
	p.r.SetReadDeadline(time.Unix(0, 1)) // wakes it; it clears the deadline itself
}

// run pumps until the end.
func (p *pump) run() {
	if p.after != nil {
		<-p.after
		p.after = nil // it would keep the pumps of all earlier lives in memory
	}
	conn, err := p.r.SyscallConn()
	p.eof = err != nil
	step := p.step
	for !p.eof {
		if p.due() {
			stop := p.asked.Load() == stopAsked
			p.drain(conn)
			if stop {
				break
			}
		}
		switch err := conn.Read(step); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.r.SetReadDeadline(time.Time{})
		case err != nil:
			p.eof = true
		}
	}
	p.finish()
	p.r.Close()
	close(p.done)
	p.s.log.mu.Lock()
	delete(p.s.log.pumps, p)
	p.s.log.mu.Unlock()
}

// due reports whether something has been asked for that has not been done.
func (p *pump) due() bool {
	asked := p.asked.Load()
	return asked == stopAsked || asked == cutAsked && !p.cut
}

// step reads until the pipe is empty, and then reports false, so that the poller waits. That a read gets less than it
// asked for is not enough to know it: if the end of the pipe lies behind, the poller, which is edge-triggered, has
// told of it already, and will not again.
func (p *pump) step(fd uintptr) bool {
	for !p.due() {
		if n := p.read(int(fd), readSize); n == 0 {
			return p.eof
		}
	}
	return true
}

// drain reads what is in the pipe now, and no more: somebody may be writing all the time.
func (p *pump) drain(conn syscall.RawConn) {
	conn.Control(func(fd uintptr) {
		for left := buffered(fd); left > 0 && !p.eof; {
			n := p.read(int(fd), min(left, readSize))
			if n == 0 {
				break
			}
			left -= n
		}
	})
	p.finish()
}

// finish writes the line that has begun, and lets the next life begin.
func (p *pump) finish() {
	if len(p.begun) > 0 {
		b := p.s.pool.get()
		n := copy(b.in, p.begun)
		p.midline.Store(false)
		p.lines(b, b.in[:n], n, true)
		p.s.pool.put(b)
		p.begun = nil
	}
	if !p.cut {
		p.cut = true
		close(p.through)
	}
}

// read reads up to limit bytes, and sends off the lines that are complete. It returns how many bytes it read; at
// the end of the pipe it sets eof.
func (p *pump) read(fd, limit int) int {
	b := p.s.pool.get()
	defer p.s.pool.put(b)
	old := copy(b.in, p.begun)
	var n int
	var err error
	for {
		n, err = syscall.Read(fd, b.in[old:old+limit])
		if err != syscall.EINTR {
			break
		}
	}
	if n <= 0 {
		p.eof = err != syscall.EAGAIN
		return 0
	}
	p.s.bytes.Add(uint64(n))
	data := b.in[:old+n]
	p.midline.Store(data[len(data)-1] != '\n')
	rest := p.lines(b, data, old, false)
	p.begun = append(p.begun[:0], rest...)
	if len(rest) == 0 && cap(p.begun) > 1<<10 {
		p.begun = nil
	}
	return n
}

// lines sends off the lines in data, which is in b.in and known to hold no newline in its first scanned bytes, and
// returns the rest, which is a line that has begun. With last the rest is sent off too.
func (p *pump) lines(b *buffers, data []byte, scanned int, last bool) (rest []byte) {
	s := p.s
	now := time.Now()
	match := s.match.Load()
	if s.life.Load() != p.life {
		match = nil
	}
	b.head = p.frame.header(b.head[:0], now)
	out, lines := b.out[:0], 0
	kept, fresh := 0, 0 // data[:kept] is in the ring, the next fresh lines are not
	pos := 0
	plain := !p.frame.json && !s.quiet
	for {
		if plain && match == nil && !p.split.cut {
			var used, n int
			out, used, n = p.frame.copyLines(out, b.head, data[pos:], max(scanned-pos, 0), p.split.whole)
			pos += used
			lines += n
			fresh += n
		}
		n, used, partial, ok := p.split.next(data[pos:], max(scanned-pos, 0))
		if !ok {
			if !last || pos == len(data) {
				break
			}
			n, used = len(data)-pos, len(data)-pos
			p.split.cut = false
		}
		line := data[pos : pos+n]
		if match != nil {
			match = s.callMatch(match, line)
		}
		if partial {
			s.ring.add(now, p.kind, false, data[kept:pos], fresh)
			s.ring.add(now, p.kind, true, line, 1)
			kept, fresh = pos+n, 0
		} else {
			fresh++
		}
		pos += used
		if s.quiet {
			lines++
			continue
		}
		mark := len(out)
		out = p.frame.line(out, b.head, line, partial)
		if len(out) > writeSize && mark > 0 {
			p.behind.Store(int64(1 + bytes.Count(data[pos:], newline)))
			s.ring.add(now, p.kind, false, data[kept:pos], fresh)
			kept, fresh = pos, 0
			p.send(out[:mark], lines)
			out, lines = out[:copy(out, out[mark:])], 0
		}
		lines++
	}
	p.behind.Store(0)
	s.ring.add(now, p.kind, false, data[kept:pos], fresh)
	p.send(out, lines)
	return data[pos:]
}

// callMatch calls the match function and returns the one for the next line: it may have been taken away. One that
// panics is called no more; it must not end the supervisor.
func (s *Stream) callMatch(f *func(line []byte), line []byte) (next *func(line []byte)) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Printf("%s: match function failed: %v", s.name, r)
			s.match.CompareAndSwap(f, nil)
			next = nil
		}
	}()
	(*f)(line)
	return s.match.Load()
}

// send hands whole lines to the writer, or to the queue in front of it.
func (p *pump) send(out []byte, lines int) {
	if lines == 0 {
		return
	}
	s := p.s
	s.lines.Add(uint64(lines))
	switch {
	case s.quiet:
	case s.queue != nil:
		s.queue.soften(s.log.w, len(out))
		s.dropped.Add(uint64(s.queue.put(out, lines)))
	default:
		p.waiting.Store(int64(lines))
		s.dropped.Add(uint64(s.log.w.write(out)))
		p.waiting.Store(0)
	}
}

// abandon counts the lines that have not been written and will not be, because the consumer has stopped: those in
// the pump, which hangs in a write or waits for buffers, and those in the pipe.
func (p *pump) abandon() {
	select {
	case <-p.done:
		return
	default:
	}
	unread := p.behind.Load() // read from the pipe, in truth, but not counted as such yet
	midline := p.midline.Load()
	if conn, err := p.r.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) {
			b := make([]byte, 8<<10)
			for left := buffered(fd); left > 0; {
				n, err := syscall.Read(int(fd), b[:min(left, len(b))])
				if n <= 0 || err != nil {
					break
				}
				left -= n
				p.s.bytes.Add(uint64(n))
				unread += int64(bytes.Count(b[:n], newline))
				midline = b[n-1] != '\n'
			}
		})
	}
	if midline {
		unread++
	}
	p.s.lines.Add(uint64(unread))
	if !p.s.quiet {
		p.s.dropped.Add(uint64(unread + p.waiting.Load()))
	}
}

// A pool holds the buffers of pumps. There are fewer of them than pumps, because only one can write at a time.
type pool struct {
	mu   sync.Mutex
	cond sync.Cond
	free []*buffers // a stack, so that a quiet system keeps touching the same memory
	more int        // how many can still be made
}

// buffers are what a pump needs to carry one chunk.
type buffers struct {
	in   []byte // a line that has begun, and one read
	out  []byte // one write, and the line that was too much for it
	head []byte
}

func newPool(n int) *pool {
	p := &pool{more: n}
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
				in:  make([]byte, MaxLine+readSize),
				out: make([]byte, 0, writeSize+MaxLine+1),
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
