package child

import (
	"syscall"
	"time"
)

// How the machine stops a process, and the steps that run beside it.

// stopping enters StateStopping; of a dead daemon, what is left of its process group is to be stopped.
func (m *machine) stopping() {
	if m.phase == phaseLeft && m.state != StateStopping {
		m.do(effect{kind: doWatch})
	}
	m.enter(StateStopping)
}

// stop stops a live process, or what is left of its group: PreStop, the stop signal, and after the grace SIGKILL.
func (m *machine) stop() {
	m.cease()
	if m.state == StatePaused {
		m.do(effect{kind: doThaw})
	}
	m.stopping()
	if m.killed {
		m.sigkill()
		return
	}
	m.grace = m.stopGrace()
	limit := m.grace / 2
	if left := m.half.Sub(m.now); m.goal.final() && (limit == 0 || left < limit) {
		limit = left
	}
	if len(m.spec.PreStop) == 0 || m.phase == phaseLeft || !m.main() || limit <= 0 {
		m.signalStop()
		return
	}
	m.run(StepPreStop, m.spec.PreStop)
	m.do(effect{kind: doArm, delay: limit})
}

// stopGrace is the grace of a stop that begins now.
func (m *machine) stopGrace() time.Duration {
	switch {
	case m.spec.StopGrace > 0:
		return m.spec.StopGrace
	case m.goal.final():
		return 0 // whoever ends the bundle has one deadline for all, and sends Kill
	}
	return m.spec.restartGrace()
}

// leave: the process of generation gen has said that it is about to end by itself. It has as long for that as if it had been
// asked to, and is not signalled before: as with systemd, one that is asked again might take it for impatience. Its end
// is its own, for its policy and for the exit code of the bundle.
func (m *machine) leave(gen uint64) {
	if gen != m.gen || m.phase == phaseSpawning || m.step < len(m.spec.PreStart) || !m.state.Alive() || m.state == StateStopping {
		return
	}
	m.cease()
	if m.state == StatePaused { // it has said so just before
		m.do(effect{kind: doThaw})
	}
	m.enter(StateStopping)
	m.leaving = true
	if m.grace = m.stopGrace(); m.grace > 0 {
		m.do(effect{kind: doArm, delay: m.grace})
	}
}

// signalStop sends the stop signal. SIGCONT follows, since a stopped process does not hear the first.
func (m *machine) signalStop() {
	group := m.spec.KillMode != KillProcess
	m.do(effect{kind: doSignal, sig: m.spec.stopSignal(), group: group})
	m.do(effect{kind: doSignal, sig: syscall.SIGCONT, group: group})
	if m.grace > 0 {
		// PreStop has half of the grace. If the clock says that it took more, nobody could run.
		m.do(effect{kind: doArm, delay: max(m.grace-m.now.Sub(m.since), m.grace/2)})
	} else {
		m.do(effect{kind: doDisarm})
	}
}

func (m *machine) sigkill() {
	m.killed = true
	m.do(effect{kind: doSignal, sig: syscall.SIGKILL, group: m.spec.KillMode != KillProcess})
	if m.phase == phaseLeft {
		m.do(effect{kind: doWatch}) // anew, since it looks ever more seldom, and their end is near
		m.do(effect{kind: doArm, delay: killWait})
	}
}

// regrace: the bundle ends while the daemon is being stopped. The grace of a restart no longer counts, only the deadline of
// the bundle does; and PreStop has had its time.
func (m *machine) regrace() {
	if !m.goal.final() || m.killed {
		return
	}
	if m.spec.StopGrace == 0 {
		m.grace = 0
	}
	switch {
	case m.steps == StepPreStop:
		m.cease()
		m.signalStop()
	case m.grace == 0:
		m.do(effect{kind: doDisarm})
	}
}

// extend: the process of generation gen, which is being stopped, asks for more time, counted from now. The deadline of the
// bundle is not ours to move: at it comes Kill. However often it asks, a stop that hangs must end.
func (m *machine) extend(gen uint64, by time.Duration) {
	if gen != m.gen || m.state != StateStopping || m.killed || m.grace == 0 {
		return
	}
	passed := m.now.Sub(m.since)
	by = min(by, MaxExtended-passed)
	if passed+by > m.grace {
		m.grace = passed + by
		if m.steps != StepPreStop { // else the timer is that of PreStop, and signalStop arms ours
			m.do(effect{kind: doArm, delay: by})
		}
	}
}

// run runs steps beside the process.
func (m *machine) run(step StepKind, steps []Step) {
	m.steps = step
	m.do(effect{kind: doSteps, steps: steps, step: step})
}

// cease ends the steps that run.
func (m *machine) cease() {
	if m.steps != "" {
		m.steps = ""
		m.do(effect{kind: doCease})
	}
}

// stepsDone: the steps of generation gen have ended; err says which one failed.
func (m *machine) stepsDone(gen uint64, step StepKind, err error) {
	if gen != m.gen || step != m.steps {
		return
	}
	m.steps = ""
	switch step {
	case StepPostStart:
		if err != nil {
			m.unhealthy(gen, err.Error())
		}
	case StepPreStop:
		if err != nil {
			m.emit(Event{Kind: EventStepFailed, PID: m.pid, Reason: err.Error()})
		}
		m.signalStop()
	}
}
