package child

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// epoch is when the machines of tests are made.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A happening is an event of the machine, or several.
type happening struct {
	name string
	do   func(m *machine)
}

// The happenings, by their names in the table. Facts are about the present generation.
var (
	onStart      = happening{"start", func(m *machine) { m.start(Start{}) }}
	onSkip       = happening{"skip", func(m *machine) { m.skip("db is dead") }}
	onRestart    = happening{"restart", (*machine).restart}
	onTerminate  = happening{"terminate", func(m *machine) { m.terminate(false, 0) }}
	onTerminateF = happening{"terminate, final", func(m *machine) { m.terminate(true, 4*time.Second) }}
	onRetire     = happening{"retire", (*machine).retire}
	onKill       = happening{"kill", (*machine).kill}
	onRules      = happening{"revise rules", func(m *machine) { m.revise(Revise{Spec: m.like()}) }}
	onProgram    = happening{"revise program", func(m *machine) { m.revise(Revise{Spec: m.like(), Restart: true}) }}
	onHup        = happening{"signal HUP", func(m *machine) { _ = m.forward(syscall.SIGHUP, true) }}
	onUsr1       = happening{"signal USR1 at once", func(m *machine) { _ = m.forward(syscall.SIGUSR1, false) }}
	onPause      = happening{"pause", func(m *machine) { m.tryPause(true) }}
	onUnpause    = happening{"unpause", func(m *machine) { m.tryPause(false) }}
	onExecuted   = happening{"spawned", func(m *machine) { m.spawned(m.gen, 100+int(m.gen)) }}
	onNotFound   = happening{"failed, 127", func(m *machine) { m.failed(m.gen, &StartError{Reason: "no such file", Code: 127}) }}
	onNoMemory   = happening{"failed, transient", func(m *machine) { m.failed(m.gen, &StartError{Reason: "no memory", Code: 126, Transient: true}) }}
	onExit0      = happening{"exit 0", func(m *machine) { m.exited(m.gen, Exit{}, false, false) }}
	onExit1      = happening{"exit 1", func(m *machine) { m.exited(m.gen, Exit{Code: 1}, false, false) }}
	onExitTerm   = happening{"death by TERM", func(m *machine) { m.exited(m.gen, Exit{Signal: syscall.SIGTERM}, false, false) }}
	onExit0Left  = happening{"exit 0, others left", func(m *machine) { m.exited(m.gen, Exit{}, true, true) }}
	onEmptied    = happening{"group is empty", func(m *machine) { m.emptied(m.gen) }}
	onReady      = happening{"ready", func(m *machine) { m.ready(m.gen) }}
	onUnhealthy  = happening{"unhealthy", func(m *machine) { m.unhealthy(m.gen, "no answer") }}
	onLeave      = happening{"says that it ends", func(m *machine) { m.leave(m.gen) }}
	onPostDone   = happening{"post_start ends", func(m *machine) { m.stepsDone(m.gen, StepPostStart, nil) }}
	onPostFails  = happening{"post_start fails", func(m *machine) { m.stepsDone(m.gen, StepPostStart, errors.New("no good")) }}
	onPreDone    = happening{"pre_stop ends", func(m *machine) { m.stepsDone(m.gen, StepPreStop, nil) }}
	onPreFails   = happening{"pre_stop fails", func(m *machine) { m.stepsDone(m.gen, StepPreStop, errors.New("no good")) }}
	onTimeout    = happening{"timeout", (*machine).timeout}
)

// tryPause is what the actor does, with a process that can be frozen.
func (m *machine) tryPause(on bool) {
	if m.mayPause(on) == nil {
		m.pause(on)
	}
}

// like is another definition of the daemon.
func (m *machine) like() *Spec {
	spec := *m.spec
	spec.Stamp += "+"
	return &spec
}

// newTestMachine lets things happen to a new machine, one a second.
func newTestMachine(spec *Spec, path ...happening) *machine {
	m := newMachine(spec, epoch)
	for _, h := range path {
		m.now = m.now.Add(time.Second)
		h.do(m)
	}
	m.out = nil
	m.now = m.now.Add(time.Second)
	return m
}

// A situation is a state, with what is wanted there, and how one gets to it.
type situation struct {
	name string
	path []happening
}

// A matrix is a part of the table.
type matrix struct {
	title      string
	spec       Spec
	situations []situation
	events     []happening
}

// matrices is the whole table: each state with each want that it can have, and each event that means anything there.
func matrices() []matrix {
	commands := []happening{onStart, onSkip, onRestart, onTerminate, onTerminateF, onRetire, onKill, onRules, onProgram, onHup, onUsr1}
	facts := []happening{onExecuted, onNotFound, onNoMemory, onExit0, onExit1, onExitTerm, onExit0Left, onEmptied, onReady, onUnhealthy, onLeave, onTimeout}
	all := slices.Concat(commands, facts)
	crash := []happening{onStart, onExecuted, onExit1}
	alive := func(more ...happening) []happening { return append([]happening{onStart, onExecuted}, more...) }
	return []matrix{
		{
			title: "Dead. Policy always, at most one restart; with readiness.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways, Max: 1}, Readiness: true},
			situations: []situation{
				{"waiting", nil},
				{"waiting, HUP pending", []happening{onHup}},
				{"backoff", crash},
				{"exited", []happening{onSkip}},
				{"stopped", []happening{onTerminate}},
				{"gave-up", append(slices.Clone(crash), onTimeout, onExecuted, onExit1)},
			},
			events: all,
		},
		{
			title: "Being executed. Policy always, with readiness.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways}, Readiness: true},
			situations: []situation{
				{"starting, want up", []happening{onStart}},
				{"starting, want up, HUP pending", []happening{onStart, onHup}},
				{"starting, want down", []happening{onStart, onTerminate}},
				{"starting, want restart", []happening{onStart, onRestart}},
				{"starting, retired", []happening{onStart, onRetire}},
				{"starting, to be killed", []happening{onStart, onKill}},
			},
			events: all,
		},
		{
			title: "Alive. Policy always, without readiness.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways}},
			situations: []situation{
				{"running", alive()},
				{"ready", alive(onReady)},
				{"stopping, want up", alive(onUnhealthy)},
				{"stopping by itself", alive(onLeave)},
				{"stopping, want down", alive(onTerminate)},
				{"stopping, want restart", alive(onRestart)},
				{"stopping, want down, killed", alive(onTerminate, onTimeout)},
				{"stopping, want restart, killed", alive(onRestart, onTimeout)},
			},
			events: all,
		},
		{
			title: "Paused. Policy always, with readiness.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways}, Readiness: true},
			situations: []situation{
				{"waiting", nil},
				{"starting, spawning", []happening{onStart}},
				{"starting", alive()},
				{"paused, was starting", alive(onPause)},
				{"paused, was starting, ready by then", alive(onPause, onReady)},
				{"paused, was ready", alive(onReady, onPause)},
				{"paused, was ready, retired", alive(onReady, onPause, onRetire)},
				{"stopping, want down, was paused", alive(onReady, onPause, onTerminate)},
				{"backoff", crash},
			},
			events: append([]happening{onPause, onUnpause}, all...),
		},
		{
			title: "Alive. Policy no, with readiness.",
			spec:  Spec{Readiness: true},
			situations: []situation{
				{"starting", alive()},
				{"starting, HUP pending", alive(onHup)},
				{"ready", alive(onReady)},
				{"unhealthy", alive(onReady, onUnhealthy)},
				{"unhealthy before ready", alive(onUnhealthy)},
				{"stopping, want down, HUP pending", alive(onHup, onTerminate)},
				{"stopping, want restart, HUP pending", alive(onHup, onRestart)},
			},
			events: all,
		},
		{
			title: "The main process has ended, others of its group are left. Policy always, at most one restart.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways, Max: 1}},
			situations: []situation{
				{"backoff, left", alive(onExit0Left)},
				{"gave-up, left", alive(onExit0Left, onTimeout, onExecuted, onExit0Left)},
				{"exited, left, retired", alive(onRetire, onExit0Left)},
				{"stopping, want up, left", alive(onUnhealthy, onExit0Left)},
				{"stopping, want down, left", alive(onTerminate, onExit0Left)},
				{"stopping, want restart, left", alive(onRestart, onExit0Left)},
				{"stopping, want down, left, killed", alive(onTerminate, onExit0Left, onTimeout)},
				{"stopping, want restart, left, killed", alive(onRestart, onTimeout, onExit0Left)},
				{"stopping, final, left", alive(onTerminateF, onExit0Left)},
				{"stopping, final, left, killed", alive(onTerminateF, onExit0Left, onKill)},
			},
			events: all,
		},
		{
			title: "The bundle ends. Policy always, with readiness.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways}, Readiness: true},
			situations: []situation{
				{"starting, retired", alive(onRetire)},
				{"ready, retired", alive(onReady, onRetire)},
				{"unhealthy, retired", alive(onRetire, onUnhealthy)},
				{"stopping, final", alive(onTerminateF)},
				{"stopping, killed", alive(onKill)},
			},
			events: all,
		},
		{
			title: "The bundle ends. Policy always, stop_grace_period 3s.",
			spec:  Spec{Restart: RestartPolicy{Policy: RestartAlways}, StopGrace: 3 * time.Second},
			situations: []situation{
				{"running, retired", alive(onRetire)},
				{"stopping, want restart", alive(onRestart)},
				{"stopping, final", alive(onTerminateF)},
			},
			events: all,
		},
		{
			title: "Steps. Policy on-failure; pre_start, post_start and pre_stop; kill_mode process.",
			spec: Spec{
				Restart: RestartPolicy{Policy: RestartOnFailure}, KillMode: KillProcess,
				PreStart: []Step{{}}, PostStart: []Step{{}}, PreStop: []Step{{}},
			},
			situations: []situation{
				{"starting, pre_start is being executed", []happening{onStart}},
				{"starting, pre_start runs", alive()},
				{"stopping, want down, pre_start runs", alive(onTerminate)},
				{"starting, pre_start runs, retired", alive(onRetire)},
				{"running, post_start runs", alive(onExit0, onExecuted)},
				{"running", alive(onExit0, onExecuted, onPostDone)},
				{"stopping, want up, pre_stop runs", alive(onExit0, onExecuted, onPostFails)},
				{"stopping, want down, pre_stop runs", alive(onExit0, onExecuted, onTerminate)},
				{"stopping, want restart, pre_stop runs", alive(onExit0, onExecuted, onRestart)},
				{"stopping, final, pre_stop runs", alive(onExit0, onExecuted, onTerminateF)},
				{"stopping, want down", alive(onExit0, onExecuted, onTerminate, onPreDone)},
			},
			events: slices.Concat(all, []happening{onPostDone, onPostFails, onPreDone, onPreFails}),
		},
	}
}

const legend = `The transitions of a daemon (` + "`go test ./child -update`" + ` writes this page).

A column is a state, with what is wanted there; a row is an event. In a cell, in order: the state that follows, what
becomes wanted, and what is done. A word in italics is an event for the log. "TERM group" is a signal to the process group,
"HUP" one to the main process. "⏱ 5s" arms the one timer, "⏱ off" disarms it. An empty cell: nothing changes. A fact
about another generation never changes anything.
`

// TestTransitions compares the machine, as a table, with the one that was reviewed.
func TestTransitions(t *testing.T) {
	var b strings.Builder
	b.WriteString(legend)
	for _, x := range matrices() {
		fmt.Fprintf(&b, "\n## %s\n\n| |", x.title)
		for _, s := range x.situations {
			fmt.Fprintf(&b, " %s |", s.name)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(x.situations)) + "\n")
		for _, e := range x.events {
			fmt.Fprintf(&b, "| **%s** |", e.name)
			for _, s := range x.situations {
				fmt.Fprintf(&b, " %s |", outcome(&x.spec, s, e))
			}
			b.WriteString("\n")
		}
	}
	golden := filepath.Join("testdata", "transitions.md")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.String(), "\n")
	for i, w := range strings.Split(string(want), "\n") {
		switch {
		case i >= len(got):
			t.Fatalf("%s:%d: missing\nwant %s", golden, i+1, w)
		case got[i] != w:
			t.Errorf("%s:%d:\n got %s\nwant %s", golden, i+1, got[i], w)
		}
	}
	if t.Failed() {
		t.Log("if that is meant: go test ./child -run TestTransitions -update")
	}
}

// TestSituations: the table has each situation that its columns claim.
func TestSituations(t *testing.T) {
	states := map[string]bool{}
	for _, x := range matrices() {
		for _, s := range x.situations {
			m := newTestMachine(&x.spec, s.path...)
			state, rest, _ := strings.Cut(s.name, ", ")
			state, _, _ = strings.Cut(state, " ") // unhealthy before ready
			if string(m.state) != state {
				t.Errorf("%s: got state %s", s.name, m.state)
			}
			states[state] = true
			if _, want, ok := strings.Cut(rest, "want "); ok {
				want, _, _ = strings.Cut(want, ",")
				if wanted(m.goal) != want {
					t.Errorf("%s: got goal %s", s.name, m.goal)
				}
				states[state+" "+want] = true
			}
			if strings.Contains(rest, "killed") != m.killed {
				t.Errorf("%s: got killed %v", s.name, m.killed)
			}
			if strings.Contains(rest, "left") != (m.phase == phaseLeft) {
				t.Errorf("%s: got left %v", s.name, m.phase == phaseLeft)
			}
			if strings.Contains(rest, "pending") != (len(m.pending) > 0) {
				t.Errorf("%s: got pending %v", s.name, m.pending)
			}
		}
	}
	for _, want := range []string{
		"waiting", "starting", "running", "ready", "unhealthy", "stopping", "backoff", "exited", "stopped", "gave-up",
		"starting up", "starting down", "starting restart", "stopping up", "stopping down", "stopping restart",
	} {
		if !states[want] {
			t.Errorf("the table has no column for %s", want)
		}
	}
}

// TestStale: facts about another generation change nothing, in any situation.
func TestStale(t *testing.T) {
	for _, x := range matrices() {
		for _, s := range x.situations {
			m := newTestMachine(&x.spec, s.path...)
			was := *m
			for _, gen := range []uint64{m.gen - 1, m.gen + 1} {
				m.spawned(gen, 1)
				m.failed(gen, errors.New("oops"))
				m.exited(gen, Exit{Code: 9}, false, false)
				m.ready(gen)
				m.unhealthy(gen, "oops")
				m.leave(gen)
				m.extend(gen, time.Hour)
				m.emptied(gen)
				m.note(gen, "oops")
				m.stepsDone(gen, StepPostStart, errors.New("oops"))
				m.stepsDone(gen, StepPreStop, errors.New("oops"))
			}
			if !reflect.DeepEqual(*m, was) {
				t.Errorf("%s, %s: got %+v, want %+v", x.title, s.name, *m, was)
			}
		}
	}
}

// wanted is a goal as the table has it, which says apart whether it is the last.
func wanted(g goal) string {
	switch g {
	case goalLast:
		return "up"
	case goalGone:
		return "down"
	}
	return string(g)
}

// outcome is a cell of the table.
func outcome(spec *Spec, s situation, e happening) string {
	m := newTestMachine(spec, s.path...)
	was := *m
	e.do(m)
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	if m.state != was.state {
		add("→ **%s**", m.state)
	}
	if now := wanted(m.goal); now != wanted(was.goal) {
		add("want %s", now)
	}
	if m.goal.final() && !was.goal.final() {
		add("final")
	}
	if m.killed && !was.killed && m.phase == phaseSpawning {
		add("to be killed")
	}
	if len(m.pending) > len(was.pending) {
		add("pending")
	}
	if m.grace != was.grace && m.state == was.state {
		add("grace %v", m.grace)
	}
	for _, o := range m.out {
		add("%s", o)
	}
	return strings.Join(parts, "; ")
}

// String is an effect as in the table.
func (e effect) String() string {
	switch e.kind {
	case doSignal:
		name := strings.TrimPrefix(SignalName(e.sig), "SIG")
		if e.group {
			return name + " group"
		}
		return name
	case doArm:
		return fmt.Sprintf("⏱ %v", e.delay)
	case doDisarm:
		return "⏱ off"
	case doWatch:
		return "watch the group"
	case doIgnore:
		return "ignore the group"
	case doSteps:
		return "run steps"
	case doCease:
		return "end steps"
	case doEmit:
		v := e.event
		s := string(v.Kind)
		switch {
		case v.Restart:
			s += " in place"
		case v.Requested:
			s += " as requested"
		}
		if v.Next != NextNothing {
			s += fmt.Sprintf(", %s (%d)", v.Next, v.Attempt)
		}
		if v.Reason != "" && v.Kind == EventDropped {
			s += ": " + v.Reason
		}
		return "*" + s + "*"
	}
	return string(e.kind)
}
