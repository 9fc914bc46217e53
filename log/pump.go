package log

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// readSize is the number of bytes that are read at once. It is a little less than the capacity of a pipe, so that with prefixes the
// lines still fit into one write of writeSize, and that fits into the output pipe: 64 KiB and a few prefixes would block the writer
// each time until the consumer is scheduled.
const (
	readSize  = 56 << 10
	writeSize = 64 << 10
	pipeSize  = 64 << 10 // the capacity of a pipe, unless somebody has changed it
)

// A pump passes the output from one pipe to the writer. While the pipe is empty, it keeps only the incomplete line and is parked in
// the poller.
type pump struct {
	s     *Stream
	mode  *mode // the mode of s for the output that is being processed
	r     *os.File
	conn  syscall.RawConn // of r
	kind  stdStream
	after <-chan struct{} // if not nil, the first read waits until it is closed
	done  chan struct{}   // closed at the end

	frame frame
	split splitter
	begun []byte    // the incomplete line, without parts that were sent off
	since time.Time // when its first byte was read, or its last part was sent off
	left  []byte    // the parts of it that were sent off because it has waited, for the match function
	alarm bool      // the read deadline is set, to when the incomplete line has waited for long enough, or earlier

	mu    sync.Mutex // held only for system calls that do not block
	life  uint64     // the last life that writes to this pipe
	taken int64      // the number of bytes read
	marks []mark     // the marks that are not reached yet, in order
	stop  bool       // end at the last mark
	ended bool       // nothing will be read any more

	// For the count of lines that a consumer has not read when it has stopped reading; see abandon.
	waiting atomic.Int64 // lines that are being written
	behind  atomic.Int64 // lines that were read and will be written after those
	midline atomic.Bool  // the output that was read ends within a line
}

// A mark is the position in the output from a pipe at which a life ended: everything that was in the pipe at that moment is
// before it. A line that is incomplete there is ended.
type mark struct {
	at      int64
	life    uint64
	through chan struct{} // closed when everything before the mark is written
}

func newPump(s *Stream, r *os.File, kind stdStream) *pump {
	p := &pump{s: s, r: r, kind: kind, done: make(chan struct{}), frame: newFrame(s.log.options, s.name, kind)}
	p.conn, _ = r.SyscallConn() // fails for a nil file only, in tests
	p.split = p.frame.splitter()
	p.mode = s.now.Load()
	return p
}

// mark sets a mark after everything that is in the pipe, and with stop the pump ends there. It returns a channel that is closed
// when the pump has passed the mark. It does not block.
func (p *pump) mark(stop bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return p.done
	}
	p.stop = p.stop || stop
	m := mark{at: p.taken, life: p.life}
	p.conn.Control(func(fd uintptr) { m.at += int64(buffered(fd)) })
	if n := len(p.marks); n > 0 && p.marks[n-1].at == m.at {
		return p.marks[n-1].through // so the number of marks is bounded by the number of bytes in the pipe
	}
	m.through = make(chan struct{})
	p.marks = append(p.marks, m)
	p.r.SetReadDeadline(time.Unix(0, 1)) // wakes the pump, which clears the deadline
	return m.through
}

// reopen returns another write end of the pipe, for the next life. It returns nil if the pump has already passed the mark of the
// previous life, or if the pipe cannot be opened again.
func (p *pump) reopen(life uint64) *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.marks) == 0 {
		return nil
	}
	var w *os.File
	p.conn.Control(func(fd uintptr) { w, _ = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY, 0) })
	if w != nil {
		p.life = life
	}
	return w
}

// run reads and passes on the output until the end.
func (p *pump) run() {
	if p.after != nil {
		<-p.after
		p.after = nil
	}
	step := p.step
	for errors.Is(p.conn.Read(step), os.ErrDeadlineExceeded) {
		p.r.SetReadDeadline(time.Time{}) // there is a new mark, or a line has waited for long enough
		p.alarm = false
	}
	p.end()
	p.r.Close()
	close(p.done)
	p.s.log.mu.Lock()
	delete(p.s.log.pumps, p)
	p.s.log.mu.Unlock()
}

// end writes the incomplete line, and wakes those who wait for a mark.
func (p *pump) end() {
	p.mu.Lock()
	p.ended = true
	marks, life := p.marks, p.life
	if len(marks) > 0 {
		life = marks[0].life
	}
	p.mu.Unlock()
	b := p.buffers()
	p.flush(b, life)
	p.mode.pool.put(b)
	for _, m := range marks {
		close(m.through)
	}
}

// A found is the result of a read.
type found int

const (
	something found = iota // there may be more
	nothing                // the pipe is empty
	theEnd                 // this was the end of the pipe, or of what the pump is to read
)

// step reads until the pipe is empty or at its end. It reports whether it is at its end; if not, the poller waits for more.
//
// A read that returns less than was asked for does not mean that the pipe is empty: the end of the pipe can follow. The poller is
// edge-triggered, so it has reported that end already and will not report it again.
func (p *pump) step(fd uintptr) bool {
	for {
		switch p.read(int(fd)) {
		case nothing:
			p.hold()
			return false
		case theEnd:
			return true
		}
	}
}

// buffers returns buffers for the output that is processed next, and updates p.mode. The caller returns them to the pool of p.mode.
func (p *pump) buffers() *buffers {
	p.mode = p.s.mode()
	return p.mode.pool.get()
}

// read reads once, not beyond the next mark, and sends off the complete lines.
func (p *pump) read(fd int) found {
	b := p.buffers()
	defer p.mode.pool.put(b)
	old := copy(b.in, p.begun)

	p.mu.Lock()
	size, life := readSize, p.life
	ahead := len(p.marks) > 0
	if ahead {
		size, life = int(min(int64(size), p.marks[0].at-p.taken)), p.marks[0].life
	}
	n, state := 0, something
	if size > 0 {
		n, state = readFD(fd, b.in[old:old+size])
		p.taken += int64(n)
		p.ended = state == theEnd
	}
	// The pipe can be empty before the mark, if buffered has returned only an upper bound.
	reached := ahead && (p.taken == p.marks[0].at || state == nothing)
	p.mu.Unlock()

	if n > 0 {
		p.s.bytes.Add(uint64(n))
		data := b.in[:old+n]
		p.midline.Store(data[len(data)-1] != '\n')
		rest, now := p.lines(b, data, old, life, false)
		if old == 0 || len(rest) < len(data) {
			p.since = now
		}
		p.begun = append(p.begun[:0], rest...)
		if len(rest) == 0 && cap(p.begun) > 1<<10 {
			p.begun = nil
		}
	}
	if reached {
		p.flush(b, life)
		return p.pass()
	}
	return state
}

// readFD reads once from a non-blocking file descriptor.
func readFD(fd int, b []byte) (int, found) {
	for {
		switch n, err := syscall.Read(fd, b); {
		case n > 0:
			return n, something
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nothing
		default:
			return 0, theEnd
		}
	}
}

// hold makes sure that an incomplete line does not wait for its end for longer than Options.Hold. It is called when the pipe is
// empty, so output that arrived while this process could not run, as in a container that was frozen, has been read.
//
// The timer is the read deadline. It is set at most once per Options.Hold, not for each incomplete line, so it costs nothing for a
// daemon that writes much.
func (p *pump) hold() {
	hold := p.s.log.options.Hold
	if p.alarm || len(p.begun) == 0 || hold < 0 {
		return
	}
	if time.Since(p.since) >= hold {
		p.part()
	}
	if len(p.begun) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.marks) == 0 { // otherwise the deadline is for the mark
		p.r.SetReadDeadline(p.since.Add(hold))
		p.alarm = true
	}
}

// part sends off the incomplete line as a part.
func (p *pump) part() {
	b := p.buffers()
	defer p.mode.pool.put(b)
	p.mu.Lock()
	life := p.life
	p.mu.Unlock()
	now := time.Now()
	b.head = p.frame.header(b.head[:0], now)
	rest := p.begun
	for first := true; first || completeRunes(rest) > 0; first = false { // an incomplete character alone is not another part yet
		n := p.split.held(rest)
		p.keep(rest[:n], life)
		p.s.ring.add(now, p.kind, true, rest[:n], 1)
		p.send(p.frame.line(b.out[:0], b.head, rest[:n], held), 1)
		rest = rest[n:]
	}
	p.begun, p.since = append([]byte(nil), rest...), now
}

// keep keeps a part that is sent off, if there is a match function, which is called with whole lines. A line that becomes too
// long is passed to it in parts.
func (p *pump) keep(part []byte, life uint64) {
	match := p.s.matcher(life)
	if match == nil {
		p.left = nil
		return
	}
	if p.left = append(p.left, part...); len(p.left) > p.split.whole {
		p.s.callMatch(match, p.left)
		p.left = nil
	}
}

// matcher returns the match function for lines of that life, or nil if there is none or a later life has begun.
func (s *Stream) matcher(life uint64) *func(line []byte) bool {
	match := s.match.Load()
	if s.lives.Load() != life {
		return nil
	}
	return match
}

// flush writes the incomplete line. It uses the buffers b.
func (p *pump) flush(b *buffers, life uint64) {
	n := copy(b.in, p.begun)
	p.begun = nil
	p.midline.Store(false)
	if n > 0 {
		p.lines(b, b.in[:n], n, life, true)
	} else if p.split.cut { // the previous part was to be continued: end it with an empty one
		p.lines(b, b.in[:copy(b.in, newline)], 0, life, true)
	}
}

// pass removes the first mark, which is reached, and wakes those who wait for it.
func (p *pump) pass() found {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.marks[0].through)
	p.marks = p.marks[1:]
	if len(p.marks) > 0 {
		return something
	}
	p.marks = nil
	if p.stop {
		p.ended = true
		return theEnd
	}
	return something
}

// lines sends off the complete lines in data, and returns the rest, which is an incomplete line, and the time that is used as the
// time of all these lines. With last it sends off the rest too. The slice data is in b.in, and its first scanned bytes have no
// newline. The lines are from that life, or an earlier one.
func (p *pump) lines(b *buffers, data []byte, scanned int, life uint64, last bool) (rest []byte, now time.Time) {
	s := p.s
	now = time.Now()
	match := s.matcher(life)
	b.head = p.frame.header(b.head[:0], now)
	out, lines := b.out[:0], 0
	kept, fresh := 0, 0 // data[:kept] is in the ring already; the next fresh lines are not
	pos := 0
	plain := !p.frame.json && !p.mode.quiet
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
			n, partial = p.split.last(data[pos:])
			used = n
		}
		line := data[pos : pos+n]
		if match != nil {
			match = s.callMatch(match, append(p.left, line...))
		}
		p.left = nil
		if partial {
			s.ring.add(now, p.kind, false, data[kept:pos], fresh)
			s.ring.add(now, p.kind, true, line, 1)
			kept, fresh = pos+n, 0
		} else {
			fresh++
		}
		pos += used
		if p.mode.quiet {
			lines++
			continue
		}
		mark := len(out)
		out = p.frame.line(out, b.head, line, endingOf(partial))
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
	return data[pos:], now
}

// callMatch calls the match function and returns the one for the next line. A function that has returned true, or panics, is not
// called again. A panic must not end the supervisor.
func (s *Stream) callMatch(f *func(line []byte) bool, line []byte) (next *func(line []byte) bool) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Printf("%s: match function failed: %v", s.name, r)
			s.match.CompareAndSwap(f, nil)
			next = nil
		}
	}()
	if (*f)(line) {
		s.match.CompareAndSwap(f, nil)
	}
	return s.match.Load()
}

// send passes whole output lines to the writer, or to the queue in front of it. In a quiet mode it only counts them.
func (p *pump) send(out []byte, lines int) {
	if lines == 0 {
		return
	}
	s := p.s
	s.lines.Add(uint64(lines))
	switch {
	case p.mode.quiet:
	case p.mode.queue != nil:
		p.mode.queue.soften(s.log.w, len(out))
		s.dropped.Add(uint64(p.mode.queue.put(out, lines)))
	default:
		p.waiting.Store(int64(lines))
		s.dropped.Add(uint64(s.log.w.write(out)))
		p.waiting.Store(0)
	}
}

// abandon counts the lines that will not be written because the consumer has stopped reading: those in the pump, which is blocked
// in a write or waits for buffers, and those in the pipe.
func (p *pump) abandon() {
	if isClosed(p.done) {
		return
	}
	unread := p.behind.Load() // these were read from the pipe, but are not counted in lines yet
	midline := p.midline.Load()
	p.conn.Control(func(fd uintptr) {
		b := make([]byte, 8<<10)
		for left := buffered(fd); left > 0; {
			n, _ := readFD(int(fd), b[:min(left, len(b))])
			if n == 0 {
				break
			}
			left -= n
			p.s.bytes.Add(uint64(n))
			unread += int64(bytes.Count(b[:n], newline))
			midline = b[n-1] != '\n'
		}
	})
	if midline {
		unread++
	}
	p.s.lines.Add(uint64(unread))
	if !p.s.now.Load().quiet {
		p.s.dropped.Add(uint64(unread + p.waiting.Load()))
	}
}
