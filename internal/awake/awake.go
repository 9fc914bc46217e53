// Package awake waits for times that were given to other processes, counting only time in which this process could run.
//
// When a container is frozen or a virtual machine is stopped, the clock continues but nobody runs: neither the daemons nor this
// process. A timer then fires late, and a daemon would be blamed although it had no time at all. So such a time is waited for in
// pieces, and a piece that ends late is waited for again. At the end of a wait, at least its last piece was one in which everybody
// could run.
//
// Guarantees:
//
//  1. A wait is never shorter than its time.
//  2. A machine that is always busy does not make it endless: it has at most twice the usual number of pieces.
//  3. Nothing ticks while nothing is waited for.
//
// A standstill that is shorter than a piece, and lies between the ends of two, is not noticed. Suspending the machine needs no
// attention: CLOCK_MONOTONIC, on which timers run, stops with it.
package awake

import (
	"sync"
	"time"
)

const (
	// pieces is how many there are to a wait. More of them notice more, and wake an idle process more often.
	pieces = 4
	// slack is how late the end of a piece is on a machine that is merely busy; a shorter piece may be late by its length.
	slack = 250 * time.Millisecond
)

// A Wait is a time that is waited for in pieces. The zero Wait is over.
type Wait struct {
	left  time.Duration // with the present piece
	piece time.Duration
	began time.Time // the present piece
	spare int       // how many pieces may still be waited for again
}

// Begin returns the wait for d, which begins now.
func Begin(d time.Duration, now time.Time) Wait {
	return Wait{left: max(d, 0), piece: max(d/pieces, 1), began: now, spare: pieces}
}

// Present is the length of the present piece.
func (w *Wait) Present() time.Duration { return min(w.piece, w.left) }

// Next is told that the present piece has ended. It returns how long to wait then; no time means that the wait is over.
func (w *Wait) Next(now time.Time) time.Duration {
	if early := w.Present() - now.Sub(w.began); early > 0 {
		return early
	}
	if w.spare > 0 && w.late(now) {
		w.spare--
	} else {
		w.left -= w.Present()
	}
	w.began = now
	return w.Present()
}

// Stood reports whether time has stood still, as far as it is known, since the wait began.
func (w *Wait) Stood(now time.Time) bool { return w.spare < pieces || w.late(now) }

func (w *Wait) late(now time.Time) bool {
	return w.left > 0 && now.Sub(w.began) > w.Present()+min(w.Present(), slack)
}

// A Timer calls a function at the end of a wait. Make one with AfterFunc.
type Timer struct {
	f func()

	mu    sync.Mutex
	wait  Wait
	timer *time.Timer
	over  bool
}

// AfterFunc calls f, on a goroutine of its own, when d has passed, unless Stop is called before.
func AfterFunc(d time.Duration, f func()) *Timer {
	t := &Timer{f: f, wait: Begin(d, time.Now())}
	t.mu.Lock() // the first piece may end at once
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(t.wait.Present(), t.next)
	return t
}

func (t *Timer) next() {
	if t.advance() {
		t.f()
	}
}

// advance begins the next piece; it reports whether there is none.
func (t *Timer) advance() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	if d := t.wait.Next(time.Now()); d > 0 {
		t.timer.Reset(d)
		return false
	}
	t.over = true
	return true
}

// Stop ends the wait, and reports whether time has stood still in it. It does not wait for f, which may just run.
func (t *Timer) Stop() (stood bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stood = t.wait.Stood(time.Now())
	t.over = true
	t.timer.Stop()
	return stood
}
