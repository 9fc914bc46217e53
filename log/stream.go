package log

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// An Overflow says what happens while the consumer of the output is slower than the daemon.
type Overflow string

// The values of Overflow.
const (
	// Block, the default, applies back-pressure: the daemon's write blocks, as on any full pipe.
	Block Overflow = "block"
	// Drop discards whole lines, which are counted and reported. A write of the daemon blocks for at most 10 ms.
	Drop Overflow = "drop"
)

// StreamOptions are the options of a [Stream].
type StreamOptions struct {
	// Overflow says what happens if the consumer is slow; empty means [Block].
	Overflow Overflow
	// Quiet keeps the lines for [Stream.Tail], [Stream.Follow] and the match function, but does not write them.
	Quiet bool
	// Ring is the size in bytes of the ring buffer for Tail and Follow: 0 means [DefaultRing], a negative value that no lines are
	// kept. The size is at least a little more than [Options.MaxLine]. Memory is allocated as needed.
	Ring int
}

// A Stream is the output of one daemon: of all its processes, one after the other. Create one with [Log.Stream]. Its methods may be
// called from any goroutine.
type Stream struct {
	log  *Log
	name string
	now  atomic.Pointer[mode]
	next atomic.Pointer[mode] // replaces now once the queued lines are written; nil if there is none
	ring ring

	bytes, lines, dropped atomic.Uint64
	closed                atomic.Bool
	match                 atomic.Pointer[func(line []byte) bool]
	lives                 atomic.Uint64 // the number of calls of Open; only lines of the last life are matched

	opening sync.Mutex // one Open at a time
	last    *life
}

// Stream returns a new [Stream] for the daemon of that name.
func (l *Log) Stream(name string, o StreamOptions) *Stream {
	s := &Stream{log: l, name: name}
	s.now.Store(s.newMode(o))
	s.ring.init(o.Ring, l.options.MaxLine)
	l.mu.Lock()
	l.streams = append(l.streams, s)
	l.mu.Unlock()
	return s
}

// A mode says how the lines of a [Stream] are handled.
type mode struct {
	quiet bool
	queue *queue // lines to be written, if the daemon must not block; else nil
	pool  *pool
}

func (s *Stream) newMode(o StreamOptions) *mode {
	m := &mode{quiet: o.Quiet, pool: s.log.block}
	if o.Quiet || o.Overflow == Drop {
		m.pool = s.log.swift
	}
	if o.Overflow == Drop && !o.Quiet {
		m.queue = s.log.w.newQueue(s)
	}
	return m
}

// SetOptions changes the options for what is read from now on, also from a running process. Lines that are queued are written
// first. Ring cannot be changed and is ignored.
func (s *Stream) SetOptions(o StreamOptions) {
	// Only a pump changes to the next mode, before it processes output: if the mode changed while a line is being processed under
	// the old one, the next line could overtake it.
	if m, now := s.newMode(o), s.now.Load(); m.quiet != now.quiet || (m.queue == nil) != (now.queue == nil) {
		s.next.Store(m)
	} else {
		s.next.Store(nil)
	}
}

// mode returns the current mode, after a change to the next one if that is due. Only pumps call it, before they process output.
func (s *Stream) mode() *mode {
	m := s.now.Load()
	if next := s.next.Load(); next != nil && (m.queue == nil || m.queue.idles()) {
		s.now.Store(next)
		s.next.CompareAndSwap(next, nil)
		m = next
	}
	return m
}

// Close declares that the daemon was removed and that its process has ended. [Stream.Follow] ends after the lines that there are,
// and [Stats] has the Stream only in its sums. Output of processes that outlive the main process is still written.
func (s *Stream) Close() {
	s.closed.Store(true)
	s.ring.close()
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []*Stream
	for _, s := range l.streams {
		if s.closed.Load() && (s.now.Load().queue == nil || s.now.Load().queue.idles()) && !l.pumping(s) {
			l.gone.Lines += s.lines.Load()
			l.gone.Dropped += s.dropped.Load()
			continue
		}
		left = append(left, s)
	}
	l.streams = left
}

// pumping reports whether a pipe of the Stream is still open. The caller holds l.mu.
func (l *Log) pumping(s *Stream) bool {
	for p := range l.pumps {
		if p.s == s {
			return true
		}
	}
	return false
}

// newQueue returns the queue for a Stream with overflow drop.
func (w *writer) newQueue(s *Stream) *queue {
	q := &queue{}
	q.send = func() {
		b, lines := q.take()
		s.dropped.Add(uint64(min(w.write(b), lines)))
		q.written(b)
	}
	q.notice = func(dst []byte, dropped int) []byte {
		return w.appendOwn(dst, fmt.Appendf(nil, "%s: %d lines dropped (stdout is full)", s.name, dropped))
	}
	return q
}

// Name returns the name of the daemon.
func (s *Stream) Name() string { return s.name }

// Stats returns the current counters.
func (s *Stream) Stats() StreamStats {
	st := StreamStats{Name: s.name, Bytes: s.bytes.Load(), Lines: s.lines.Load(), Dropped: s.dropped.Load()}
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	if s.ring.last != 0 {
		st.Last = time.Unix(0, s.ring.last)
	}
	return st
}

// SetMatch sets the function that is called with each line (without prefix and newline) from the pipes of the last Open, until it
// returns true. It replaces an earlier function; nil removes it. The function is called on the goroutine that reads the pipe,
// before the line is written, so it must be quick and must not keep the line. A line that is too long is passed in parts. A line
// that was written in parts because its end came late is passed whole, so the result does not depend on timing. For readiness by
// log line, call SetMatch after Open and before the process is started: then no line of an earlier process can match.
func (s *Stream) SetMatch(f func(line []byte) (found bool)) {
	if f == nil {
		s.match.Store(nil)
	} else {
		s.match.Store(&f)
	}
}

// A life has the pumps of the pipes of one Open.
type life struct {
	s       *Stream
	pumps   []*pump // one for each pipe
	once    sync.Once
	through []<-chan struct{} // for each pump, closed when the output of this life is written
}

// Open creates the pipes for the daemon's next process and starts to read from them. In [Text] stdout and stderr are the same
// pipe, which keeps the order of lines; in [JSON] they are two pipes. The returned write ends are in blocking mode. The caller
// passes them to the process and closes them.
//
// The daemon can open /dev/stdout for writing, whatever its user. If uid or gid is not -1, that user becomes the owner of the
// pipes, if the supervisor may do that, and can also open them for reading.
//
// When the main process has ended, exited must be called, but not on an actor's goroutine. The [Log] then reads and writes
// everything that is in the pipes, including a last line without newline. The function exited returns when that is done, or after
// 100 ms if the consumer does not read; the rest is written later. Other processes that hold the pipe open can continue to write.
// A second call only waits again.
//
// The next Open does not wait, but the output of the next process is read only after what was in the pipes when the previous
// process ended. If exited was not called for that process, the next Open marks its end.
func (s *Stream) Open(uid, gid int) (stdout, stderr *os.File, exited func(), err error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.last != nil {
		s.last.end()
	}
	kinds := []stdStream{0}
	if s.log.options.Format == JSON {
		kinds = []stdStream{stdoutStream, stderrStream}
	}
	number := s.lives.Add(1)
	next := &life{s: s}
	var ends []*os.File
	var fresh []*pump
	for i, kind := range kinds {
		var p *pump
		var w *os.File
		if p, w = s.share(i, number); w == nil {
			if p, w, err = s.pipe(i, kind, number); err != nil {
				break
			}
			fresh = append(fresh, p)
		}
		// The poller needs a non-blocking read end, but the write end must be blocking: programs do not expect
		// EAGAIN from stdout. Fd sets it to blocking mode for good.
		w.Fd()
		if uid != -1 || gid != -1 {
			_ = w.Chown(uid, gid)
		}
		next.pumps = append(next.pumps, p)
		ends = append(ends, w)
	}
	if err == nil {
		err = s.log.start(fresh)
	}
	if err != nil {
		for _, p := range fresh {
			p.r.Close()
		}
		for _, w := range ends {
			w.Close()
		}
		return nil, nil, nil, fmt.Errorf("cannot open the log pipe of %s: %w", s.name, err)
	}
	s.last = next
	return ends[0], ends[len(ends)-1], next.exited, nil
}

// share returns another write end of a pipe of the last life, if the output of that life still waits for the consumer. Without
// it, a daemon that is restarted again and again while the consumer does not read would fill a new pipe each time, until no file
// descriptor is left.
func (s *Stream) share(i int, number uint64) (*pump, *os.File) {
	if s.last == nil || isClosed(s.last.through[i]) {
		return nil, nil
	}
	return s.last.pumps[i], s.last.pumps[i].reopen(number)
}

// pipe returns the write end of a new pipe and its pump, which starts to read when the output of the previous life is written.
func (s *Stream) pipe(i int, kind stdStream, number uint64) (*pump, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if err := r.SetReadDeadline(time.Time{}); err != nil { // the poller cannot handle it
		r.Close()
		w.Close()
		return nil, nil, err
	}
	// Opening /dev/stdout opens the pipe's inode, with a permission check. Without this mode, a daemon that changes its user
	// itself, as a program started as root may, could not open it for writing. Nobody else can reach it: the only path to a pipe
	// is /proc/PID/fd, which the kernel opens only to the process's own user. Everything else works without the mode, so the
	// error is ignored.
	_ = w.Chmod(0o622)
	p := newPump(s, r, kind)
	p.life = number
	if s.last != nil {
		p.after = s.last.through[i]
	}
	return p, w, nil
}

// start starts the goroutines of pumps. The error is ErrClosed.
func (l *Log) start(pumps []*pump) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	for _, p := range pumps {
		l.pumps[p] = struct{}{}
		go p.run() // ends at the end of the pipe, or when the Log is drained
	}
	return nil
}

// settle is how long exited waits at most for the consumer.
const settle = 100 * time.Millisecond

// end marks the end of the life in its pipes.
func (f *life) end() {
	f.once.Do(func() {
		for _, p := range f.pumps {
			f.through = append(f.through, p.mark(false))
		}
	})
}

// exited marks the end of the life and waits, at most settle, until everything before the mark is written.
func (f *life) exited() {
	f.end()
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for _, through := range f.through {
		if !before(through, ctx.Done()) {
			return
		}
	}
	if q := f.s.now.Load().queue; q != nil {
		q.empty(ctx.Done())
	}
}
