//go:build linux && vm

package main

import (
	"syscall"
	"testing"
	"time"
)

// TestJobClock: a schedule goes by the clock as it is set: what could not fire in time is one run, or none, and nothing fires twice.
func TestJobClock(t *testing.T) {
	machine(t)
	begin := time.Now()
	defer func() { step(t, time.Since(begin)-time.Duration(time.Now().UnixNano()-begin.UnixNano())) }() // as if nobody had touched it
	to := func(hour, minute, second int) {
		t.Helper()
		now := time.Now().UTC()
		step(t, time.Date(now.Year(), now.Month(), now.Day(), hour, minute, second, 0, time.UTC).Sub(now.Round(0)))
	}
	to(1, 30, 0)
	s := start(t, call{bundle: services(daemon("web", "print up; block")) + "jobs:\n" +
		job("one", "exit 0", `triggers: { schedule: ["0 * * * *"] }`) +
		job("skip", "exit 0", `triggers: { schedule: [ { cron: "0 * * * *", missed_fires: skip } ] }`)})
	s.expect("[web] up")
	to(1, 59, 58)
	s.expect("sidecar-init: job one started (schedule)", "sidecar-init: job skip started (schedule)")
	s.match("sidecar-init: job skip succeeded in .*")
	s.match("sidecar-init: job one succeeded in .*")
	to(5, 10, 0)
	s.expect("sidecar-init: job one missed 3 fires; one run stands for all", "sidecar-init: job skip missed 3 fires; nothing runs for them")
	s.expect("sidecar-init: job one started (schedule)")
	s.match("sidecar-init: job one succeeded in .*")
	to(2, 59, 58) // which it has shown before
	time.Sleep(4 * time.Second)
	to(5, 59, 58)
	s.expect("sidecar-init: job one started (schedule)", "sidecar-init: job skip started (schedule)")
	s.match("sidecar-init: job skip succeeded in .*")
	s.match("sidecar-init: job one succeeded in .*") // a run that is in progress would let the next be skipped
	// As in a container that was paused: the supervisor does not run while the clock goes on.
	s.signal(syscall.SIGSTOP)
	to(8, 30, 0)
	time.Sleep(time.Second)
	s.signal(syscall.SIGCONT)
	s.expect("sidecar-init: job one missed 2 fires; one run stands for all", "sidecar-init: job skip missed 2 fires; nothing runs for them")
	s.expect("sidecar-init: job one started (schedule)")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	if got := s.count(`sidecar-init: job one started \(schedule\)`); got != 4 {
		t.Errorf("one ran %d times, want 4\n%s", got, s.output())
	}
	if got := s.count(`sidecar-init: job skip started \(schedule\)`); got != 2 {
		t.Errorf("skip ran %d times, want 2\n%s", got, s.output())
	}
}
