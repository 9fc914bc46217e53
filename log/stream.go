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
	// least a little more than MaxLine. Memory is allocated as it is needed.
	Ring int
	// Match is the first match function, as if by SetMatch.
	Match func(line []byte)
}

// A Stream is the output of one daemon, over all lives of its process. Make one with Log.Stream. Its methods may
// be called from any goroutine.
type Stream struct {
	log   *Log
	name  string
	quiet bool
	queue *queue // of lines to be written, if the daemon must not block; else nil
	pool  *pool
	ring  ring

	bytes, lines, dropped atomic.Uint64
	match                 atomic.Pointer[func(line []byte)]
	life                  atomic.Uint64 // counts the calls of Open; only the last one's lines are matched

	last      []*pump // of the last life; guarded by log.mu
	chownFail sync.Once
}

// Stream returns a new Stream for the daemon of that name.
func (l *Log) Stream(name string, o StreamOptions) *Stream {
	s := &Stream{log: l, name: name, quiet: o.Quiet, pool: l.block}
	if o.Quiet || o.Overflow == Drop {
		s.pool = l.swift
	}
	if o.Overflow == Drop && !o.Quiet {
		s.queue = l.w.newQueue(s)
	}
	s.ring.init(o.Ring)
	s.SetMatch(o.Match)
	l.mu.Lock()
	l.streams = append(l.streams, s)
	l.mu.Unlock()
	return s
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
	return StreamStats{Name: s.name, Bytes: s.bytes.Load(), Lines: s.lines.Load(), Dropped: s.dropped.Load()}
}

// SetMatch makes f the function that is called with each line (without prefix and newline) that comes from the last
// Open, in place of the one before; nil calls none. It is called on the goroutine that reads, before the line is
// written, so it must be quick and must not keep the line. A line that is split comes in parts. For readiness by
// log line call SetMatch after Open and before the process is started: then no line of an earlier life can match.
func (s *Stream) SetMatch(f func(line []byte)) {
	if f == nil {
		s.match.Store(nil)
		return
	}
	s.match.Store(&f)
}

// settle is how long exited waits for the consumer.
const settle = 100 * time.Millisecond

// Open makes the pipes for one life of the daemon's process and starts to read from them. In Text stdout and stderr
// are the same file, so that the order of lines is kept; in JSON they are two. They are in blocking mode; the caller
// passes them to the process and closes them.
//
// Where uid or gid is not -1 the pipes are given to that user, who can then open /dev/stdout. That is tried as far
// as the supervisor may; if it may not, a line says so.
//
// When the main process has ended, exited must be called, not from an actor: it makes the Log read everything that
// is in the pipes now, and write it, a last line without newline included. It returns when that is done, or after
// 100 ms if the consumer does not take it; the rest follows then. Processes that still hold the pipe can go on
// writing. A second call does nothing more.
//
// The next Open does not wait, but reading for the next life begins only after that point of the life before, or
// the end of its pipes. If exited has not been called for that life, the next Open does so itself.
func (s *Stream) Open(uid, gid int) (stdout, stderr *os.File, exited func(), err error) {
	kinds := []stdStream{0}
	if s.log.options.Format == JSON {
		kinds = []stdStream{stdoutStream, stderrStream}
	}
	var pumps []*pump
	var ends []*os.File
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot open the log pipe of %s: %w", s.name, err)
			for i, p := range pumps {
				p.r.Close()
				ends[i].Close()
			}
		}
	}()
	for _, kind := range kinds {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, nil, err
		}
		// Pipe has made both ends non-blocking. The read end must stay so, for the poller; the write end must not:
		// programs do not expect EAGAIN from stdout. Fd sets it to blocking for good.
		w.Fd()
		s.chown(w, uid, gid)
		pumps = append(pumps, newPump(s, r, kind))
		ends = append(ends, w)
	}
	if err := s.start(pumps); err != nil {
		return nil, nil, nil, err
	}
	return ends[0], ends[len(ends)-1], func() { s.exited(pumps) }, nil
}

// chown gives a pipe to the daemon's user. Both ends share the inode.
func (s *Stream) chown(w *os.File, uid, gid int) {
	if uid == -1 && gid == -1 {
		return
	}
	if err := w.Chown(uid, gid); err != nil {
		s.chownFail.Do(func() { s.log.Printf("%s cannot open /dev/stdout: %v", s.name, err) })
	}
}

// start starts the pumps of the next life, each to begin when its predecessor is through.
func (s *Stream) start(pumps []*pump) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if s.log.closing {
		return ErrClosed
	}
	life := s.life.Add(1)
	for i, p := range pumps {
		p.life = life
		if s.last != nil {
			p.after = s.last[i].through
			s.last[i].ask(cutAsked)
		}
		s.log.pumps[p] = struct{}{}
		go p.run() // ends at the end of the pipe, or when the Log is drained
	}
	s.last = pumps
	return nil
}

// exited cuts the pumps and waits for that, for a bounded time.
func (s *Stream) exited(pumps []*pump) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for _, p := range pumps {
		p.ask(cutAsked)
	}
	for _, p := range pumps {
		if !before(p.through, ctx.Done()) {
			return
		}
	}
	if s.queue != nil {
		s.queue.empty(ctx.Done())
	}
}
