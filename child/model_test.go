package child

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// checks makes rapid draw n cases, unless the command line says how many.
func checks(t *testing.T, n int) {
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "rapid.checks" })
	if explicit {
		return
	}
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(was) })
}

// A world is the rest of the system around a machine: what the actor and the kernel do. It holds the machine to the
// guarantees of the package.
type world struct {
	t    *rapid.T
	spec *Spec
	m    *machine

	gens     uint64   // spawns that were asked for
	spawning bool     // one of them is under way
	alive    bool     // there is a main process
	left     bool     // it has ended, and others of its group live
	watched  bool     // the end of these is waited for
	steps    StepKind // steps run
	timer    bool
	timerAt  time.Time

	told       bool // the process was asked to end
	leaving    bool // it has said that it ends
	killed     bool // it was sent SIGKILL
	kill       bool // Kill was told
	ticking    bool // the event is the timer
	final      bool // the bundle ends
	ended      bool // the actor does
	owed       bool // a start must follow
	waiting    []syscall.Signal
	forwarding bool // the event is a signal, which does nothing for those that wait
	deaths     int
	failures   int // failed starts
	exited     int // events about the former
	failed     int // and about the latter
	starts     int
}

func (w *world) fail(format string, a ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nmachine: %+v\nworld: %+v", fmt.Sprintf(format, a...), *w.m, *w)
}

func (w *world) check(ok bool, format string, a ...any) {
	w.t.Helper()
	if !ok {
		w.fail(format, a...)
	}
}

// happen lets one event happen, performs what the machine decides, and checks what must hold then.
func (w *world) happen(event func()) {
	w.m.out = nil
	w.m.roll = 0
	event()
	for _, e := range w.m.out {
		w.check(!w.ended, "%s after the end", e)
		w.perform(e)
	}
	w.invariants()
}

func (w *world) perform(e effect) {
	switch e.kind {
	case doSpawn:
		w.check(!w.spawning && !w.alive, "a second process")
		w.check(!w.final, "a start after the end of the bundle has begun")
		w.check(w.steps == "", "a start while %s runs", w.steps)
		w.check(!w.watched, "a start before the stop is over")
		w.gens++
		w.left = false // they are killed before
		w.spawning, w.told, w.leaving, w.killed = true, false, false, false
		w.owed = false
		if n := w.m.step; n < len(w.spec.PreStart) {
			w.check(e.spec.Step == StepPreStart && e.spec.Name == w.spec.PreStart[n].Name, "the wrong step is spawned")
		} else {
			w.check(e.spec == w.spec, "the wrong program is spawned")
		}
	case doSignal:
		w.check(w.alive || w.left && e.group, "%s without a process", e)
		switch e.sig {
		case w.spec.stopSignal():
			w.check(!w.told && !w.leaving, "the stop signal twice, or for one that ends by itself")
			w.told = true
		case syscall.SIGCONT:
			w.check(w.told, "SIGCONT before the stop signal")
		case syscall.SIGKILL:
			w.check(w.ticking && (w.told || w.leaving) || w.kill, "SIGKILL before the grace has passed")
			w.killed = true
		case syscall.SIGHUP, syscall.SIGUSR1:
			w.check(!e.group, "a forwarded signal for the whole group")
			w.check(w.m.state.Up() || w.m.state == StateUnhealthy, "%s in state %s", e, w.m.state)
		case syscall.SIGUSR2: // at once
			w.check(!e.group, "a signal for the whole group")
			w.check(w.m.state.Alive() && w.m.state != StateStopping && w.m.step == len(w.spec.PreStart), "%s in state %s", e, w.m.state)
		default:
			w.fail("%s", e)
		}
	case doArm:
		w.check(e.delay > 0 || w.spec.Backoff.NoDelay, "the timer is armed with %v", e.delay)
		w.timer, w.timerAt = true, w.m.now.Add(e.delay)
	case doDisarm:
		w.timer = false
	case doSteps:
		w.check(w.alive && w.steps == "", "steps without a process, or beside others")
		w.check(w.m.step == len(w.spec.PreStart), "steps beside a step")
		w.steps = e.step
	case doCease:
		w.check(w.steps != "", "no steps run that could end")
		w.steps = ""
	case doWatch:
		w.check(w.left, "nobody is to be watched")
		w.watched = true
	case doIgnore:
		w.check(w.watched && w.killed && w.ticking, "the stop is given up before the time has passed")
		w.gone()
	case doEnd:
		w.check(!w.left, "the end, and others of the group are left")
		w.check(w.final, "the end of the actor, and not of the bundle")
		w.check(!w.alive && !w.spawning, "the end, and a process is left")
		w.ended = true
	case doEmit:
		w.event(e.event)
	}
}

func (w *world) event(e Event) {
	w.check(e.Time.Equal(w.m.now) && e.Gen == w.gens, "an event with the wrong time or generation: %+v", e)
	switch e.Kind {
	case EventStarted:
		w.starts++
	case EventExited:
		w.exited++
		w.check(e.PID != 0, "a death without a PID: %+v", e)
		w.check((e.Next == NextRestart) == (w.m.state == StateBackoff) || w.left && w.m.state == StateStopping, "next %q in state %s", e.Next, w.m.state)
	case EventFailed:
		w.failed++
	case EventForwarded, EventDropped:
		if i := slices.Index(w.waiting, e.Signal); i >= 0 && !w.forwarding {
			w.waiting = slices.Delete(w.waiting, i, i+1)
		}
		if e.Reason == "it is about to be started" && w.m.state == StateStopping {
			w.owed = true
		}
	}
}

// invariants hold after each event.
func (w *world) invariants() {
	m := w.m
	w.check(m.phase == phaseSpawning == w.spawning, "the machine is wrong about whether a spawn is under way")
	w.check(m.phase != phaseSpawning || m.state == StateStarting, "a spawn in state %s", m.state)
	w.check(m.phase == phaseLeft == w.left, "the machine is wrong about the group")
	w.check(m.state.Alive() == (w.alive || w.spawning || w.watched), "state %s with a process: %v", m.state, w.alive)
	before := w.alive && m.step < len(w.spec.PreStart) // a step's process is not the daemon's
	w.check((m.status().PID != 0) == (w.alive && !before), "PID %d with a process: %v", m.status().PID, w.alive)
	w.check(m.steps == w.steps, "the machine is wrong about the steps that run")
	w.check(m.steps == "" || m.steps == StepPostStart && m.state != StateStopping || m.steps == StepPreStop && m.state == StateStopping,
		"%s in state %s", m.steps, m.state)
	w.check(!w.kill || !w.alive && !w.left || w.killed, "a process that is to be killed was not")
	switch m.state {
	case StateStopping:
		alone := w.killed || w.final && w.spec.StopGrace == 0 && w.steps == ""
		alone = alone && !(w.killed && w.left)
		w.check(w.timer != alone, "stopping with a timer: %v", w.timer)
		w.check(w.told || w.leaving || w.killed || w.steps == StepPreStop, "stopping, and no signal was sent")
	case StateBackoff:
		w.check(w.timer, "backoff without a timer")
		w.check(!w.final, "backoff at the end of the bundle")
	default:
		w.check(!w.timer, "a timer in state %s", m.state)
		w.check(!w.told && !w.leaving && !w.killed, "state %s, and a stop signal was sent", m.state)
	}
	w.check(w.deaths == w.exited, "%d deaths with %d events", w.deaths, w.exited)
	w.check(w.failures == w.failed, "%d failed starts with %d events", w.failures, w.failed)
	s := m.status()
	w.check(s.Starts == w.starts && s.Restarts == max(0, w.starts-1), "%d starts: the status has %d and %d", w.starts, s.Starts, s.Restarts)
	w.check(s.Gen == w.gens, "generation %d of %d", s.Gen, w.gens)
	w.check(slices.Equal(m.pending, w.waiting), "pending: got %v, want %v", m.pending, w.waiting)
	w.check(len(m.pending) == 0 || m.state.Alive() || m.state == StateWaiting, "%v pending in state %s", m.pending, m.state)
	w.check(w.ended == (w.final && !w.alive && !w.spawning && !w.left), "the bundle ends, no process is left, and the end is %v", w.ended)
}

// The commands.

func (w *world) command(name string) {
	m := w.m
	switch name {
	case "start":
		w.happen(func() { m.start(Start{}) })
		if !w.final {
			w.check(wanted(m.goal) != "down" && m.state.Alive(), "after start: state %s, goal %s", m.state, m.goal)
		}
	case "skip":
		w.happen(func() { m.skip("db is dead") })
	case "restart":
		// What follows from it must be a start, now or later: set before, since a start clears it.
		if !w.final && m.state != StateWaiting {
			w.owed = true
		}
		w.happen(m.restart)
	case "terminate":
		w.owed = false
		w.happen(func() { m.terminate(false, 0) })
		w.check(wanted(m.goal) == "down" && m.state != StateBackoff, "after terminate: state %s, goal %s", m.state, m.goal)
	case "terminate, final":
		w.owed, w.final = false, true
		w.happen(func() { m.terminate(true, 4*time.Second) })
	case "retire":
		w.owed, w.final = false, true
		w.happen(m.retire)
	case "kill":
		w.owed, w.final, w.kill = false, true, true
		w.happen(m.kill)
	case "HUP", "USR1", "USR2 at once":
		sig := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2 at once": syscall.SIGUSR2}[name]
		wait := sig != syscall.SIGUSR2
		again := slices.Contains(w.waiting, sig)
		if wait && !again && (m.state == StateWaiting && w.spec.Readiness || m.state == StateStarting || m.state == StateUnhealthy && !m.wasReady) {
			w.waiting = append(w.waiting, sig)
		}
		w.forwarding = true
		var err error
		w.happen(func() { err = m.forward(sig, wait) })
		w.forwarding = false
		dropped := slices.ContainsFunc(events(m), func(e Event) bool { return e.Kind == EventDropped })
		w.check(dropped == (err != nil), "%s: dropped is %v, the error %v", name, dropped, err)
		w.check(len(events(m)) == 1 || wait && len(w.waiting) > 0, "%s was neither forwarded nor dropped, and does not wait", name)
	}
}

// The facts.

func (w *world) spawned(err error) {
	w.spawning = false
	if err != nil {
		w.failures++
		w.happen(func() { w.m.failed(w.gens, err) })
		return
	}
	w.alive = true
	w.happen(func() { w.m.spawned(w.gens, 1000+int(w.gens)) })
}

func (w *world) exit(e Exit, left bool) {
	m := w.m
	w.alive, w.left, w.steps = false, left, ""
	// A step before the program that ends well is no death of the daemon.
	if m.step == len(w.spec.PreStart) || m.state == StateStopping || e.Failed() || w.final {
		w.deaths++
	}
	told, leaving, killed := w.told, w.leaving, w.killed
	own := leaving && m.goal.up()
	unasked := own && !w.final
	deaths, asked := w.exited, m.state == StateStopping && (!own || killed)
	if !left || !asked {
		w.told, w.killed = false, false
	}
	w.leaving = false
	w.steps = m.steps
	w.happen(func() { m.exited(w.gens, e, left, left) })
	w.check(m.state == StateStopping || !asked || !left, "the stop is over, and others of the group live")
	if w.exited == deaths {
		return
	}
	want := e.Status()
	if asked && (want == 128+int(w.spec.stopSignal()) && !leaving || killed && want == 128+int(syscall.SIGKILL)) {
		want = 0
	}
	w.check(m.result == want, "result %d of %v, want %d (told %v, leaving %v, killed %v)", m.result, e, want, told, leaving, killed)
	if unasked && !(killed && left) {
		again := w.spec.Restart.Policy.restarts(e.Failed())
		w.check(again == (m.state != StateExited), "it has ended by itself with %v: state %s", e, m.state)
		w.check(!events(m)[0].Requested, "nobody has asked for the end with %v", e)
	}
	w.check(m.last != nil && *m.last == e, "last exit %v, want %v", m.last, e)
}

// gone: nobody is left in the group.
func (w *world) gone() { w.left, w.watched, w.told, w.killed = false, false, false, false }

func (w *world) emptied() {
	m := w.m
	restart := m.goal.up() && m.next == NextRestart && !w.final
	w.gone()
	w.happen(func() { m.emptied(w.gens) })
	w.check(!restart || m.state == StateBackoff, "a restart was announced, and the state is %s", m.state)
}

func (w *world) tick() {
	w.m.now = w.timerAt
	w.timer, w.ticking = false, true
	w.happen(w.m.timeout)
	w.ticking = false
}

func (w *world) stepsDone(err error) {
	step := w.steps
	w.steps = ""
	w.happen(func() { w.m.stepsDone(w.gens, step, err) })
}

// stale tells the machine something about another generation.
func (w *world) stale(gen uint64) {
	was := *w.m
	was.out = nil
	w.happen(func() {
		w.m.spawned(gen, 1)
		w.m.failed(gen, errors.New("oops"))
		w.m.exited(gen, Exit{Code: 9}, true, true)
		w.m.emptied(gen)
		w.m.ready(gen)
		w.m.unhealthy(gen, "oops")
		w.m.leave(gen)
		w.m.extend(gen, time.Hour)
		w.m.note(gen, "oops")
		w.m.stepsDone(gen, StepPostStart, errors.New("oops"))
		w.m.stepsDone(gen, StepPreStop, nil)
	})
	w.m.out, w.m.roll = nil, was.roll
	w.check(reflect.DeepEqual(*w.m, was), "a stale fact has changed the machine")
}

// settle lets the world run until nothing is under way any more: programs start, the kernel honours SIGKILL, and time
// passes. A daemon that lives and is not to end goes on.
func (w *world) settle() {
	for range 50 {
		switch {
		case w.spawning:
			w.spawned(nil)
		case w.alive && (w.killed || w.m.state == StateStarting && w.m.step < len(w.spec.PreStart)):
			e := Exit{}
			if w.killed {
				e.Signal = syscall.SIGKILL
			}
			w.exit(e, w.spec.KillMode == KillGroup && w.m.state == StateStopping)
		case w.watched && w.killed && w.m.now.UnixMilli()%2 == 0: // else they hang in the kernel
			w.emptied()
		case w.timer:
			w.tick()
		default:
			return
		}
	}
	w.fail("does not come to rest")
}

func drawSpec(t *rapid.T) *Spec {
	steps := func(kind StepKind, most int) []Step {
		list := make([]Step, rapid.IntRange(0, most).Draw(t, string(kind)))
		for i := range list {
			list[i].Name = fmt.Sprint(kind, i)
		}
		return list
	}
	return &Spec{
		Name:      "web",
		Readiness: rapid.Bool().Draw(t, "readiness"),
		Restart: RestartPolicy{
			Policy: rapid.SampledFrom([]Policy{RestartNo, RestartOnFailure, RestartAlways}).Draw(t, "policy"),
			Max:    rapid.IntRange(0, 2).Draw(t, "max"),
		},
		Backoff:    Backoff{NoDelay: rapid.Bool().Draw(t, "no delay")},
		Limit:      Limit{rapid.IntRange(0, 2).Draw(t, "restarts"), 10 * time.Second},
		StopSignal: rapid.SampledFrom([]syscall.Signal{0, syscall.SIGINT}).Draw(t, "stop signal"),
		StopGrace:  rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(t, "grace"),
		KillMode:   rapid.SampledFrom([]KillMode{KillGroup, KillProcess}).Draw(t, "kill mode"),
		PreStart:   steps(StepPreStart, 2),
		PostStart:  steps(StepPostStart, 1),
		PreStop:    steps(StepPreStop, 1),
	}
}

var (
	anExit = rapid.SampledFrom([]Exit{{}, {Code: 1}, {Code: 143}, {Signal: syscall.SIGTERM}, {Signal: syscall.SIGINT}, {Signal: syscall.SIGKILL}})
	aFail  = rapid.SampledFrom([]error{
		errors.New("oops"), &StartError{Reason: "not found", Code: 127}, &StartError{Reason: "no memory", Code: 126, Transient: true},
	})
)

// TestModel holds the machine to the guarantees of the package, over random sequences of events.
func TestModel(t *testing.T) {
	checks(t, 2000)
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		w := &world{t: t, spec: spec, m: newMachine(spec, epoch)}
		commands := []string{"start", "restart", "restart", "terminate", "HUP", "USR1", "USR2 at once", "skip", "start"}
		last := []string{"retire", "terminate, final", "kill"}
		if rapid.Bool().Draw(t, "starts at once") {
			w.command("start")
		}
		for n := rapid.IntRange(1, 40).Draw(t, "length"); n > 0 && !w.ended; n-- {
			w.m.now = w.m.now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond)
			if rapid.IntRange(0, 30).Draw(t, "long") == 0 && !w.timer {
				w.m.now = w.m.now.Add(2 * time.Minute)
			}
			if w.timer && w.m.now.After(w.timerAt) {
				w.m.now = w.timerAt
			}
			choices := slices.Clone(commands)
			if rapid.IntRange(0, 9).Draw(t, "late") == 0 {
				choices = last
			} else {
				facts := w.facts()
				for range 3 { // facts are more frequent than commands
					choices = append(choices, facts...)
				}
			}
			w.fact(rapid.SampledFrom(choices).Draw(t, "event"))
		}
		w.settle()
		w.check(!w.owed, "a start was owed and never came")
		for _, end := range []string{rapid.SampledFrom(last).Draw(t, "last"), "terminate, final", "kill"} {
			if !w.ended { // a deaf daemon without a grace of its own lives until Kill, at the deadline of the bundle
				w.command(end)
				w.settle()
			}
		}
		w.check(w.ended, "after the deadline there is a process")
		w.check(len(w.waiting) == 0, "signals wait for ever")
	})
}

// facts are what can happen by itself now.
func (w *world) facts() []string {
	facts := []string{"stale"}
	if w.spawning {
		facts = append(facts, "spawned", "spawned", "spawned", "failed")
	}
	if w.alive {
		facts = append(facts, "exit", "ready", "unhealthy", "leave", "extend")
		if w.spec.KillMode == KillGroup {
			facts = append(facts, "exit, others left")
		}
	}
	if w.watched {
		facts = append(facts, "emptied", "extend")
	}
	if w.timer {
		facts = append(facts, "timeout")
	}
	if w.steps != "" {
		facts = append(facts, "steps end", "steps fail")
	}
	return facts
}

func (w *world) fact(name string) {
	switch name {
	case "stale":
		gen := w.gens + 1
		if w.gens > 0 && rapid.Bool().Draw(w.t, "past") {
			gen = w.gens - 1
		}
		w.stale(gen)
	case "spawned":
		w.spawned(nil)
	case "failed":
		w.spawned(aFail.Draw(w.t, "failure"))
	case "exit":
		w.exit(anExit.Draw(w.t, "exit"), false)
	case "exit, others left":
		w.exit(anExit.Draw(w.t, "exit"), true)
	case "emptied":
		w.emptied()
	case "ready":
		w.happen(func() { w.m.ready(w.gens) })
	case "unhealthy":
		w.happen(func() { w.m.unhealthy(w.gens, "no answer") })
	case "leave":
		m := w.m
		w.leaving = m.step == len(w.spec.PreStart) && m.phase != phaseSpawning && (m.state != StateStopping || w.leaving)
		w.happen(func() { m.leave(w.gens) })
	case "extend":
		by := time.Duration(rapid.IntRange(0, 9000).Draw(w.t, "ms")) * time.Millisecond
		before := w.timerAt
		w.happen(func() { w.m.extend(w.gens, by) })
		w.check(!w.timer || !w.timerAt.Before(before), "SIGKILL comes sooner")
	case "timeout":
		w.tick()
	case "steps end":
		w.stepsDone(nil)
	case "steps fail":
		w.stepsDone(errors.New("no good"))
	default:
		w.command(name)
	}
}
