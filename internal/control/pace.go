package control

import (
	"context"
	"time"
)

// A pacer lets work for clients be done by one at a time, and makes a pause after each piece, so that all clients together
// take a small share of a processor: daemons and their log come first. A client that is alone does not notice.
type pacer struct {
	rest rest
	turn chan struct{} // has the token while nobody works
	idle *time.Time    // when the next one may begin; belongs to who has the token
}

// A rest says how long the pause after a piece of work is.
type rest struct {
	times int           // as the work itself, with what follows
	more  time.Duration // what net/http, the kernel and the client do for it, which is not seen here
	each  time.Duration // the same, for each byte
}

// The rests. On this a kilobyte takes some 10 µs of the client, and an answer some 150 µs of the server.
var (
	answerRest = rest{times: 4, more: 150 * time.Microsecond}
	followRest = rest{times: 4, more: 20 * time.Microsecond, each: 25 * time.Nanosecond}
)

func newPacer(r rest) pacer {
	p := pacer{rest: r, turn: make(chan struct{}, 1), idle: &time.Time{}}
	p.turn <- struct{}{}
	return p
}

// do does the work when it is its turn, unless ctx ends before that. The work returns how many bytes have come of it; for
// none there is no pause.
func (p pacer) do(ctx context.Context, work func() int) error {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.turn <- struct{}{} }()
	if d := time.Until(*p.idle); d > 0 {
		if err := pause(ctx, d); err != nil {
			return err
		}
	}
	start := time.Now()
	if n := work(); n > 0 {
		now := time.Now()
		cost := now.Sub(start) + p.rest.more + time.Duration(n)*p.rest.each
		*p.idle = now.Add(time.Duration(p.rest.times) * cost)
	}
	return nil
}
