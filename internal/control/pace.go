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
	next *time.Time    // when the next one may begin; belongs to who has the token
}

// A rest says how long the pause after a piece of work is. It is reckoned from what has come of the work and not from how
// long it took: on a busy machine that is mostly the time for which it was not run, and a multiple of that after each
// answer would let requests take seconds.
type rest struct {
	times int           // as the work, with what follows: net/http, the kernel and the client
	once  time.Duration // what a piece of work costs
	each  time.Duration // what each byte of it costs
}

// The rests: all answers together get at most a fifth of a processor, all who follow a tenth, which is 3.5 MB of lines in a
// second. An answer costs some 200 µs, most of it outside of the work; a kilobyte costs 10 µs where it is read.
var (
	answerRest = rest{times: 4, once: 200 * time.Microsecond, each: 15 * time.Nanosecond}
	followRest = rest{times: 9, once: 20 * time.Microsecond, each: 28 * time.Nanosecond}
	// All last lines together get a fifth too, in pieces: that is 13 MB in a second.
	tailRest = rest{times: 4, once: 10 * time.Microsecond, each: 15 * time.Nanosecond}
	// All who must be judged get a tenth: what counts there is not bytes but what is read in /proc.
	judgeRest = rest{times: 9, once: 60 * time.Microsecond, each: 15 * time.Microsecond}
)

// credit is how far a pause that was too long makes the next ones shorter. A timer is late by some milliseconds where the
// processors are busy, and as many requests as ever are to be answered there.
const credit = 20 * time.Millisecond

// longest is the longest pause. One client that wants all that is kept of a thousand daemons must not cost others more.
const longest = time.Second

func newPacer(r rest) pacer {
	p := pacer{rest: r, turn: make(chan struct{}, 1), next: &time.Time{}}
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
	if err := ctx.Err(); err != nil {
		return err
	}
	if d := time.Until(*p.next); d > 0 {
		if err := pause(ctx, d); err != nil {
			return err
		}
	}
	begin := time.Now().Add(-credit)
	if begin.Before(*p.next) {
		begin = *p.next
	}
	if n := work(); n > 0 {
		cost := p.rest.once + time.Duration(n)*p.rest.each
		*p.next = begin.Add(min(time.Duration(1+p.rest.times)*cost, longest))
	}
	return nil
}
