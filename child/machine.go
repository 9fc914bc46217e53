package child

import (
	"cmp"
	"errors"
	"slices"
	"syscall"
	"time"
)

// A machine is the life of one daemon: each method takes an event, changes the state and collects the effects to be
// performed, in order. It does no I/O, reads no clock and starts no goroutine: now and roll are set by its user
// before each event.
type machine struct {
	spec  *Spec
	newer *Spec  // takes the place of spec when the next life begins; nil if there is none
	pre   []Step // the steps before this life's program; spec may have changed since
	had   []Step // the steps of spec that have succeeded and are to run once
	now   time.Time
	roll  float64 // jitter, from -1 to 1
	out   []effect

	state State
	since time.Time
	goal  goal
	phase phase
	gen   uint64 // counts spawns; facts about another one are stale
	step  int    // which of pre runs; len(pre) is the program itself

	inPlace  bool          // the start ends a restart in place
	wasReady bool          // in this life
	steps    StepKind      // the steps that run beside the process: StepPostStart, StepPreStop or none
	half     time.Time     // the bundle ends: PreStop has time until then, half of its grace
	leaving  bool          // in StateStopping: it has said that it ends by itself, and was sent no signal
	relapsed bool          // the policy has started this life after a failure
	killed   bool          // SIGKILL was sent in this life, or is due as soon as there is a process
	hinted   bool          // Event.Strays was told
	paused   standing      // in StatePaused: what it had, and has after
	grace    time.Duration // of the stop under way; 0: the deadline of the bundle
	pending  []syscall.Signal

	trigger Trigger  // of the run of a job
	argv    []string // the run's own
	overdue bool     // it took longer than it may

	reason   string
	said     string // by the process, about itself
	pid      int
	started  time.Time
	proven   time.Time // when a life that was started after a failure is taken for well again
	starts   int
	restarts int
	failures int         // restarts by policy in a row
	row      time.Time   // when that row began
	recent   []time.Time // restarts by policy within Limit.Window
	last     *Exit
	begun    time.Time     // when this life\'s start began
	ended    time.Time     // when last was
	asked    bool          // for that end
	why      string        // what it was stopped for
	next     Next          // decided at the last end
	delay    time.Duration // NextRestart: until then
	complete bool          // last is the program's end, with exit code 0
	result   int
}

func newMachine(spec *Spec, now time.Time) *machine {
	m := &machine{spec: spec, now: now, state: StateWaiting, since: now, goal: goalUp}
	m.state = m.resting(StateWaiting)
	return m
}

// An effect is something that the actor has to do.
type effect struct {
	kind  effectKind
	spec  *Spec          // doSpawn
	steps []Step         // doSteps
	step  StepKind       // doSteps
	sig   syscall.Signal // doSignal
	group bool           // doSignal; doSpawn: what is left of the last group is killed before
	delay time.Duration  // doArm
	event Event          // doEmit
}

type effectKind string

const (
	doSpawn  effectKind = "spawn"
	doSignal effectKind = "signal"
	doArm    effectKind = "arm"
	doDisarm effectKind = "disarm"
	doSteps  effectKind = "steps"  // run them beside the process; post stepsDone
	doCease  effectKind = "cease"  // kill the steps that run
	doWatch  effectKind = "watch"  // the process group, and post emptied
	doIgnore effectKind = "ignore" // it from now on
	doThaw   effectKind = "thaw"   // the process, which may be frozen
	doEmit   effectKind = "emit"
	doEnd    effectKind = "end"
)

// main reports whether this life has come to the program itself.
func (m *machine) main() bool { return m.step == len(m.pre) }

func (m *machine) do(e effect) { m.out = append(m.out, e) }

func (m *machine) emit(e Event) {
	e.Time, e.Daemon, e.Gen, e.Trigger = m.now, m.spec.Name, m.gen, m.trigger
	m.do(effect{kind: doEmit, event: e})
}

func (m *machine) enter(s State) {
	if s != m.state {
		m.state, m.since, m.reason = s, m.now, ""
	}
}

// start: Start was received.
func (m *machine) start(msg Start) {
	switch {
	case m.goal.final():
	case m.spec.Job != "":
		m.runJob(msg)
	case m.state == StateStopping: // a stop with a start after it is a restart
		m.restart()
	case m.phase == phaseSpawning:
		if m.goal == goalDown { // a restart that was asked for stands
			m.goal = goalUp
		}
	case m.state.Alive():
	default:
		m.failures, m.recent, m.relapsed = 0, nil, false
		m.begin(false)
	}
}

// skip: Skip was received; the daemon can never be started.
func (m *machine) skip(reason string) {
	if m.state != StateWaiting {
		return
	}
	m.last, m.result = &Exit{Code: 1, Err: errors.New(reason)}, 1
	m.ended = m.now
	m.enter(StateExited)
	m.reason = reason
	m.emit(Event{Kind: EventNotStarted, Exit: *m.last, Reason: reason})
	m.dropPending()
}

// restart: Restart was received.
func (m *machine) restart() {
	switch {
	case m.goal.final(), m.state == StateWaiting: // a waiting daemon will be started after this anyway
	case m.goal == goalRestart && m.state.Alive(): // one is under way, and its start is yet to come
	case m.phase == phaseSpawning:
		// The program may have been executed already, and have read what has changed since: start it once more.
		m.goal = goalRestart
	case m.state == StateStopping:
		m.goal = goalRestart
		m.emit(Event{Kind: EventRestarting})
	case m.state.Alive():
		m.emit(Event{Kind: EventRestarting})
		m.goal = goalRestart
		m.stop()
	default:
		m.emit(Event{Kind: EventRestarting})
		m.failures, m.recent, m.relapsed = 0, nil, false
		m.begin(true)
	}
}

// terminate: Terminate was received.
func (m *machine) terminate(final bool, half time.Duration) {
	m.goal = m.goal.down()
	if final {
		m.goal = goalGone
	}
	m.half = m.now.Add(half)
	switch {
	case m.state == StateStopping:
		m.regrace()
	case m.phase == phaseSpawning: // when it has been executed
	case m.state.Alive(), m.phase == phaseLeft:
		m.stop()
	default:
		m.rest()
	}
}

// retire: Retire was received. A live daemon goes on, but it is the last life.
func (m *machine) retire() {
	was := m.goal
	m.goal = goalGone
	switch {
	case m.state == StateStopping:
		m.regrace()
	case m.state.Alive() && was.up():
		m.goal = goalLast
	case m.state.Alive(): // the program is being executed, and is to be stopped at once
	default:
		m.rest()
	}
}

// kill: Kill was received. It is final.
func (m *machine) kill() {
	m.goal = goalGone
	switch {
	case m.phase == phaseSpawning:
		m.killed = true
	case m.state.Alive() || m.phase == phaseLeft:
		m.enter(StateStopping)
		m.do(effect{kind: doDisarm})
		m.cease()
		m.sigkill()
	default:
		m.rest()
	}
}

// rest makes a daemon without a process stay down.
func (m *machine) rest() {
	m.goal = m.goal.down()
	if m.state == StateBackoff {
		m.do(effect{kind: doDisarm})
	}
	if m.goal.final() || !m.state.Final() {
		m.end()
	}
}

// begin starts the next life.
func (m *machine) begin(inPlace bool) {
	if m.state == StateBackoff {
		m.do(effect{kind: doDisarm})
	}
	if m.newer != nil {
		m.spec, m.newer = m.newer, nil
	}
	if m.spec.Job == "" {
		m.trigger, m.argv, m.overdue = "", nil, false // it may have been a job
	}
	m.goal, m.leaving, m.killed, m.wasReady, m.inPlace, m.begun = goalUp, false, false, false, inPlace, m.now
	m.prepare()
	m.enter(StateStarting)
	if !inPlace {
		m.emit(Event{Kind: EventStarting})
	}
	m.spawn()
}

func (m *machine) spawn() {
	m.gen++
	m.phase, m.pid, m.said = phaseSpawning, 0, ""
	spec := m.spec
	if !m.main() {
		spec = m.pre[m.step].spec(StepPreStart)
	}
	if m.main() && m.argv != nil {
		own := *m.spec
		own.Argv, spec = m.argv, &own
	}
	m.do(effect{kind: doSpawn, spec: spec, group: m.spec.KillMode != KillProcess})
}

// spawned: the program of generation gen was executed.
func (m *machine) spawned(gen uint64, pid int) {
	if gen != m.gen || m.phase != phaseSpawning {
		return
	}
	m.phase, m.pid = phaseProcess, pid
	main := m.main()
	if main {
		m.started, m.proven = m.now, time.Time{}
		if m.relapsed {
			m.proven = m.now.Add(min(proof, m.spec.Backoff.resetAfter()))
		}
		m.starts++
		m.restarts = m.starts - 1
		m.emit(Event{Kind: EventStarted, PID: pid, Restart: m.inPlace, Begun: m.begun})
	}
	switch {
	case !m.goal.up():
		if m.goal == goalRestart {
			m.emit(Event{Kind: EventRestarting})
		}
		m.stop()
	case main:
		if len(m.spec.PostStart) > 0 {
			m.run(StepPostStart, m.spec.PostStart)
		}
		if !m.spec.Readiness {
			m.enter(StateRunning)
			m.wasReady = true
			m.flush()
		}
	}
}

// failed: the program of generation gen could not be executed.
func (m *machine) failed(gen uint64, err error) {
	if gen != m.gen || m.phase != phaseSpawning {
		return
	}
	m.phase = phaseNone
	exit := Exit{Code: 126, Err: err}
	var start *StartError
	transient := false
	if errors.As(err, &start) {
		exit.Code, transient = start.Code, start.Transient
	}
	e := Event{Kind: EventFailed, Exit: exit, Restart: m.inPlace, Reason: err.Error()}
	m.last, m.complete, m.result = &exit, false, exit.Code
	m.ended, m.asked, m.why = m.now, false, ""
	m.after(e, transient)
	m.reason = err.Error()
}

// exited: the main process of generation gen has ended; left says whether others of its group live, and strays whether
// others do that it has started.
func (m *machine) exited(gen uint64, exit Exit, left, strays bool) {
	if gen != m.gen || m.phase != phaseProcess || !m.state.Alive() {
		return
	}
	unsignalled := m.steps == StepPreStop || m.leaving && !m.goal.up() && !m.killed
	m.cease()
	main := m.main()
	if !main && !exit.Failed() {
		m.succeeded(m.pre[m.step])
	}
	if !main && m.state != StateStopping && !exit.Failed() && !m.goal.final() {
		m.step++
		m.spawn()
		return
	}
	e := Event{Kind: EventExited, PID: m.pid, Exit: exit, Requested: m.state == StateStopping && !m.goal.up()}
	if m.state == StateStopping {
		e.Begun = m.since
	}
	if main {
		e.Uptime = m.now.Sub(m.started)
		e.Strays = strays && !m.hinted && !exit.Failed() && m.state != StateStopping && !m.goal.final()
		m.hinted = m.hinted || e.Strays
		if e.Uptime >= m.spec.Backoff.resetAfter() {
			m.failures = 0
		}
	}
	e.Success = (main && m.spec.Success.Has(exit) || !main && !exit.Failed()) && !m.overdue
	e.Overdue = m.overdue
	m.last, m.complete, m.result, m.pid = &exit, main && e.Success, m.judge(exit, e.Success), 0
	m.ended, m.asked, m.why = m.now, e.Requested, ""
	if m.unwell() { // else by its signal it would look like something else
		m.why = m.reason
		e.Reason = m.why
	}
	m.phase = phaseNone
	if left {
		m.phase = phaseLeft
	}
	m.after(e, exit.Signal != 0 || !slices.Contains(m.spec.NoRestart, exit.Code))
	if m.phase == phaseLeft && unsignalled { // it has ended during PreStop, or by itself
		m.leaving = false
		m.signalStop()
	}
}

// emptied: nobody is left in the process group of generation gen.
func (m *machine) emptied(gen uint64) {
	if gen == m.gen && m.phase == phaseLeft && m.state == StateStopping {
		m.phase = phaseNone
		m.do(effect{kind: doDisarm})
		m.proceed()
	}
}

// unwell reports whether the daemon is being stopped because it is unhealthy: nobody has asked for it, and it has not said that it ends.
func (m *machine) unwell() bool {
	return m.state == StateStopping && m.goal.up() && !m.leaving
}

// judge is what an end counts for the exit code of the bundle: 0 if it is a success, or if the supervisor asked for it by the
// signal that ended the process, or that its exit code names.
func (m *machine) judge(exit Exit, success bool) int {
	status := exit.Status()
	if m.spec.Job != "" && m.state == StateStopping { // whatever it ends with
		if m.overdue {
			return max(status, 1)
		}
		return 0
	}
	if success {
		return 0
	}
	if m.state != StateStopping {
		return status
	}
	if !m.leaving && status == 128+int(m.spec.stopSignal()) || m.killed && status == 128+int(syscall.SIGKILL) {
		return 0
	}
	return status
}

// after decides what follows an end, which e tells of, and reports it. What is being stopped has ended only when its group
// has.
func (m *machine) after(e Event, retry bool) {
	// What ends by itself, as it has said, leaves the rest of its group alone, as any other that ends so does.
	rest := m.phase == phaseLeft && m.state == StateStopping && (!m.leaving || m.killed || !m.goal.up())
	if !rest {
		m.do(effect{kind: doDisarm})
	}
	switch {
	case m.goal != goalUp:
	case !retry || !m.spec.Restart.Policy.restarts(!e.Success || m.unwell()):
	case m.tooMany():
		e.Next, e.Attempt, e.Window = NextGiveUp, m.failures, m.now.Sub(m.row)
		if n := len(m.recent); m.spec.Limit.Restarts > 0 && n >= m.spec.Limit.Restarts {
			e.Attempt, e.Window = n, m.now.Sub(m.recent[0])
		}
	default:
		if m.failures == 0 {
			m.row = m.now
		}
		e.Next, e.Delay = NextRestart, m.spec.Backoff.delay(m.failures, m.roll)
		m.failures++
		m.relapsed = !e.Success || m.unwell()
		e.Attempt = m.failures
		if m.spec.Limit.Restarts > 0 {
			m.recent = append(m.recent, m.now)
		}
	}
	m.next, m.delay = e.Next, e.Delay
	m.emit(e)
	if e.Kind == EventFailed && m.goal == goalRestart {
		m.emit(Event{Kind: EventRestarting})
	}
	if !rest {
		m.proceed()
		return
	}
	m.do(effect{kind: doWatch})
	if m.killed {
		m.do(effect{kind: doArm, delay: killWait})
	}
}

// proceed does what follows an end: what was decided then, unless something else has been asked for since.
func (m *machine) proceed() {
	if m.unwell() {
		defer func(why string) { m.reason = why }(m.reason) // what it was stopped for says more than how it ended
	}
	switch {
	case m.goal == goalRestart: // what is pending is forwarded to the next life
		m.relapsed = false
		m.begin(true)
		return
	case m.goal != goalUp:
		m.end()
		return
	case m.next == NextRestart:
		m.enter(StateBackoff)
	case m.next == NextGiveUp:
		m.enter(StateGaveUp)
	default:
		m.enter(m.resting(StateExited))
	}
	m.dropPending()
	if m.state == StateBackoff {
		m.do(effect{kind: doArm, delay: m.delay})
	}
}

// tooMany reports whether one more restart would be one too many.
func (m *machine) tooMany() bool {
	r, l := m.spec.Restart, m.spec.Limit
	m.recent = slices.DeleteFunc(m.recent, func(t time.Time) bool { return m.now.Sub(t) > l.Window })
	return r.Max > 0 && m.failures >= r.Max || l.Restarts > 0 && len(m.recent) >= l.Restarts
}

// end enters the state of a daemon that was asked to be down. It is not the end of the actor as long as somebody is left
// who has not been asked to end: Terminate or Kill will do that.
func (m *machine) end() {
	m.dropPending()
	switch {
	case !m.goal.final():
		m.enter(m.resting(StateStopped))
		m.emit(Event{Kind: EventStopped})
		return
	case !m.state.Final():
		m.enter(StateExited)
	}
	if m.phase != phaseLeft {
		m.do(effect{kind: doEnd})
	}
}

// note: the process of generation gen says something about itself.
func (m *machine) note(gen uint64, text string) {
	if gen == m.gen && m.phase != phaseSpawning && m.state.Alive() {
		m.said = text
	}
}

// timeout: what was armed has passed.
func (m *machine) timeout() {
	switch m.state {
	case StateStopping:
		switch {
		case m.steps == StepPreStop:
			m.emit(Event{Kind: EventStepFailed, PID: m.pid, Reason: "pre_stop took too long"})
			m.cease()
			m.signalStop()
		case !m.killed:
			e := Event{Kind: EventKilled, PID: m.pid, Signal: m.spec.stopSignal(), Delay: m.grace}
			if m.leaving {
				e.Signal = 0
			}
			m.emit(e)
			m.sigkill()
		case m.phase == phaseLeft: // those that outlive SIGKILL hang in the kernel
			m.phase = phaseNone
			m.do(effect{kind: doIgnore})
			m.proceed()
		}
	case StateBackoff:
		m.begin(false)
	default:
		m.late()
	}
}

// ready: the process of generation gen has been found ready, or healthy again.
func (m *machine) ready(gen uint64) {
	if gen != m.gen || m.phase == phaseSpawning || !m.main() {
		return
	}
	switch m.state {
	case StatePaused: // it was on its way
		m.paused.state, m.paused.reason = StateReady, ""
	case StateStarting, StateRunning, StateUnhealthy:
		m.enter(StateReady)
		m.wasReady = true
		m.emit(Event{Kind: EventReady, PID: m.pid, Uptime: m.now.Sub(m.started)})
		m.flush()
	}
}

// unhealthy: the health check of generation gen has failed. It is a failure like a crash: where the policy restarts
// failures the daemon is stopped, and restarted after the backoff; elsewhere it is only reported.
func (m *machine) unhealthy(gen uint64, reason string) {
	if gen != m.gen || m.phase == phaseSpawning || !m.main() {
		return
	}
	switch m.state {
	case StateStarting, StateRunning, StateReady:
		m.enter(StateUnhealthy)
		m.reason = reason
		m.emit(Event{Kind: EventUnhealthy, PID: m.pid, Uptime: m.now.Sub(m.started), Reason: reason})
		if m.spec.Restart.Policy.restarts(true) && !m.goal.final() {
			m.stop()
			m.reason = reason
		}
	}
}

func (m *machine) status() Status {
	s := Status{
		Name: m.spec.Name, Spec: cmp.Or(m.newer, m.spec), State: m.state, Since: m.since, Reason: m.reason, PID: m.pid, Started: m.started,
		Starts: m.starts, Restarts: m.restarts, Failures: m.failures, Last: m.last, Completed: m.complete, Result: m.result, Gen: m.gen,
		Requested: m.state == StateStopping && !m.goal.up(), Proven: m.proven, Ended: m.ended, Asked: m.asked, Why: m.why,
	}
	if m.state == StateBackoff {
		s.Next = m.since.Add(m.delay)
	}
	if m.state.Alive() && !m.main() {
		s.PID, s.Step = 0, StepPreStart
	}
	switch {
	case !m.state.Alive() || s.Reason != "":
	case m.phase == phaseLeft:
		s.Reason = "its main process has ended, and others of its process group live"
	default:
		s.Reason = m.said
	}
	return s
}
