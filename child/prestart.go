package child

import "slices"

// prepare finds the steps that have to run before the program.
func (m *machine) prepare() {
	in := func(list []Step) func(Step) bool {
		return func(s Step) bool {
			return s.Once && slices.ContainsFunc(list, func(o Step) bool { return o.Same(&s.Program) })
		}
	}
	m.step, m.pre = 0, m.spec.PreStart
	if len(m.had) > 0 { // of another definition what has run before would be forgotten, as it should
		wanted := in(m.spec.PreStart)
		m.had = slices.DeleteFunc(m.had, func(s Step) bool { return !wanted(s) })
		m.pre = slices.DeleteFunc(slices.Clone(m.pre), in(m.had))
	}
}

// succeeded notes a step that is to run once.
func (m *machine) succeeded(step Step) {
	if step.Once {
		m.had = append(m.had, step)
	}
}
