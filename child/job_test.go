package child

import (
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newJob(timeout time.Duration) *machine {
	return newMachine(&Spec{Name: "j", Program: Program{Argv: []string{"/bin/entry", "arg"}}, Job: TriggerManual, Timeout: timeout, StopGrace: time.Second}, epoch)
}

// after1 lets one thing happen, and returns the effects.
func (m *machine) after1(happens func()) []effect {
	m.out = nil
	happens()
	return m.out
}

func kinds(out []effect) (kinds []effectKind) {
	for _, e := range out {
		if e.kind != doEmit {
			kinds = append(kinds, e.kind)
		}
	}
	return kinds
}

func TestJobRun(t *testing.T) {
	m := newJob(time.Minute)
	if m.state != StateScheduled {
		t.Fatalf("it begins in %s", m.state)
	}
	if out := m.after1(func() { m.start(Start{}) }); len(out) > 0 {
		t.Errorf("a start without a trigger: %v", out)
	}
	out := m.after1(func() { m.start(Start{Trigger: TriggerSchedule, Argv: []string{"/bin/entry", "own"}}) })
	if got := kinds(out); !slices.Equal(got, []effectKind{doArm, doSpawn}) || out[0].delay != time.Minute {
		t.Errorf("start: %v", out)
	}
	if spec := out[len(out)-1].spec; !slices.Equal(spec.Argv, []string{"/bin/entry", "own"}) || !slices.Equal(m.spec.Argv, []string{"/bin/entry", "arg"}) {
		t.Errorf("got %v; the definition says %v", spec.Argv, m.spec.Argv)
	}
	m.spawned(1, 100)
	if out := m.after1(func() { m.start(Start{Trigger: TriggerManual}) }); len(out) > 0 || m.state != StateRunning {
		t.Errorf("a start during a run: %v", out)
	}
	out = m.after1(func() { m.exited(1, Exit{Code: 3}, false, false) })
	if e := out[len(out)-1].event; m.state != StateScheduled || e.Kind != EventExited || e.Trigger != TriggerSchedule || e.Success || e.Requested || e.Next != NextNothing {
		t.Errorf("state %s, event %+v", m.state, e)
	}
	out = m.after1(func() { m.start(Start{Trigger: TriggerManual}) })
	if spec := out[len(out)-1].spec; !slices.Equal(spec.Argv, m.spec.Argv) {
		t.Errorf("the run has the arguments of the one before: %v", spec.Argv)
	}
}

// TestJobTimeout: a run that takes too long is stopped, and has failed whatever it ends with.
func TestJobTimeout(t *testing.T) {
	for _, spawned := range []bool{true, false} {
		m := newJob(time.Minute)
		m.start(Start{Trigger: TriggerManual})
		if spawned {
			m.spawned(1, 100)
			m.timeout()
		} else { // the program is just being executed
			m.timeout()
			m.spawned(1, 100)
		}
		if m.state != StateStopping {
			t.Fatalf("state %s", m.state)
		}
		out := m.after1(func() { m.exited(1, Exit{}, false, false) })
		i := slices.IndexFunc(out, func(e effect) bool { return e.event.Kind == EventExited })
		if e := out[i].event; e.Success || !e.Overdue || !e.Requested || m.state != StateScheduled {
			t.Errorf("state %s, event %+v", m.state, e)
		}
		m.start(Start{Trigger: TriggerManual})
		m.spawned(2, 101)
		out = m.after1(func() { m.exited(2, Exit{}, false, false) })
		if e := out[len(out)-1].event; !e.Success || e.Overdue {
			t.Errorf("the next run: %+v", e)
		}
	}
}

// TestJobRevise: a run goes on under the definition it was begun with; what was a daemon becomes a job, and the reverse.
func TestJobRevise(t *testing.T) {
	other := func(job Trigger) *Spec {
		return &Spec{Name: "j", Program: Program{Argv: []string{"/bin/other"}}, Job: job}
	}
	m := newJob(0)
	m.start(Start{Trigger: TriggerManual})
	m.spawned(1, 100)
	if out := m.after1(func() { m.revise(Revise{Spec: other(TriggerSchedule)}) }); len(out) > 0 || m.status().Spec.Argv[0] != "/bin/other" {
		t.Errorf("the run was touched: %v", out)
	}
	m.exited(1, Exit{}, false, false)
	out := m.after1(func() { m.start(Start{Trigger: TriggerSchedule}) })
	if spec := out[len(out)-1].spec; spec.Argv[0] != "/bin/other" {
		t.Errorf("the next run is %v", spec.Argv)
	}
	m.spawned(2, 101)
	m.revise(Revise{Spec: other(""), Restart: true})
	m.exited(2, Exit{Signal: syscall.SIGTERM}, false, false)
	if m.state != StateStarting || m.trigger != "" || m.spec.Job != "" {
		t.Errorf("as a daemon: state %s, trigger %q", m.state, m.trigger)
	}
	m.spawned(3, 102)
	m.revise(Revise{Spec: other(TriggerManual), Restart: true})
	m.exited(3, Exit{Signal: syscall.SIGTERM}, false, false)
	if m.state != StateScheduled {
		t.Errorf("as a job again: state %s", m.state)
	}
	m.revise(Revise{Spec: other(""), Restart: true})
	if m.state != StateStarting {
		t.Errorf("a resting job that becomes a daemon: state %s", m.state)
	}
}

// TestJobModel: whatever happens, there is one run at a time, each has one end, and what is asked for between runs does not start one.
func TestJobModel(t *testing.T) {
	checks(t, 2000)
	rapid.Check(t, func(t *rapid.T) {
		m := newJob(rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "timeout"))
		running, process, spawning, left, final, begun, ended := false, false, false, false, false, 0, 0
		step := func(happens func()) {
			m.out = nil
			happens()
			for _, e := range m.out {
				switch e.kind {
				case doSpawn:
					if process || spawning || final {
						t.Fatalf("a process beside another, or after the end: %+v", m)
					}
					spawning, left = true, false
				case doIgnore:
					left = false
				case doEmit:
					if e.event.Trigger != m.trigger {
						t.Fatalf("an event of another trigger: %+v", e.event)
					}
					switch e.event.Kind {
					case EventStarting:
						begun++
						running = true
					case EventExited, EventFailed:
						ended++
						running = false
					}
				}
			}
			if begun-ended > 1 || (begun > ended) != running {
				t.Fatalf("%d begun, %d ended", begun, ended)
			}
			if !process && !spawning && !left && m.state != StateScheduled && !final {
				t.Fatalf("nothing runs, and the state is %s", m.state)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": func(*rapid.T) { step(func() { m.start(Start{Trigger: TriggerManual}) }) },
			"stop":  func(*rapid.T) { step(func() { m.terminate(false, 0) }) },
			"revise": func(*rapid.T) {
				step(func() {
					m.revise(Revise{Spec: &Spec{Name: "j", Program: Program{Argv: []string{"/x"}}, Job: TriggerManual, Timeout: time.Second}})
				})
			},
			"retire": func(*rapid.T) { final = true; step(m.retire) },
			"timeout": func(t *rapid.T) {
				if !m.state.Alive() {
					t.Skip("nothing is armed")
				}
				step(m.timeout)
			},
			"spawned": func(t *rapid.T) {
				if !spawning {
					t.Skip("no spawn")
				}
				spawning, process = false, true
				step(func() { m.spawned(m.gen, 100) })
			},
			"failed": func(t *rapid.T) {
				if !spawning {
					t.Skip("no spawn")
				}
				spawning = false
				step(func() { m.failed(m.gen, errors.New("no")) })
			},
			"exited": func(t *rapid.T) {
				if !process {
					t.Skip("no process")
				}
				process = false
				left = rapid.Bool().Draw(t, "left")
				step(func() { m.exited(m.gen, Exit{Code: rapid.IntRange(0, 1).Draw(t, "code")}, left, false) })
			},
			"emptied": func(t *rapid.T) {
				if !left || m.state != StateStopping {
					t.Skip("nobody is watched")
				}
				left = false
				step(func() { m.emptied(m.gen) })
			},
		})
	})
}
