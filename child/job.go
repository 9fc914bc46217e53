package child

import "cmp"

// What is different of a job: it rests in StateScheduled, and each Start is one run.

// resting is the state of one that has ended, or has not begun.
func (m *machine) resting(daemon State) State {
	if cmp.Or(m.newer, m.spec).Job != "" {
		return StateScheduled
	}
	return daemon
}

// runJob: Start was received. One run at a time: whoever sends it sees to that.
func (m *machine) runJob(msg Start) {
	if m.state.Alive() || msg.Trigger == "" {
		return
	}
	if m.newer != nil { // its Timeout counts
		m.spec, m.newer = m.newer, nil
	}
	m.trigger, m.argv, m.overdue = msg.Trigger, msg.Argv, false
	if m.spec.Timeout > 0 {
		m.do(effect{kind: doArm, delay: m.spec.Timeout})
	}
	m.begin(false)
}

// late: the time that a run may take has passed.
func (m *machine) late() {
	if m.spec.Job == "" || !m.state.Alive() {
		return
	}
	m.overdue, m.goal = true, m.goal.down()
	if m.phase != phaseSpawning {
		m.stop()
	}
}

// reviseJob gives the definition of a job, or one that makes a job of a daemon or the reverse. The run that is in progress goes on as it
// was begun.
func (m *machine) reviseJob(spec *Spec) {
	isJob, was := spec.Job != "", m.spec.Job != ""
	switch {
	case isJob && was && m.state.Alive():
		m.newer = spec
	case isJob && was:
		m.spec, m.newer = spec, nil
	case isJob && m.state.Alive():
		m.newer = spec
		m.terminate(false, 0)
	case isJob:
		if m.state == StateBackoff {
			m.do(effect{kind: doDisarm})
		}
		m.spec, m.newer = spec, nil
		m.enter(StateScheduled)
	case m.state.Alive():
		m.newer = spec
		m.restart()
	default:
		m.spec, m.newer = spec, nil
		m.begin(false)
	}
}
