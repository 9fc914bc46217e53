package log

import (
	"context"
	"io"
)

// A Follower reads the lines of a Stream as they come. It reads from what is kept for Tail: so it costs the
// Stream nothing and cannot slow it down, and if it is itself too slow it loses lines and learns how many. It
// needs no Close. Its methods are for one goroutine.
type Follower struct {
	r     *ring
	first []Line // what Follow found; for the first Next
	pos   uint64 // the position in the ring up to which everything has been read
	seen  uint64 // how many lines there were up to pos
}

// Follow returns a Follower whose first Next returns the last n lines, as Tail(n) does, if there are any; from there
// on none is left out unnoticed.
func (s *Stream) Follow(n int) *Follower {
	r := &s.ring
	r.mu.Lock()
	f := &Follower{r: r, pos: r.end, seen: r.lines}
	var records []byte
	if n != 0 {
		records = r.from(0)
	}
	r.mu.Unlock()
	f.first = lastOf(parse(records), n)
	return f
}

// Next waits until there are lines that it has not yet returned, and returns them. The number of lines that were
// lost before them, because the Follower was too slow, is lost. The error is that of ctx, or io.EOF when the Log has
// been closed and there are no more.
func (f *Follower) Next(ctx context.Context) (lines []Line, lost int, err error) {
	if lines, f.first = f.first, nil; len(lines) > 0 {
		return lines, 0, nil
	}
	if err := f.wait(ctx); err != nil {
		return nil, 0, err
	}
	f.r.mu.Lock()
	records := f.r.from(f.pos)
	total := f.r.lines
	f.pos = f.r.end
	f.r.mu.Unlock()
	lines = parse(records)
	lost = int(total-f.seen) - len(lines)
	f.seen = total
	return lines, lost, nil
}

// Skip waits as Next does, and passes over the lines, which costs nothing. It is for who wants to know that there are
// some.
func (f *Follower) Skip(ctx context.Context) error {
	if f.first != nil {
		f.first = nil
		return nil
	}
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.pos, f.seen = f.r.end, f.r.lines
	return nil
}

// wait waits until there are lines after those that have been returned. The error is that of Next.
func (f *Follower) wait(ctx context.Context) error {
	for {
		f.r.mu.Lock()
		switch {
		case f.seen < f.r.lines:
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

// close lets followers end.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}
