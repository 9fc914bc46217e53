package child

import (
	"errors"
	"fmt"
)

// How the machine pauses a process. Freezing takes the place of no state but that of a program that runs, and what is known of the
// daemon is what it was before.

// mayPause says why the daemon cannot be paused now, or go on; nil if it can.
func (m *machine) mayPause(on bool) error {
	switch {
	case m.spec.Job != "":
		return errors.New("it is a job: its schedule can be paused, and a run cancelled")
	case m.state == StatePaused && on, m.state != StatePaused && !on && m.state.Alive():
		return nil // it is so already
	case !on && m.state != StatePaused, !m.state.Alive():
		return errors.New("it does not run")
	case m.phase == phaseSpawning || !m.main():
		return errors.New("it is about to be started")
	case m.state == StateStopping || m.phase == phaseLeft:
		return errors.New("it is being stopped")
	}
	return nil
}

// A standing is a state with its reason.
type standing struct {
	state  State
	reason string
}

// pause: the process was frozen, or goes on.
func (m *machine) pause(on bool) {
	switch {
	case on == (m.state == StatePaused):
	case on:
		m.paused = standing{m.state, m.reason}
		m.enter(StatePaused)
		m.reason = fmt.Sprintf("it was %s", m.paused.state)
		m.emit(Event{Kind: EventPaused, PID: m.pid})
	default:
		m.emit(Event{Kind: EventUnpaused, PID: m.pid})
		if m.paused.state == StateReady && !m.wasReady { // it has become so on its way here
			m.enter(StateStarting)
			m.ready(m.gen)
			return
		}
		m.enter(m.paused.state)
		m.reason = m.paused.reason
		if m.state == StateStarting { // the program was executed before it was paused
			m.since = m.started
		}
	}
}
