package child

import (
	"reflect"
	"slices"
)

// A Program is what is executed, and what it is executed with: that of a daemon, a step, a health check, a notifier.
type Program struct {
	// Argv is the program and its arguments. Argv[0] without a slash is looked up in the PATH of Env.
	Argv []string
	// Env is the whole environment, as KEY=VALUE; nothing is inherited besides. Nil means empty. Where it has no HOME and
	// User names somebody, HOME is that of /etc/passwd, or / for one who is not there.
	Env []string
	// Dir is the working directory; empty means that of the supervisor.
	Dir string
	// User is USER or USER:GROUP, each a name or a number, as in Compose; empty means the supervisor's own.
	// It is looked up when the program is started.
	User string
	// Groups are further groups, each a name or a number (Compose: group_add).
	Groups []string
	// Attr, unless nil, has further attributes of the process.
	Attr *Attr
	// Stamp stands for what the program reads that is not in this Program, such as the content of its secrets: with another
	// stamp it is another program (Same).
	Stamp string
}

// Same reports whether p and other are executed alike. The order of Env makes no difference.
func (p *Program) Same(other *Program) bool {
	plain := func(p Program) Program { // to a program an empty list is none
		p.Argv, p.Env, p.Groups = nonNil(p.Argv), nonNil(slices.Sorted(slices.Values(p.Env))), nonNil(p.Groups)
		return p
	}
	return p == other || reflect.DeepEqual(plain(*p), plain(*other))
}

// nonNil makes an empty list of no list.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// A Step is a program that runs for a daemon to its end, which must be exit code 0: before its start, beside it, or before its
// stop.
type Step struct {
	// Name is what a [Spawner] knows it by: [Spec.Name] of what it is given.
	Name string
	Program
	// Once: a step of [Spec.PreStart] that has succeeded does not run before another start, unless it is another program by
	// then ([Program.Same]).
	Once bool
}

// spec is what a [Spawner] gets for the step.
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
