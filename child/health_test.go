package child

import (
	"testing"
	"time"
)

// TestWell is the rule of health.
func TestWell(t *testing.T) {
	bad, good := &Exit{Code: 1}, &Exit{}
	for _, tt := range []struct {
		status Status
		want   bool
	}{
		{Status{State: StateWaiting}, false},
		{Status{State: StateStarting}, false},
		{Status{State: StateRunning}, true},
		{Status{State: StateRunning, Last: bad}, true},
		{Status{State: StateRunning, Last: bad, Proven: epoch.Add(1)}, false},
		{Status{State: StateReady, Last: bad, Proven: epoch.Add(1)}, false},
		{Status{State: StateReady, Last: bad, Proven: epoch}, true},
		{Status{State: StateUnhealthy}, false},
		{Status{State: StateStopping, Last: bad}, false},
		{Status{State: StateStopping, Last: bad, Requested: true}, true},
		{Status{State: StateBackoff, Last: good}, false},
		{Status{State: StateExited, Last: good, Completed: true}, true},
		{Status{State: StateExited, Last: bad, Completed: true}, true}, // by Spec.Success
		{Status{State: StateExited, Last: bad}, false},
		{Status{State: StateExited}, true},
		{Status{State: StateStopped, Last: bad}, true},
		{Status{State: StateGaveUp, Last: good}, false},
	} {
		if got := tt.status.Well(epoch); got != tt.want {
			t.Errorf("%+v: got %v, want %v", tt.status, got, tt.want)
		}
	}
}

// TestProven is how long a life counts against the health of the bundle, by what came before it.
func TestProven(t *testing.T) {
	always := Spec{Restart: RestartPolicy{Policy: RestartAlways}}
	short := always
	short.Backoff.ResetAfter = 3 * time.Second
	steps := always
	steps.PreStart = []Step{{}}
	run := []happening{onStart, onExecuted}
	crash := append(run[:2:2], onExit1, onTimeout, onExecuted)
	for _, tt := range []struct {
		name string
		spec Spec
		path []happening
		want time.Duration // after the last start; 0: at once
	}{
		{"the first start", always, run, 0},
		{"after a failure", always, crash, 10 * time.Second},
		{"after a failure, found ready", always, append(crash[:5:5], onReady), 10 * time.Second},
		{"a shorter reset_after", short, crash, 3 * time.Second},
		{"after a failed start", always, []happening{onStart, onNoMemory, onTimeout, onExecuted}, 10 * time.Second},
		{"after a success", always, []happening{onStart, onExecuted, onExit0, onTimeout, onExecuted}, 0},
		{"after a failure and a success", always, append(crash[:5:5], onExit0, onTimeout, onExecuted), 0},
		{"unhealthy", always, []happening{onStart, onExecuted, onUnhealthy, onExit0, onTimeout, onExecuted}, 10 * time.Second},
		{"started by hand in backoff", always, []happening{onStart, onExecuted, onExit1, onStart, onExecuted}, 0},
		{"restarted by hand in backoff", always, []happening{onStart, onExecuted, onExit1, onRestart, onExecuted}, 0},
		{"restarted by hand after a failure", always, append(crash[:5:5], onRestart, onExitTerm, onExecuted), 0},
		{"restarted by hand while it is being stopped", always, []happening{onStart, onExecuted, onUnhealthy, onRestart, onExitTerm, onExecuted}, 0},
		{"after a step", steps, []happening{onStart, onExecuted, onExit1, onTimeout, onExecuted, onExit0, onExecuted}, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTestMachine(&tt.spec, tt.path...).status()
			if !s.State.Up() {
				t.Fatalf("state: got %s, want one that is up", s.State)
			}
			if got := s.Well(s.Started.Add(tt.want)); !got {
				t.Errorf("%s after its start it is not well", tt.want)
			}
			if tt.want > 0 && s.Well(s.Started.Add(tt.want-1)) {
				t.Errorf("just before %s after its start it is well", tt.want)
			}
		})
	}
}

// TestRequested is whether a stop that is under way was asked for.
func TestRequested(t *testing.T) {
	for _, tt := range []struct {
		name string
		path []happening
		want bool
	}{
		{"by hand", []happening{onTerminate}, true},
		{"restart", []happening{onRestart}, true},
		{"shutdown", []happening{onTerminateF}, true},
		{"unhealthy", []happening{onUnhealthy}, false},
		{"unhealthy, then by hand", []happening{onUnhealthy, onTerminate}, true},
		{"unhealthy, then restart", []happening{onUnhealthy, onRestart}, true},
		{"unhealthy, then shutdown", []happening{onUnhealthy, onRetire}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := &Spec{Restart: RestartPolicy{Policy: RestartOnFailure}}
			s := newTestMachine(spec, append([]happening{onStart, onExecuted}, tt.path...)...).status()
			if s.State != StateStopping || s.Requested != tt.want {
				t.Errorf("got %s, requested %v, want %v", s.State, s.Requested, tt.want)
			}
		})
	}
}
