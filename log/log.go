// Package log carries the output of daemons to one file, whole lines at a time, together with the supervisor's own lines.
//
// A [Log] is the one writer. Each daemon has a [Stream], and each life of its process has pipes from [Stream.Open]: the write
// ends become its stdout and stderr, a goroutine pumps what comes out of the read end.
//
// Guarantees:
//
//  1. A line is written whole: it is never torn by, nor mixed with, another. Its bytes are not changed.
//  2. No line is lost at the end of a process. What is lost for other reasons (a consumer that has stopped, a write
//     error) is counted, and reported by a line of its own once lines can be written again.
//  3. Lines of one life come out in order, and lines of two lives never in the wrong one. A last line that has no
//     newline gets one, so it is never joined with the first line of the next life.
//  4. A line is not held back to fill a batch: it leaves as soon as the writer is free. One that has waited for its end
//     for [Options.Hold] leaves as a part, and what comes then as the next part.
//  5. Memory is bounded whatever a daemon writes: a line longer than [Options.MaxLine] is split. An idle Stream holds no
//     buffer.
//  6. Printf never blocks, whatever the consumer does, and its line comes out before every line that a daemon writes
//     after Printf has returned.
//  7. Exit is not the end of output: a grandchild that holds the pipe delays neither Open nor exited, and Close until its
//     deadline at most.
//  8. The file mode of the output (O_NONBLOCK) is never changed: it may be shared with other processes.
//
// Rules for callers: give the write ends to the process, then close them. Call exited when the process has ended, not
// from an actor. This package does nothing about SIGPIPE and needs nothing: it writes with plain system calls, which the
// Go runtime does not turn into the death of the process.
//
// Why there is a pipe for each life, and other roads that were not taken: docs/adr/0005-log-path.md.
package log

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// What [Options] and [StreamOptions] stand for where they say nothing.
const (
	// DefaultMaxLine is the length of the longest line that is written in one piece. It is what Docker's json-file and
	// containerd take as one.
	DefaultMaxLine = 16 << 10
	// DefaultHold is how long a line waits for its end.
	DefaultHold = 2 * time.Second
	// DefaultRing is how many bytes of each daemon's output are kept for Tail and Follow.
	DefaultRing = 64 << 10
)

// MinMaxLine is the least that [Options.MaxLine] can be: there must be room for what stands around a line.
const MinMaxLine = 1 << 10

// ErrClosed is the error of Open on a [Log] that is being drained or closed.
var ErrClosed = errors.New("log: closed")

// A Format is what a line looks like.
type Format string

// The formats.
const (
	// Text is "[NAME] LINE" for daemons and "SOURCE: MESSAGE" for the supervisor.
	Text Format = "text"
	// JSON is one object a line: time, daemon, stream, line; or time and msg for the supervisor.
	JSON Format = "json"
)

// Options say how lines look.
type Options struct {
	// Format is Text if empty.
	Format Format
	// Timestamps puts the time before the prefix of every line in Text: RFC 3339 in UTC with nine digits of
	// nanoseconds, and a space. In JSON the time is always there.
	Timestamps bool
	// Source stands before the supervisor's own lines in Text; empty means "sidecar-init".
	Source string
	// MaxLine is the length of the longest line that is written in one piece; 0 means DefaultMaxLine, and it is at least
	// MinMaxLine. In Text prefix and timestamp count, the newline does not, and a longer line is split into parts of at
	// most MaxLine-1 bytes. In JSON it is the whole object with its newline. Up to ten such lines are in memory at once,
	// beside one that has begun for each pipe.
	MaxLine int
	// Hold is how long a line waits for its end before it leaves as a part; 0 means DefaultHold, less than 0 that it
	// waits as long as its process lives. In Text such a part ends with a space and a backslash.
	Hold time.Duration
}

// A Log writes the lines of all daemons, and the supervisor's own, to one file. Make one with [New]. Its methods
// may be called from any goroutine.
type Log struct {
	options Options
	w       *writer
	block   *pool // for pumps that may wait for the consumer while they hold buffers
	swift   *pool // for those that never do, so that they need not wait for the others

	own Stream

	drain sync.Once

	mu      sync.Mutex
	closing bool
	streams []*Stream          // not those that were closed, but for what of them is still to be written
	gone    StreamStats        // the sums of those that were
	pumps   map[*pump]struct{} // those that run
}

// New returns a [Log] that writes to out. It does not close out.
func New(out *os.File, o Options) *Log {
	if o.Source == "" {
		o.Source = "sidecar-init"
	}
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	o.MaxLine = max(o.MaxLine, MinMaxLine)
	if o.Hold == 0 {
		o.Hold = DefaultHold
	}
	l := &Log{
		options: o,
		w:       newWriter(out, newOwnFrame(o)),
		block:   newPool(3, o.MaxLine),
		swift:   newPool(2, o.MaxLine),
		pumps:   map[*pump]struct{}{},
	}
	l.own = Stream{log: l, name: o.Source}
	l.own.now.Store(&mode{})
	l.own.ring.init(0, o.MaxLine)
	l.w.keep = func(now time.Time, lines []byte, n int) { l.own.ring.add(now, 0, false, lines, n) }
	return l
}

// Own is what Printf has written, for Tail and Follow: a [Stream] of which nothing can be opened, and which is not in [Stats].
func (l *Log) Own() *Stream { return &l.own }

// Printf writes a line of the supervisor's own. It never blocks: the line goes through a bounded queue, and when
// that is full it is dropped, which a later line reports. A message of several lines becomes as many.
func (l *Log) Printf(format string, a ...any) { l.w.printf(format, a...) }

// Stats are the counters of a [Log].
type Stats struct {
	Lines      uint64 // lines of all daemons
	Dropped    uint64 // those of them that were not written
	Own        uint64 // the supervisor's own lines
	OwnDropped uint64 // those of them that were not written
	Streams    []StreamStats
}

// StreamStats are the counters of a [Stream]. A part of a line that was split counts as a line.
type StreamStats struct {
	Name  string
	Bytes uint64 // read from the daemon
	Lines uint64 // read from the daemon
	// Dropped lines were read and not written: because the consumer had stopped (overflow drop, or the end of Close),
	// was gone, or because of a write error. Those of a quiet Stream do not count.
	Dropped uint64
	// Last is when the latest line was read; zero before any.
	Last time.Time
}

// Stats returns the counters as they are now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	streams := l.streams
	st := Stats{Lines: l.gone.Lines, Dropped: l.gone.Dropped}
	l.mu.Unlock()
	for _, s := range streams {
		one := s.Stats()
		st.Lines += one.Lines
		st.Dropped += one.Dropped
		if !s.closed.Load() {
			st.Streams = append(st.Streams, one)
		}
	}
	st.Own, st.OwnDropped = l.w.ownTotal.Load(), l.w.ownDropped.Load()
	return st
}

// Drain ends all streams: it waits until each pipe is at its end and everything has been written, or until the
// deadline; pipes that something still holds are read as far as they are filled shortly before that. Open fails
// from now on; Printf goes on working, so that a last line can follow everything else. A second call does nothing more.
func (l *Log) Drain(deadline time.Time) {
	l.drain.Do(func() { l.finish(deadline) })
}

// finish is Drain, once.
func (l *Log) finish(deadline time.Time) {
	l.mu.Lock()
	l.closing = true
	streams := l.streams
	var pumps []*pump
	for p := range l.pumps {
		pumps = append(pumps, p)
	}
	l.mu.Unlock()

	// A deadline that has just passed must not cost lines that a free writer takes in no time.
	left := max(time.Until(deadline), minDrain)
	hard, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	soft, cancel := context.WithTimeout(hard, left-min(left/2, settle))
	defer cancel()

	if !ended(pumps, soft.Done()) {
		for _, p := range pumps {
			p.mark(true)
		}
		if !ended(pumps, hard.Done()) {
			for _, p := range pumps {
				p.abandon()
			}
		}
	}
	for _, s := range streams {
		if q := s.now.Load().queue; q != nil && !q.empty(hard.Done()) {
			s.dropped.Add(uint64(q.abandon()))
		}
		s.ring.close()
	}
	l.own.ring.close() // who follows is not to wait for the last words
}

// minDrain is the least time that Drain and Close take to write what there is, if they need it.
const minDrain = 10 * time.Millisecond

// ended waits until all pumps have ended, and reports whether that was before timeout.
func ended(pumps []*pump, timeout <-chan struct{}) bool {
	for _, p := range pumps {
		if !before(p.done, timeout) {
			return false
		}
	}
	return true
}

// before waits until done is closed, and reports whether that was before timeout.
func before(done, timeout <-chan struct{}) bool {
	if isClosed(done) {
		return true
	}
	select {
	case <-done:
		return true
	case <-timeout:
		return false
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Flush waits until the supervisor's own lines are written, or until the deadline.
func (l *Log) Flush(deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	l.w.own.empty(ctx.Done())
}

// Close does what Drain does, where that has not been called, then writes the supervisor's own lines, and
// returns the counters. It returns by the deadline (or 10 ms from now, if that is later) even if the consumer has
// stopped; what is not written by then counts as dropped. It is called once.
func (l *Log) Close(deadline time.Time) Stats {
	l.Drain(deadline)
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(deadline), minDrain))
	defer cancel()
	if !l.w.own.empty(ctx.Done()) {
		l.w.ownDropped.Add(uint64(l.w.own.abandon()))
	}
	return l.Stats()
}
