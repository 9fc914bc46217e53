package child

import (
	"cmp"
	"reflect"
	"slices"
)

// A Change is what distinguishes two Specs of one daemon.
type Change string

// The kinds of changes.
const (
	// SameSpec: nothing that matters here differs.
	SameSpec Change = "same"
	// OtherRules: the program is the same; how it is supervised differs.
	OtherRules Change = "rules"
	// OtherProgram: what is executed, or what it is executed with, differs: the process must be another one.
	OtherProgram Change = "program"
)

// Compare says what distinguishes s from the newer [Spec]. The order of Env and After makes no difference, and Data is not
// looked at.
func (s *Spec) Compare(newer *Spec) Change {
	if s == newer {
		return SameSpec
	}
	if (s.Job != "") != (newer.Job != "") || !s.Program.Same(&newer.Program) {
		return OtherProgram
	}
	a, b := *s, *newer
	for _, spec := range []*Spec{&a, &b} {
		spec.Program, spec.Data = Program{}, nil
		if len(spec.Labels) == 0 {
			spec.Labels = nil
		}
		spec.After = slices.Clone(spec.After)
		slices.SortStableFunc(spec.After, func(a, b Dependency) int { return cmp.Compare(a.Name, b.Name) })
	}
	if !reflect.DeepEqual(a, b) {
		return OtherRules
	}
	return SameSpec
}

// revise: Revise was received.
func (m *machine) revise(msg Revise) {
	switch {
	case m.goal.final():
	case m.spec.Job != "" || msg.Spec.Job != "":
		m.reviseJob(msg.Spec)
	case !msg.Restart:
		if m.newer != nil { // one that is about to come in the place of m.spec
			m.newer = msg.Spec
			return
		}
		m.adopt(msg.Spec)
	case m.state == StateWaiting:
		m.spec = msg.Spec
	case m.state == StateStopping && m.goal == goalDown, m.phase == phaseSpawning && m.goal == goalDown:
		m.newer = msg.Spec
		if msg.Start {
			m.start(Start{})
		}
	case m.state.Alive():
		m.newer = msg.Spec
		m.failures, m.recent = 0, nil
		m.restart()
	case m.state == StateStopped && !msg.Start:
		m.spec = msg.Spec
	default:
		m.spec = msg.Spec
		m.start(Start{})
	}
}

// adopt makes the present life go on by the rules of spec.
func (m *machine) adopt(spec *Spec) {
	m.spec = spec
	if spec.Readiness || m.phase == phaseSpawning || !m.main() {
		return
	}
	switch m.state { // nobody will tell of readiness or health any more
	case StateStarting, StateUnhealthy:
		m.enter(StateRunning)
		m.wasReady = true
		m.flush()
	case StatePaused:
		if m.paused.state != StateReady {
			m.paused = standing{state: StateRunning}
			m.wasReady = true
		}
	}
}
