package child

import (
	"testing"
	"time"
)

// TestExtend: more time is granted to the process that asks, while it is being stopped, and never makes the time shorter.
func TestExtend(t *testing.T) {
	const grace = 5 * time.Second
	term := happening{"terminate", func(m *machine) { m.terminate(false, 0) }}
	final := happening{"terminate, final", func(m *machine) { m.terminate(true, 0) }}
	for _, tt := range []struct {
		name string
		spec Spec
		path []happening // one a second, and a second more before Extend
		gen  uint64
		by   time.Duration
		want time.Duration // that is armed; 0 if nothing is
	}{
		{name: "more", path: []happening{onStart, onExecuted, term}, gen: 1, by: 10 * time.Second, want: 10 * time.Second},
		{name: "a little more", path: []happening{onStart, onExecuted, term}, gen: 1, by: 4*time.Second + 1, want: 4*time.Second + 1},
		{name: "less", path: []happening{onStart, onExecuted, term}, gen: 1, by: 3 * time.Second},
		{name: "too much", path: []happening{onStart, onExecuted, term}, gen: 1, by: time.Hour, want: MaxExtended - time.Second},
		{
			name: "more than that is its own", spec: Spec{StopGrace: 2 * MaxExtended}, path: []happening{onStart, onExecuted, term}, gen: 1,
			by: time.Hour,
		},
		{name: "it has said that it ends", path: []happening{onStart, onExecuted, onLeave}, gen: 1, by: 10 * time.Second, want: 10 * time.Second},
		{name: "another life", path: []happening{onStart, onExecuted, term}, gen: 2, by: 10 * time.Second},
		{name: "it is not being stopped", path: []happening{onStart, onExecuted}, gen: 1, by: 10 * time.Second},
		{name: "it was killed", path: []happening{onStart, onExecuted, term, onTimeout}, gen: 1, by: 10 * time.Second},
		{name: "the deadline of the bundle", path: []happening{onStart, onExecuted, final}, gen: 1, by: 10 * time.Second},
		{
			name: "a grace within it", spec: Spec{StopGrace: grace}, path: []happening{onStart, onExecuted, final}, gen: 1,
			by: 10 * time.Second, want: 10 * time.Second,
		},
		{
			name: "while pre_stop runs", spec: Spec{PreStop: []Step{{}}}, path: []happening{onStart, onExecuted, term}, gen: 1,
			by: 10 * time.Second,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&tt.spec, tt.path...)
			was := m.grace
			m.extend(tt.gen, tt.by)
			var armed time.Duration
			for _, e := range m.out {
				if e.kind == doArm {
					armed = e.delay
				}
			}
			if armed != tt.want {
				t.Errorf("armed: got %s, want %s", armed, tt.want)
			}
			if want := min(tt.by+time.Second, MaxExtended); tt.want != 0 && m.grace != want {
				t.Errorf("grace: got %s, want %s", m.grace, want)
			}
			if m.steps != StepPreStop {
				if tt.want == 0 && m.grace != was {
					t.Errorf("grace: got %s, want %s as before", m.grace, was)
				}
				return
			}
			m.now = m.now.Add(time.Second)
			m.out = nil
			m.stepsDone(m.gen, StepPreStop, nil)
			if last := m.out[len(m.out)-1]; last.kind != doArm || last.delay != tt.by-time.Second {
				t.Errorf("after pre_stop: got %s %s, want %s", last.kind, last.delay, tt.by-time.Second)
			}
		})
	}
}

// TestPreStopFrozen: where the clock says that pre_stop took longer than it may nobody could run, and the stop signal is
// followed by the half of the grace that is its own.
func TestPreStopFrozen(t *testing.T) {
	m := newTestMachine(&Spec{PreStop: []Step{{}}}, onStart, onExecuted, onTerminate)
	m.now = m.now.Add(time.Hour)
	m.stepsDone(1, StepPreStop, nil)
	if last, want := m.out[len(m.out)-1], DefaultRestartGrace/2; last.kind != doArm || last.delay != want {
		t.Errorf("got %s %s, want %s", last.kind, last.delay, want)
	}
}
