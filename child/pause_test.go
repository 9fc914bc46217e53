package child

import "testing"

// TestPaused: what becomes of a state and its reason over a pause.
func TestPaused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spec   Spec
		path   []happening
		want   State
		reason string
	}{
		{name: "running", path: []happening{onPause, onUnpause}, want: StateRunning},
		{name: "ready", spec: Spec{Readiness: true}, path: []happening{onReady, onPause, onUnhealthy, onUnpause}, want: StateReady},
		{name: "unhealthy", spec: Spec{Readiness: true}, path: []happening{onReady, onUnhealthy, onPause, onUnpause}, want: StateUnhealthy, reason: "no answer"},
		{name: "starting", spec: Spec{Readiness: true}, path: []happening{onPause, onUnpause}, want: StateStarting},
		{name: "ready meanwhile", spec: Spec{Readiness: true}, path: []happening{onPause, onReady, onUnpause}, want: StateReady},
		{name: "twice", path: []happening{onPause, onPause, onUnpause, onUnpause}, want: StateRunning},
		{name: "new rules without readiness", spec: Spec{Readiness: true}, path: []happening{onPause, {"", func(m *machine) { m.revise(Revise{Spec: &Spec{}}) }}, onUnpause}, want: StateRunning},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&tt.spec, append([]happening{onStart, onExecuted}, tt.path...)...)
			if s := m.status(); s.State != tt.want || s.Reason != tt.reason || !s.Executed() {
				t.Errorf("got %s %q, executed %t, want %s %q", s.State, s.Reason, s.Executed(), tt.want, tt.reason)
			}
		})
	}
	m := newTestMachine(&Spec{}, onStart, onExecuted, onPause)
	if s := m.status(); s.State != StatePaused || s.Reason != "it was running" || s.State.Up() || s.Well(m.now) {
		t.Errorf("paused: got %+v", s)
	}
	if err := newTestMachine(&Spec{Job: TriggerManual}).mayPause(true); err == nil {
		t.Error("a job can be paused")
	}
}
