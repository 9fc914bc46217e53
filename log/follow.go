package log

import (
	"context"
	"io"
	"time"
)

// A Follower reads the lines of a [Stream] as they arrive. It is only a position in the ring buffer that [Stream.Tail] reads too,
// so it cannot slow the Stream down. A Follower that is too slow loses lines, and reports how many. It needs no Close. Its
// methods must not be called concurrently.
type Follower struct {
	r    *ring
	at   cursor
	seen uint64 // the number of lines of the ring up to there
	lost int    // the number of lost lines that were not reported yet
	old  uint64 // the end of the ring when Follow was called
}

// Follow returns a [Follower] that begins with the last n lines, as [Stream.Tail] does. From there on it counts every line that it
// loses.
func (s *Stream) Follow(n int) *Follower {
	r := &s.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &Follower{r: r, at: cursor{pos: r.end}, seen: r.lines, old: r.end}
	if n == 0 {
		return f
	}
	kept := r.kept()
	f.at.pos, f.seen = r.start(), r.lines-uint64(kept)
	if n > 0 {
		for ; kept > n; kept-- {
			size, _ := f.at.line(r)
			f.at.pass(size)
			f.seen++
		}
	}
	return f
}

// look finds the next line, and counts the lines that were lost before it. The caller holds the lock of the ring.
func (f *Follower) look() (size int, ok bool) {
	before := f.seen
	if f.at.gone(f.r) {
		f.at = cursor{pos: f.r.start()}
		f.seen = f.r.lines - uint64(f.r.kept())
	}
	if size, ok = f.at.line(f.r); !ok {
		f.seen = f.r.lines // nothing is kept, or the last lines did not fit into the ring
	}
	f.lost += int(f.seen - before)
	return size, ok
}

// take is Take; the caller holds the lock of the ring.
func (f *Follower) take(buf []byte) (line Line, lost int, ok bool) {
	size, ok := f.look()
	if f.lost > 0 {
		lost, f.lost = f.lost, 0
		return Line{}, lost, true
	}
	if !ok {
		return Line{}, 0, false
	}
	first, second := f.r.pieces(f.at.pos, size)
	line = Line{
		Time:    time.Unix(0, f.at.nanos).UTC(),
		Stream:  stdStream(f.at.flags).String(),
		Text:    append(append(buf[:0], first...), second...),
		Partial: f.at.flags&partialFlag != 0,
	}
	f.at.pass(size)
	f.seen++
	return line, 0, true
}

// Take returns the next line, or the number of lines that were lost before it because the [Follower] was too slow. If there is
// neither yet, ok is false. The text is stored in buf, or in newly allocated memory if buf is too small.
func (f *Follower) Take(buf []byte) (line Line, lost int, ok bool) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return f.take(buf)
}

// Ready reports whether [Follower.Take] would return something. If it would not, over reports that it never will again, because the
// [Log] or [Stream] was closed.
func (f *Follower) Ready() (ready, over bool) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	ready = f.lost > 0 || f.seen < f.r.lines
	return ready, f.r.closed && !ready
}

// Old reports whether the next line was read before Follow was called, or lines from before were lost and this was not reported
// yet. If so, it returns the time at which the next line was read.
func (f *Follower) Old() (read time.Time, ok bool) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if f.at.pos >= f.old {
		return time.Time{}, false
	}
	if _, ok = f.look(); !ok && f.lost == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, f.at.nanos), ok && f.at.pos < f.old || f.lost > 0
}

// The limits of one call of Next. The last line may exceed nextBytes.
const (
	nextLines = 1000
	nextBytes = 64 << 10
)

// Next waits until there are new lines, and returns some of them and the number of lines that were lost before them. The error is
// that of ctx, or [io.EOF] if the [Log] or [Stream] was closed and there are no more lines.
func (f *Follower) Next(ctx context.Context) (lines []Line, lost int, err error) {
	if err := f.wait(ctx); err != nil {
		return nil, 0, err
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	for size := 0; len(lines) < nextLines && size < nextBytes; {
		line, missing, ok := f.take(nil)
		switch {
		case !ok:
			return lines, lost, nil
		case missing > 0: // only before the first line: nothing is lost while the lock is held
			lost = missing
		default:
			lines = append(lines, line)
			size += len(line.Text)
		}
	}
	return lines, lost, nil
}

// Skip waits like [Follower.Next] and skips all lines, without copying them. It is for callers that only want to know that there
// are new lines.
func (f *Follower) Skip(ctx context.Context) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.at, f.seen, f.lost = cursor{pos: f.r.end}, f.r.lines, 0
	return nil
}

// wait waits until there is something to return. The error is that of Next.
func (f *Follower) wait(ctx context.Context) error {
	for {
		f.r.mu.Lock()
		switch {
		case f.lost > 0 || f.seen < f.r.lines:
			f.r.mu.Unlock()
			return nil
		case f.r.closed:
			f.r.mu.Unlock()
			return io.EOF
		case f.r.wake == nil:
			f.r.wake = make(chan struct{})
		}
		wake := f.r.wake
		f.r.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close makes followers end after the lines that are kept.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}
