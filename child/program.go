package child

import (
	"reflect"
	"slices"
)

// A Program is what is executed for a daemon, a step, a health check or a notifier, and with which environment, directory, user and
// attributes.
type Program struct {
	// Argv is the program and its arguments. Argv[0] without a slash is looked up in the PATH of Env.
	Argv []string
	// Env is the whole environment, as KEY=VALUE; nothing else is inherited. Nil means empty. If it has no HOME and User is set,
	// HOME is set from /etc/passwd, or to / if the user is not listed there.
	Env []string
	// Dir is the working directory; empty means that of the supervisor.
	Dir string
	// User is USER or USER:GROUP, each a name or a number, as in Compose. Empty means the supervisor's own user. It is looked up
	// when the program is started.
	User string
	// Groups lists supplementary groups, each a name or a number (Compose: group_add).
	Groups []string
	// Attr, if not nil, has further attributes of the process. [Exec] needs [Exec.Shim] for it.
	Attr *Attr
	// Stamp identifies what the program reads that is not part of this Program, such as the content of its secrets. Programs with
	// different stamps are not the same ([Program.Same]).
	Stamp string
}

// Same reports whether p and other are executed in the same way. The order of Env does not matter.
func (p *Program) Same(other *Program) bool {
	plain := func(p Program) Program { // an empty list and nil are the same to a program
		p.Argv, p.Env, p.Groups = nonNil(p.Argv), nonNil(slices.Sorted(slices.Values(p.Env))), nonNil(p.Groups)
		return p
	}
	return p == other || reflect.DeepEqual(plain(*p), plain(*other))
}

// nonNil returns an empty list for nil.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// A Step is a program that runs for a daemon before its start, beside it, or before its stop ([Spec.PreStart], [Spec.PostStart],
// [Spec.PreStop]). It must exit, with code 0.
type Step struct {
	// Name is the [Spec.Name] that the [Spawner] is given; usually it is the daemon's.
	Name string
	Program
	// Once: a step of [Spec.PreStart] that has succeeded does not run again before later starts, unless its program has changed
	// ([Program.Same]).
	Once bool
}

// spec returns what a [Spawner] is given for the step.
func (s *Step) spec(kind StepKind) *Spec {
	return &Spec{Name: s.Name, Program: s.Program, Step: kind}
}

// A StepKind is when a step runs; the names are Compose's.
type StepKind string

// The kinds of steps.
const (
	StepPreStart  StepKind = "pre_start"
	StepPostStart StepKind = "post_start"
	StepPreStop   StepKind = "pre_stop"
)
