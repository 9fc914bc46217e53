package child

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestCompare(t *testing.T) {
	base := Spec{
		Name: "web", Program: Program{Argv: []string{"w"}, Env: []string{"A=1", "B=2"}, Attr: &Attr{NoNewPrivileges: true}},
		After: []Dependency{{Name: "a"}, {Name: "b"}}, PreStart: []Step{{Program: Program{Argv: []string{"p"}}}},
	}
	for _, tt := range []struct {
		name   string
		change func(*Spec)
		want   Change
	}{
		{"nothing", func(*Spec) {}, SameSpec},
		{"data", func(s *Spec) { s.Data = 1 }, SameSpec},
		{"an empty list for none", func(s *Spec) { s.Groups = []string{} }, SameSpec},
		{"the order of the environment", func(s *Spec) { s.Env = []string{"B=2", "A=1"} }, SameSpec},
		{"the order of dependencies", func(s *Spec) { s.After = []Dependency{{Name: "b"}, {Name: "a"}} }, SameSpec},
		{"an equal attribute", func(s *Spec) { s.Attr = &Attr{NoNewPrivileges: true} }, SameSpec},
		{"argv", func(s *Spec) { s.Argv = []string{"w", "x"} }, OtherProgram},
		{"env", func(s *Spec) { s.Env = []string{"A=1", "B=3"} }, OtherProgram},
		{"dir", func(s *Spec) { s.Dir = "/" }, OtherProgram},
		{"user", func(s *Spec) { s.User = "nobody" }, OtherProgram},
		{"groups", func(s *Spec) { s.Groups = []string{"a"} }, OtherProgram},
		{"attr", func(s *Spec) { s.Attr = &Attr{} }, OtherProgram},
		{"no attr", func(s *Spec) { s.Attr = nil }, OtherProgram},
		{"stamp", func(s *Spec) { s.Stamp = "x" }, OtherProgram},
		{"a step", func(s *Spec) { s.PreStart = nil }, OtherRules},
		{"policy", func(s *Spec) { s.Restart.Policy = RestartAlways }, OtherRules},
		{"grace", func(s *Spec) { s.StopGrace = time.Second }, OtherRules},
		{"readiness", func(s *Spec) { s.Readiness = true }, OtherRules},
		{"a condition", func(s *Spec) { s.After = []Dependency{{Name: "a", Condition: ServiceHealthy}, {Name: "b"}} }, OtherRules},
	} {
		other := base
		tt.change(&other)
		if got := base.Compare(&other); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if got := other.Compare(&base); got != tt.want {
			t.Errorf("%s, taken back: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestRevise: by which rules a life goes on, and what the next one is.
func TestRevise(t *testing.T) {
	old := Spec{Name: "web", StopSignal: syscall.SIGINT, Restart: RestartPolicy{Policy: RestartAlways, Max: 3}}
	newer := Spec{Name: "web", StopSignal: syscall.SIGQUIT, Program: Program{Stamp: "new"}}
	rules := happening{"rules", func(m *machine) { m.revise(Revise{Spec: &newer}) }}
	program := happening{"program", func(m *machine) { m.revise(Revise{Spec: &newer, Restart: true}) }}
	other := newer
	late := happening{"other rules", func(m *machine) { m.revise(Revise{Spec: &other}) }}
	back := happening{"back", func(m *machine) { m.revise(Revise{Spec: &newer, Restart: true, Start: true}) }}
	alive := []happening{onStart, onExecuted}
	for _, tt := range []struct {
		name    string
		path    []happening
		do      happening
		state   State
		signals []syscall.Signal // that were sent by it
		spawns  *Spec            // what is executed after it, once a process that lives has ended
	}{
		{"rules of a live one", alive, rules, StateRunning, nil, nil},
		{"its stop is the new one's", append(alive, rules), onTerminate, StateStopping, []syscall.Signal{syscall.SIGQUIT, syscall.SIGCONT}, nil},
		{"another program is stopped as the old one", alive, program, StateStopping, []syscall.Signal{syscall.SIGINT, syscall.SIGCONT}, &newer},
		{"rules that come during that are the next one's", append(alive, program), late, StateStopping, nil, &other},
		{"one that waits", nil, program, StateWaiting, nil, nil},
		{"one that waits, and is started then", []happening{program}, onStart, StateStarting, nil, &newer},
		{"one that is being executed", []happening{onStart}, program, StateStarting, nil, nil},
		{"one that is executed, and to be another", []happening{onStart, program}, onExecuted, StateStopping, []syscall.Signal{syscall.SIGINT, syscall.SIGCONT}, &newer},
		{"one that is being stopped by hand", append(alive, onTerminate), program, StateStopping, nil, nil},
		{"one that is being stopped by hand, started", append(alive, onTerminate, program), onStart, StateStopping, nil, &newer},
		{"one that leaves and comes back", append(alive, onTerminate), back, StateStopping, nil, &newer},
		{"one that was stopped by hand", append(alive, onTerminate, onExitTerm), program, StateStopped, nil, nil},
		{"one that was stopped, and comes back", append(alive, onTerminate, onExitTerm), back, StateStarting, nil, &newer},
		{"one in backoff", append(alive, onExit1), program, StateStarting, nil, &newer},
		{"one in the bundle's end", append(alive, onRetire), program, StateRunning, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := old
			m := newTestMachine(&spec, tt.path...)
			tt.do.do(m)
			if m.state != tt.state {
				t.Errorf("state: got %s, want %s", m.state, tt.state)
			}
			if got := signals(m); !slices.Equal(got, tt.signals) {
				t.Errorf("signals: got %v, want %v", got, tt.signals)
			}
			if m.state == StateStopping {
				m.exited(m.gen, Exit{}, false, false)
			}
			var spawned *Spec
			for _, o := range m.out {
				if o.kind == doSpawn {
					spawned = o.spec
				}
			}
			if spawned != tt.spawns {
				t.Errorf("executed: got %+v, want %+v", spawned, tt.spawns)
			}
			if m.goal.final() {
				return
			}
			if got := m.status().Spec; got != &newer && got != tt.spawns && tt.name != "one in the bundle's end" {
				t.Errorf("status: has %+v, want the new definition", got)
			}
		})
	}

	crash := append(slices.Clone(alive), onExit1, onTimeout, onExecuted, onExit1)
	m := newTestMachine(&old, append(crash, onTimeout, onExecuted)...)
	if program.do(m); m.failures != 0 {
		t.Errorf("failures: got %d, want 0: the row is the old program's", m.failures)
	}
}

// TestReviseReadiness: who waits for a word that will not come any more does not wait.
func TestReviseReadiness(t *testing.T) {
	plain := Spec{Name: "web"}
	for _, path := range [][]happening{{onStart, onExecuted}, {onStart, onExecuted, onReady, onUnhealthy}} {
		m := newTestMachine(&Spec{Name: "web", Readiness: true}, path...)
		m.revise(Revise{Spec: &plain})
		if m.state != StateRunning {
			t.Errorf("after %v: got %s, want running", path, m.state)
		}
	}
	m := newTestMachine(&Spec{Name: "web", Readiness: true}, onStart)
	if m.revise(Revise{Spec: &plain}); m.state != StateStarting {
		t.Errorf("while it is executed: got %s, want starting", m.state)
	}
	m = newTestMachine(&Spec{Name: "web", Readiness: true, PreStart: []Step{{}}}, onStart, onExecuted)
	if m.revise(Revise{Spec: &plain}); m.state != StateStarting {
		t.Errorf("during a step before it: got %s, want starting", m.state)
	}
	if onExit0.do(m); m.phase == phaseSpawning == false || m.out[len(m.out)-1].spec != &plain {
		t.Errorf("the program did not follow the step")
	}
}

// TestSuccess: endings that count as success, and those after which nothing is restarted.
func TestSuccess(t *testing.T) {
	spec := Spec{
		Name: "web", Restart: RestartPolicy{Policy: RestartOnFailure}, Success: Success{Codes: []int{143}, Signals: []syscall.Signal{syscall.SIGUSR1}},
		NoRestart: []int{78},
	}
	for _, tt := range []struct {
		exit    Exit
		state   State
		success bool
		result  int
	}{
		{Exit{}, StateExited, true, 0},
		{Exit{Code: 143}, StateExited, true, 0},
		{Exit{Signal: syscall.SIGUSR1}, StateExited, true, 0},
		{Exit{Signal: syscall.SIGTERM}, StateBackoff, false, 143}, // 143 is an exit code here
		{Exit{Code: 1}, StateBackoff, false, 1},
		{Exit{Code: 78}, StateExited, false, 78},
		{Exit{Code: 138}, StateBackoff, false, 138},
	} {
		m := newTestMachine(&spec, onStart, onExecuted)
		m.exited(m.gen, tt.exit, false, false)
		e := events(m)[0]
		if m.state != tt.state || e.Success != tt.success || m.status().Completed != tt.success || m.result != tt.result {
			t.Errorf("%s: got %s, success %t, completed %t, result %d; want %s, both %t, %d", tt.exit,
				m.state, e.Success, m.status().Completed, m.result, tt.state, tt.success, tt.result)
		}
	}
	always := spec
	always.Restart.Policy = RestartAlways
	m := newTestMachine(&always, onStart, onExecuted)
	if m.exited(m.gen, Exit{Code: 78}, false, false); m.state != StateExited {
		t.Errorf("always, code 78: got %s, want exited", m.state)
	}
}
