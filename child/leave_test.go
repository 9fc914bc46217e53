package child

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestLeave: a daemon that says that it ends has its grace for it, and is sent nothing before SIGKILL.
func TestLeave(t *testing.T) {
	const s = time.Second
	up := []happening{onStart, onExecuted}
	for _, tt := range []struct {
		name  string
		spec  Spec
		path  []happening
		grace time.Duration // 0: nothing is armed
		state State         // if not stopping
	}{
		{name: "the usual grace", path: up, grace: 5 * s},
		{name: "that of restarts", spec: Spec{RestartGrace: 2 * s}, path: up, grace: 2 * s},
		{name: "its own", spec: Spec{StopGrace: 9 * s, RestartGrace: 2 * s}, path: up, grace: 9 * s},
		{name: "before it is ready", spec: Spec{Readiness: true}, path: up, grace: 5 * s},
		{name: "unhealthy, and left to it", spec: Spec{Readiness: true}, path: append(up[:2:2], onUnhealthy), grace: 5 * s},
		{name: "pre_stop is for those that are asked", spec: Spec{PreStop: []Step{{}}}, path: up, grace: 5 * s},
		{name: "the bundle ends, and its deadline counts", path: append(up[:2:2], onRetire)},
		{name: "a step says so", spec: Spec{PreStart: []Step{{}}}, path: up, state: StateStarting},
		{name: "it is dead", path: append(up[:2:2], onExit0), state: StateExited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&tt.spec, tt.path...)
			m.leave(m.gen)
			if tt.state != "" {
				if m.state != tt.state || len(m.out) > 0 {
					t.Errorf("got state %s and %v, want %s and nothing", m.state, m.out, tt.state)
				}
				return
			}
			want := "[]"
			if tt.grace > 0 {
				want = fmt.Sprintf("[%s]", effect{kind: doArm, delay: tt.grace})
			}
			if got := fmt.Sprint(m.out); got != want || m.state != StateStopping {
				t.Errorf("got state %s and %s, want stopping and %s", m.state, got, want)
			}
			if tt.grace == 0 {
				return
			}
			m.out = nil
			m.timeout()
			if e := events(m); len(e) != 1 || e[0].Kind != EventKilled || e[0].Signal != 0 || e[0].Delay != tt.grace {
				t.Errorf("got %+v, want one that says that it did not end within %v of saying so", e, tt.grace)
			}
			if kill := (effect{kind: doSignal, sig: syscall.SIGKILL, group: true}); m.out[1].String() != kill.String() {
				t.Errorf("got %v, want %v", m.out[1], kill)
			}
			m.exited(m.gen, Exit{Signal: syscall.SIGKILL}, false, false)
			if e := events(m); e[len(e)-1].Requested {
				t.Errorf("got %+v, which nobody has asked for", e[len(e)-1])
			}
		})
	}
}

// TestLeavePolicy: that it said so makes no difference to what follows.
func TestLeavePolicy(t *testing.T) {
	for _, policy := range []Policy{RestartNo, RestartOnFailure, RestartAlways} {
		for _, exit := range []Exit{{}, {Code: 1}, {Signal: syscall.SIGTERM}, {Signal: syscall.SIGKILL}} {
			spec := &Spec{Restart: RestartPolicy{Policy: policy}}
			silent, leaving := newTestMachine(spec, onStart, onExecuted), newTestMachine(spec, onStart, onExecuted, onLeave)
			silent.exited(1, exit, false, false)
			leaving.exited(1, exit, false, false)
			if got, want := leaving.state, silent.state; got != want {
				t.Errorf("%s, %s: got state %s, want %s", policy, exit, got, want)
			}
			if got, want := leaving.result, silent.result; got != want {
				t.Errorf("%s, %s: got result %d, want %d", policy, exit, got, want)
			}
		}
	}
}

// TestLeaveThenAsked: commands that come then count, and do not signal it.
func TestLeaveThenAsked(t *testing.T) {
	for _, tt := range []struct {
		asked     happening
		state     State
		requested bool
	}{
		{onTerminate, StateStopped, true},
		{onRestart, StateStarting, true},
		{onStart, StateStarting, true},
		{onTerminateF, StateExited, true},
		{onReady, StateBackoff, false},
		{onUnhealthy, StateBackoff, false},
	} {
		t.Run(tt.asked.name, func(t *testing.T) {
			m := newTestMachine(&Spec{Restart: RestartPolicy{Policy: RestartAlways}}, onStart, onExecuted, onLeave)
			tt.asked.do(m)
			for _, e := range m.out {
				if e.kind == doSignal {
					t.Errorf("got %s", e)
				}
			}
			m.out = nil
			m.exited(1, Exit{}, false, false)
			if e := events(m); e[0].Kind != EventExited || e[0].Requested != tt.requested {
				t.Errorf("got %+v, want requested %v", e[0], tt.requested)
			}
			if m.state != tt.state {
				t.Errorf("state: got %s, want %s", m.state, tt.state)
			}
		})
	}
}
