package child

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// forward: Signal was received; the error says why it is dropped. With wait, after it the daemon gets the signal, or is
// started, at least once; so a start that is yet to come makes it needless, and one that is under way does not, since the
// program may be running already.
func (m *machine) forward(sig syscall.Signal, wait bool) error {
	switch {
	case m.state == StateStopping && m.goal == goalRestart, wait && m.state == StateWaiting && !m.spec.Readiness:
		return m.drop(sig, "it is about to be started")
	case m.state == StateStopping:
		return m.drop(sig, "it is being stopped")
	case wait && (m.state == StateWaiting || m.state == StateStarting || m.state == StateUnhealthy && !m.wasReady):
		if !slices.Contains(m.pending, sig) {
			m.pending = append(m.pending, sig)
		}
	case m.state.Alive() && (m.phase == phaseSpawning || !m.main()):
		return m.drop(sig, "it is about to be started")
	case m.state.Alive():
		m.do(effect{kind: doSignal, sig: sig})
		m.emit(Event{Kind: EventForwarded, PID: m.pid, Signal: sig})
	default:
		return m.drop(sig, "")
	}
	return nil
}

// drop reports a signal that is not sent: for a reason, or since there is no process.
func (m *machine) drop(sig syscall.Signal, reason string) error {
	e := Event{Kind: EventDropped, Signal: sig, Reason: reason}
	switch {
	case reason != "":
	case m.last == nil:
		e.Reason = "it was not started"
	default:
		e.Exit = *m.last
		reason = fmt.Sprintf("it has ended with %s", m.last)
	}
	m.emit(e)
	return errors.New(cmp.Or(reason, e.Reason))
}

// flush forwards the signals that waited for the daemon to be ready.
func (m *machine) flush() {
	for _, sig := range m.pending {
		_ = m.forward(sig, false)
	}
	m.pending = nil
}

// dropPending gives up the signals that waited for a process which has ended.
func (m *machine) dropPending() {
	for _, sig := range m.pending {
		_ = m.drop(sig, "")
	}
	m.pending = nil
}
