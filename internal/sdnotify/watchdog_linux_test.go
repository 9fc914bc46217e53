package sdnotify

import (
	"testing"
	"time"
)

// TestWatchdogBehind: WATCHDOG=1 that came in time is seen, even if we come too late to look.
func TestWatchdogBehind(t *testing.T) {
	b, l := listen(t, Options{Watchdog: time.Hour}), newLife()
	b.Begin(l)
	b.send("READY=1")
	l.want(t, "ready")
	for range 3 {
		b.mu.Lock()
		b.hearing = true // as if it had been taken out, and no more
		period := b.period
		b.mu.Unlock()
		b.late(period)
		b.send("WATCHDOG=1\nEXTEND_TIMEOUT_USEC=1")
		l.want(t, "extend 1µs")
	}
}

// TestWatchdogBehindTwice: that there is always something to be heard is no sign of life.
func TestWatchdogBehindTwice(t *testing.T) {
	b, l := listen(t, Options{Watchdog: time.Hour}), newLife()
	b.Begin(l)
	b.send("READY=1")
	l.want(t, "ready")
	for _, want := range []int{0, 1} {
		b.mu.Lock()
		b.hearing = true
		period := b.period
		b.mu.Unlock()
		b.late(period)
		if got := len(l.told); got != want {
			t.Errorf("told %d things, want %d", got, want)
		}
	}
	l.want(t, "unhealthy: its watchdog heard nothing for 1h0m0s")
}

// TestWatchdogLate: a period that is over by now is not the present one.
func TestWatchdogLate(t *testing.T) {
	b, l := listen(t, Options{Watchdog: time.Hour}), newLife()
	b.Begin(l)
	b.send("READY=1")
	b.mu.Lock()
	period := b.period
	b.mu.Unlock()
	b.send("WATCHDOG=1")
	b.late(period)
	b.send("EXTEND_TIMEOUT_USEC=1")
	l.want(t, "ready", "extend 1µs")
}
