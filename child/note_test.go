package child

import "testing"

// TestNote: what a process says about itself is the reason of its state, unless there is a better one, and until it ends.
func TestNote(t *testing.T) {
	m := newTestMachine(&Spec{Readiness: true, Restart: RestartPolicy{Policy: RestartNo}}, onStart)
	m.note(1, "too early")
	m.spawned(1, 101)
	for _, tt := range []struct {
		name string
		do   func()
		want string
	}{
		{"nothing", func() {}, ""},
		{"something", func() { m.note(1, "loading") }, "loading"},
		{"another life", func() { m.note(2, "other") }, "loading"},
		{"it stays", func() { m.ready(1) }, "loading"},
		{"a better one", func() { m.unhealthy(1, "no answer") }, "no answer"},
		{"said meanwhile", func() { m.note(1, "stuck") }, "no answer"},
		{"well again", func() { m.ready(1) }, "stuck"},
		{"dead", func() { m.exited(1, Exit{}, false, false) }, ""},
		{"the next life", func() { m.start(Start{}); m.spawned(2, 102) }, ""},
	} {
		tt.do()
		if got := m.status().Reason; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
