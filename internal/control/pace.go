package control

import (
	"context"
	"time"
)

// A pacer lets work for clients be done by one at a time, and makes a pause after each piece, so that all clients together
// take a small share of a processor: daemons and their log come first. A client that is alone does not notice.
type pacer struct {
	turn chan struct{} // has the token while nobody works
	idle *time.Time    // when the next one may begin; belongs to who has the token
}

func newPacer() pacer {
	p := pacer{turn: make(chan struct{}, 1), idle: &time.Time{}}
	p.turn <- struct{}{}
	return p
}

// A rest says how many times as long as the work the pause after it is, and what is added to the work: what net/http and the
// kernel do for it later, which is not seen here.
type rest struct {
	times int
	more  time.Duration
}

var (
	answerRest = rest{4, 150 * time.Microsecond} // after an answer
	followRest = rest{12, 20 * time.Microsecond} // after a piece of a log
)

// do does the work when it is its turn, unless ctx ends before that.
func (p pacer) do(ctx context.Context, r rest, work func()) error {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.turn <- struct{}{} }()
	if d := time.Until(*p.idle); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	start := time.Now()
	work()
	now := time.Now()
	*p.idle = now.Add(time.Duration(r.times) * (now.Sub(start) + r.more))
	return nil
}
