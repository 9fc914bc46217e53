// Package log writes the output of daemons, in whole lines, and the supervisor's own lines to one file.
//
// A [Log] is the only writer to the file. Each daemon has a [Stream]. [Stream.Open] creates the pipes for one process of the
// daemon: their write ends become its stdout and stderr, and a goroutine for each pipe reads the other end.
//
// Guarantees:
//
//  1. A line is written whole: it is never split by, or mixed with, another line. Its bytes are not changed.
//  2. No line is lost when a process ends. Lines that are lost for other reasons (a consumer that has stopped reading, a write
//     error) are counted, and a line in the log reports them once lines can be written again.
//  3. The lines of one process are written in order, and before the lines of the daemon's next process. A last line without a
//     newline gets one, so it is never joined with the first line of the next process.
//  4. A line is not delayed to fill a batch: it is written as soon as the writer is free. An incomplete line is written as a
//     part after [Options.Hold], and its continuation as the next part.
//  5. Memory is bounded, whatever a daemon writes: a line longer than [Options.MaxLine] is split. An idle Stream has no
//     buffer.
//  6. [Log.Printf] never blocks, whatever the consumer does. Its line is written before every line that a daemon writes
//     after Printf has returned.
//  7. A process that outlives the daemon's main process and keeps the pipe open delays neither Open nor exited, and Close only
//     until its deadline.
//  8. The status flags of the output file (O_NONBLOCK) are never changed, because other processes may share it.
//
// Rules for callers: pass the write ends to the process, then close them. Call exited when the process has ended, but not
// on an actor's goroutine. No handling of SIGPIPE is needed: the package writes with plain system calls, for which the Go runtime
// does not let SIGPIPE end the program.
//
// docs/adr/0005-log-path.md explains why each process has a pipe of its own, and which alternatives were rejected.
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
	// DefaultMaxLine is the length in bytes of the longest line that is not split. Docker's json-file driver and containerd have
	// the same limit.
	DefaultMaxLine = 16 << 10
	// DefaultHold is how long an incomplete line waits for its end before it is written as a part.
	DefaultHold = 2 * time.Second
	// DefaultRing is the size in bytes of the ring buffer that keeps each daemon's output for [Stream.Tail] and [Stream.Follow].
	DefaultRing = 64 << 10
)

// MinMaxLine is the smallest value of [Options.MaxLine], which must have room for prefix and timestamp too.
const MinMaxLine = 1 << 10

// ErrClosed is the error of [Stream.Open] if the [Log] is being drained or closed.
var ErrClosed = errors.New("log: closed")

// A Format is an output format.
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
	// Timestamps puts the time and a space before the prefix of every line in [Text]: RFC 3339, in UTC, with nine digits for the
	// fraction of a second. In [JSON] there is always a time.
	Timestamps bool
	// Source is the prefix of the supervisor's own lines in [Text]; empty means "sidecar-init".
	Source string
	// MaxLine is the length in bytes of the longest line that is not split; 0 means [DefaultMaxLine], and values below
	// [MinMaxLine] mean MinMaxLine. In [Text] it includes prefix and timestamp but not the newline, and a longer line is split
	// into parts of at most MaxLine-1 bytes. In [JSON] it is the length of the whole object with its newline. Buffers need memory
	// for up to ten such lines, in addition to an incomplete line for each pipe.
	MaxLine int
	// Hold is how long an incomplete line waits for its end before it is written as a part; 0 means [DefaultHold], and a negative
	// value means as long as its process lives. In [Text] such a part ends with a space and a backslash.
	Hold time.Duration
}

// A Log writes the lines of all daemons, and those of the supervisor, to one file. Create one with [New]. Its methods may be called
// from any goroutine.
type Log struct {
	options Options
	w       *writer
	block   *pool // for pumps that may wait for the consumer while they hold buffers
	swift   *pool // for pumps that never wait for the consumer, so that they do not wait for the buffers of the others

	own Stream

	drain sync.Once

	mu      sync.Mutex
	closing bool
	streams []*Stream          // all except closed ones that have nothing left to write
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

// Own returns the [Stream] of the lines of [Log.Printf], for [Stream.Tail] and [Stream.Follow]. It cannot be opened, and is not in
// [Stats].Streams.
func (l *Log) Own() *Stream { return &l.own }

// Printf writes a line of the supervisor. It never blocks: the line goes through a bounded queue. If the queue is full, the line is
// dropped, and a later line reports that. A message of several lines becomes several lines of the log.
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
	// Dropped counts lines that were read but not written, because the consumer had stopped reading (with overflow drop, or at the
	// deadline of Close), because it was gone, or because of a write error. It does not count lines of a quiet Stream.
	Dropped uint64
	// Last is when the last line was read; zero if none was.
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

// Drain ends all streams. It waits until all pipes are at their end and everything is written, or until the deadline (for 10 ms,
// if that is longer). From a pipe that a process still holds open shortly before the deadline, it reads what is in the pipe then.
// Afterwards [Stream.Open] fails, but [Log.Printf] works, so that a last line can follow everything else. A second call does
// nothing.
func (l *Log) Drain(deadline time.Time) {
	l.drain.Do(func() { l.finish(deadline) })
}

// finish does the work of Drain.
func (l *Log) finish(deadline time.Time) {
	l.mu.Lock()
	l.closing = true
	streams := l.streams
	var pumps []*pump
	for p := range l.pumps {
		pumps = append(pumps, p)
	}
	l.mu.Unlock()

	// If the deadline has just passed, lines that the writer can write at once must not be lost.
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
	l.own.ring.close() // followers do not wait for lines that are printed after this
}

// minDrain is the least time that Drain and Close take, whatever the deadline, to write what is left.
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

// Close calls [Log.Drain], unless it was called before, then waits until the supervisor's own lines are written, and returns the
// counters. It returns by the deadline, or soon after, since each of the two steps may take 10 ms in any case, even if the consumer
// has stopped reading. Lines that are not written by then count as dropped. It must be called once.
func (l *Log) Close(deadline time.Time) Stats {
	l.Drain(deadline)
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(deadline), minDrain))
	defer cancel()
	if !l.w.own.empty(ctx.Done()) {
		l.w.ownDropped.Add(uint64(l.w.own.abandon()))
	}
	return l.Stats()
}
