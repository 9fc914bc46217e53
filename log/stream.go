package log

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Overflow says what happens to a daemon's lines while the consumer of the output is slower than the daemon.
type Overflow string

// The ways to overflow.
const (
	// Block is the default: the daemon blocks, as it would on a pipe of its own.
	Block Overflow = "block"
	// Drop discards whole lines, which are counted and reported; the daemon does not block for longer than 10 ms.
	Drop Overflow = "drop"
)

// StreamOptions say how the output of one daemon is treated.
type StreamOptions struct {
	// Overflow is Block if empty.
	Overflow Overflow
	// Quiet keeps the lines for Tail, Follow and the match function, and does not write them.
	Quiet bool
	// Ring is about how many bytes are kept for Tail and Follow: 0 means DefaultRing, less than 0 none. It is at
	// least a little more than Options.MaxLine. Memory is allocated as it is needed.
	Ring int
}

// A Stream is the output of one daemon, over all lives of its process. Make one with [Log.Stream]. Its methods may
// be called from any goroutine.
type Stream struct {
	log  *Log
	name string
	now  atomic.Pointer[mode]
	next atomic.Pointer[mode] // takes the place of now when what is queued has been written; nil if there is none
	ring ring

	bytes, lines, dropped atomic.Uint64
	closed                atomic.Bool
	match                 atomic.Pointer[func(line []byte) bool]
	lives                 atomic.Uint64 // the number of the last life; only its lines are matched

	opening sync.Mutex // one Open at a time
	last    *life
}

// Stream returns a new Stream for the daemon of that name.
func (l *Log) Stream(name string, o StreamOptions) *Stream {
	s := &Stream{log: l, name: name}
	s.now.Store(s.newMode(o))
	s.ring.init(o.Ring, l.options.MaxLine)
	l.mu.Lock()
	l.streams = append(l.streams, s)
	l.mu.Unlock()
	return s
}

// A mode is how the lines of a [Stream] are treated.
type mode struct {
	quiet bool
	queue *queue // of lines to be written, if the daemon must not block; else nil
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

// SetOptions treats what comes from now on otherwise, also of a process that writes already. Lines that wait in a queue are
// written before. Ring is not looked at.
func (s *Stream) SetOptions(o StreamOptions) {
	// Only who writes changes to the next mode: a change while a line is on its way by the old one would let the next overtake it.
	if m, now := s.newMode(o), s.now.Load(); m.quiet != now.quiet || (m.queue == nil) != (now.queue == nil) {
		s.next.Store(m)
	} else {
		s.next.Store(nil)
	}
}

// mode is the one that counts now. It is for who writes, since it changes to the next.
func (s *Stream) mode() *mode {
	m := s.now.Load()
	if next := s.next.Load(); next != nil && (m.queue == nil || m.queue.idles()) {
		s.now.Store(next)
		s.next.CompareAndSwap(next, nil)
		m = next
	}
	return m
}

// Close says that the daemon has left and that its process has ended: Tail and Follow have all that there will be, and the
// [Stream] is no longer in [Stats], save in the sums. What processes that outlive it write goes on to be written.
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

// pumping reports whether a pipe of the Stream is still open. The caller holds the lock.
func (l *Log) pumping(s *Stream) bool {
	for p := range l.pumps {
		if p.s == s {
			return true
		}
	}
	return false
}

// newQueue returns the queue of a Stream with overflow drop.
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

// Stats returns the counters as they are now.
func (s *Stream) Stats() StreamStats {
	st := StreamStats{Name: s.name, Bytes: s.bytes.Load(), Lines: s.lines.Load(), Dropped: s.dropped.Load()}
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	if s.ring.last != 0 {
		st.Last = time.Unix(0, s.ring.last)
	}
	return st
}

// SetMatch makes f the function that is called with each line (without prefix and newline) that comes from the last
// Open, in place of the one before, until it returns true: then it has found what it waits for, and is called no more.
// nil calls none. It is called on the goroutine that reads, before the line is written, so it must be quick and must not
// keep the line. A line that is too long comes in parts, one that has waited for its end does not: it is joined again,
// so what is found does not depend on when it was written. For readiness by log line call SetMatch after Open and before the
// process is started: then no line of an earlier life can match.
func (s *Stream) SetMatch(f func(line []byte) (found bool)) {
	if f == nil {
		s.match.Store(nil)
	} else {
		s.match.Store(&f)
	}
}

// A life is what one Open has made.
type life struct {
	s       *Stream
	pumps   []*pump // one for each pipe
	once    sync.Once
	through []<-chan struct{} // for each pump, closed when the output of this life has been written
}

// Open makes the pipes for one life of the daemon's process and starts to read from them. In [Text] stdout and stderr
// are the same file, so that the order of lines is kept; in [JSON] they are two. They are in blocking mode; the caller
// passes them to the process and closes them.
//
// Any user can open /dev/stdout for writing. Where uid or gid is not -1 the pipes are given to that user, as far as the
// supervisor may do that; then it can open them in every way.
//
// When the main process has ended, exited must be called, not from an actor: it makes the [Log] read everything that
// is in the pipes now, and write it, a last line without newline included. It returns when that is done, or after
// 100 ms if the consumer does not take it; the rest follows then. Processes that still hold the pipe can go on
// writing. A second call does nothing more.
//
// The next Open does not wait, but what the next life writes is read only after what was in the pipes at the end of
// the life before. If exited has not been called for that life, the next Open marks its end.
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
		// The poller needs the read end to be non-blocking, the write end must not be: programs do not expect
		// EAGAIN from stdout. Fd sets it to blocking for good.
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

// share returns another write end of a pipe of the last life, if the output of that is still waiting for the consumer.
// A daemon that is restarted again and again while the consumer has stopped would otherwise fill a pipe each time, and
// at last there would be no descriptor left.
func (s *Stream) share(i int, number uint64) (*pump, *os.File) {
	if s.last == nil || isClosed(s.last.through[i]) {
		return nil, nil
	}
	return s.last.pumps[i], s.last.pumps[i].reopen(number)
}

// pipe returns a new pipe and its pump, which begins when what came before has been written.
func (s *Stream) pipe(i int, kind stdStream, number uint64) (*pump, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	if err := r.SetReadDeadline(time.Time{}); err != nil { // it could not be put into the poller
		r.Close()
		w.Close()
		return nil, nil, err
	}
	// /dev/stdout opens the pipe by its inode. A daemon that becomes another user by itself, as a program started as root
	// may, could not write to it there. Nobody else comes to it: the way to a pipe leads through /proc/PID/fd, which the
	// kernel opens to the process's own user. Without the mode everything else works, so an error is none.
	_ = w.Chmod(0o622)
	p := newPump(s, r, kind)
	p.life = number
	if s.last != nil {
		p.after = s.last.through[i]
	}
	return p, w, nil
}

// start starts pumps.
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

// settle is how long exited waits for the consumer.
const settle = 100 * time.Millisecond

// end marks the end of the life.
func (f *life) end() {
	f.once.Do(func() {
		for _, p := range f.pumps {
			f.through = append(f.through, p.mark(false))
		}
	})
}

// exited marks the end and waits, for a bounded time, until everything before it has been written.
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
