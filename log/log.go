// Package log writes the output of daemons, in whole lines, and the supervisor's own lines to one file.
//
// A [Log] is the only writer. Each daemon has a [Stream]. [Stream.Open] makes the pipes for one process of the daemon: their write
// ends become its stdout and stderr, and a goroutine reads the other ends.
//
// Guarantees:
//
//  1. A line is written whole: it is never split by, or mixed with, another. Its bytes are not changed.
//  2. No line is lost at the end of a process. Lines that are lost for other reasons (a consumer that has stopped reading, a write
//     error) are counted, and reported by a line once lines can be written again.
//  3. Lines of one process are written in order, and before the lines of the daemon's next process. A last line without a
//     newline gets one, so it is never joined with the first line of the next process.
//  4. A line is not held back to fill a batch: it is written as soon as the writer is free. An incomplete line is written as a
//     part after [Options.Hold], and its continuation as the next part.
//  5. Memory is bounded, whatever a daemon writes: a line longer than [Options.MaxLine] is split. An idle Stream holds no
//     buffer.
//  6. [Log.Printf] never blocks, whatever the consumer does, and its line is written before every line that a daemon writes
//     after Printf has returned.
//  7. A process that outlives the daemon's main process and holds the pipe delays neither Open nor exited, and Close only
//     until its deadline.
//  8. The status flags of the output file (O_NONBLOCK) are never changed: other processes may share it.
//
// Rules for callers: pass the write ends to the process, then close them. Call exited when the process has ended, but not
// on an actor's goroutine. SIGPIPE needs no attention: the package writes with plain system calls, for which the Go runtime does not
// let the program die.
//
// docs/adr/0005-log-path.md says why each process has a pipe of its own, and which alternatives were rejected.
package log

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// The defaults of [Options] and [StreamOptions].
const (
	// DefaultMaxLine is the length of the longest line that is written in one piece. Docker's json-file driver and containerd
	// have the same limit.
	DefaultMaxLine = 16 << 10
	// DefaultHold is how long an incomplete line waits for its end.
	DefaultHold = 2 * time.Second
	// DefaultRing is how many bytes of each daemon's output are kept for [Stream.Tail] and [Stream.Follow].
	DefaultRing = 64 << 10
)

// MinMaxLine is the least value of [Options.MaxLine]: prefix and timestamp need room too.
const MinMaxLine = 1 << 10

// ErrClosed is the error of [Stream.Open] on a [Log] that is being drained or closed.
var ErrClosed = errors.New("log: closed")

// A Format is the format of the lines.
type Format string

// The formats.
const (
	// Text is "[NAME] LINE" for daemons and "SOURCE: MESSAGE" for the supervisor.
	Text Format = "text"
	// JSON is one object per line, with time, daemon, stream and line; or with time and msg for the supervisor.
	JSON Format = "json"
)

// Options are the options of a [Log].
type Options struct {
	// Format is the format; empty means [Text].
	Format Format
	// Timestamps puts the time before the prefix of every line in [Text]: RFC 3339 in UTC with nine digits of
	// nanoseconds, and a space. In [JSON] there is always a time.
	Timestamps bool
	// Source is the prefix of the supervisor's own lines in [Text]; empty means "sidecar-init".
	Source string
	// MaxLine is the length in bytes of the longest line that is written in one piece; 0 means [DefaultMaxLine], and smaller values than
	// [MinMaxLine] mean that. In [Text] it includes prefix and timestamp but not the newline, and a longer line is split into parts of at
	// most MaxLine-1 bytes. In [JSON] it is the whole object with its newline. Up to ten such lines are in memory at once, in
	// addition to an incomplete one for each pipe.
	MaxLine int
	// Hold is how long an incomplete line waits for its end before it is written as a part; 0 means [DefaultHold], and a negative
	// value as long as its process lives. In [Text] such a part ends with a space and a backslash.
	Hold time.Duration
}

// A Log writes the lines of all daemons, and the supervisor's own, to one file. Create one with [New]. Its methods
// may be called from any goroutine.
type Log struct {
	options Options
	w       *writer
	block   *pool // for pumps that may wait for the consumer while they hold buffers
	swift   *pool // for pumps that never do, so that they need not wait for the others

	own Stream

	drain sync.Once

	mu      sync.Mutex
	closing bool
	streams []*Stream          // without closed ones that have nothing left to write
	gone    StreamStats        // the sums of those closed ones
	pumps   map[*pump]struct{} // the running ones
}

// New returns a [Log] that writes to out. It never closes out.
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

// Own returns the [Stream] of the lines of [Log.Printf], for [Stream.Tail] and [Stream.Follow]. It cannot be opened, and is not in [Stats].
func (l *Log) Own() *Stream { return &l.own }

// Printf writes a line of the supervisor. It never blocks: the line goes through a bounded queue, and is dropped if the queue
// is full, which a later line reports. A message of several lines becomes several lines of the log.
func (l *Log) Printf(format string, a ...any) { l.w.printf(format, a...) }

// Stats are the counters of a [Log].
type Stats struct {
	Lines      uint64 // lines of all daemons
	Dropped    uint64 // how many of these were not written
	Own        uint64 // the supervisor's own lines
	OwnDropped uint64 // how many of these were not written
	Streams    []StreamStats
}

// StreamStats are the counters of a [Stream]. A part of a line that was split counts as a line.
type StreamStats struct {
	Name  string
	Bytes uint64 // read from the daemon
	Lines uint64 // read from the daemon
	// Dropped counts lines that were read and not written: because the consumer had stopped reading (with overflow drop, or at the
	// deadline of Close) or was gone, or because of a write error. Lines of a quiet Stream do not count.
	Dropped uint64
	// Last is when the latest line was read; zero if none was.
	Last time.Time
}

// Stats returns the current counters.
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

// Drain ends all streams. It waits until each pipe is at its end and everything was written, or until the deadline. Pipes that a
// process still holds shortly before the deadline are read as far as they are filled then. Afterwards [Stream.Open] fails, but
// Printf works, so that a last line can follow everything else. A second call does nothing.
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

	// A deadline that has just passed must not cost lines that a free writer would write in no time.
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
	l.own.ring.close() // followers do not wait for the last words
}

// minDrain is the time that Drain and Close have at least, whatever the deadline, to write what there is.
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

// Flush waits until the supervisor's own lines were written, or until the deadline.
func (l *Log) Flush(deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	l.w.own.empty(ctx.Done())
}

// Close calls Drain, unless that was called, then writes the supervisor's own lines and returns the counters. It returns by the
// deadline (or in 10 ms, if that is later) even if the consumer has stopped reading; what was not written by then counts as
// dropped. It must be called once.
func (l *Log) Close(deadline time.Time) Stats {
	l.Drain(deadline)
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(deadline), minDrain))
	defer cancel()
	if !l.w.own.empty(ctx.Done()) {
		l.w.ownDropped.Add(uint64(l.w.own.abandon()))
	}
	return l.Stats()
}
