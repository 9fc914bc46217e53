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
	grace atomic.Int64 // a reload can change it
	began atomic.Pointer[time.Time]
	now   atomic.Bool // no more grace for anybody
	// overdue says the last words, if they are not said yet, and returns the exit code. It returns soon whatever hangs. It is set
	// before the bundle runs.
	overdue func() int
}

// newEnding returns the ending of a bundle with this grace.
func newEnding(grace time.Duration) *ending {
	e := &ending{}
	e.grace.Store(int64(grace))
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

// begin notes the time of the shutdown, and sees to it that the process is gone in time even if something hangs.
func (e *ending) begin(at time.Time) {
	if e.began.CompareAndSwap(nil, &at) {
		e.exitAt(at.Add(time.Duration(e.grace.Load())+exitAt), true)
	}
}

// exitAt ends the process at a time. Where that comes late, it is we who did not run, in a container that was frozen or on a
// machine that starves: then nobody was killed in time either, and what comes after the deadline gets its time once more.
func (e *ending) exitAt(due time.Time, again bool) {
	time.AfterFunc(time.Until(due), func() {
		if again && time.Since(due) > exitAt/4 {
			e.exitAt(time.Now().Add(exitAt), false)
			return
		}
		os.Exit(e.overdue())
	})
}

// deadline is when the grace of the shutdown has elapsed. Where the bundle has ended by itself it begins now.
func (e *ending) deadline() time.Time {
	e.begin(time.Now())
	if e.now.Load() {
		return time.Now()
	}
	return e.began.Load().Add(time.Duration(e.grace.Load()))
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
