package main

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// An ending knows the deadline of the bundle's end.
type ending struct {
	grace time.Duration
	began atomic.Pointer[time.Time]
	now   atomic.Bool // no more grace for anybody
	code  atomic.Int32
}

// newEnding returns the ending of a bundle whose exit code is not known yet.
func newEnding(grace time.Duration) *ending {
	e := &ending{grace: grace}
	e.code.Store(exitSoftware)
	return e
}

// observe is root.Config.Observe.
func (e *ending) observe(event child.Event) {
	switch event.Kind {
	case root.EventShutdown:
		e.begin(event.Time)
	case root.EventKillNow:
		e.now.Store(true)
	}
}

// begin notes the time of the shutdown, and sees to it that the process is gone in time even if something hangs: with the
// exit code of the bundle, if it is known by then. The time after the deadline is counted from when we have run at it: in a
// container that was frozen both would be over at once, before anybody is killed.
func (e *ending) begin(at time.Time) {
	if e.began.CompareAndSwap(nil, &at) {
		time.AfterFunc(time.Until(at.Add(e.grace)), func() {
			time.AfterFunc(exitAt, func() { os.Exit(int(e.code.Load())) })
		})
	}
}

// deadline is when the grace of the shutdown has elapsed. Where the bundle has ended by itself it begins now.
func (e *ending) deadline() time.Time {
	e.begin(time.Now())
	if e.now.Load() {
		return time.Now()
	}
	return e.began.Load().Add(e.grace)
}

// logDeadline is when the rest of the log is given up, where its consumer has stopped: at the deadline of the shutdown,
// and where the last daemons have ended shortly before that, or after it, a moment later.
func logDeadline(deadline, now time.Time) time.Time {
	by := now.Add(logTime)
	if end := deadline.Add(logEnd); end.Before(by) {
		return end
	}
	if by.Before(deadline) {
		return deadline
	}
	return by
}
