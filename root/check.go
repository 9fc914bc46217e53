package root

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// A ConfigError is a mistake in a [Config] or an [Update]. All mistakes are reported at once, joined by [errors.Join]; [errors.As]
// finds the first one.
type ConfigError struct {
	// Daemon is the name of the daemon concerned; empty if the mistake concerns the bundle.
	Daemon string
	// Field is the wrong field of [child.Spec], [Config] or [Update].
	Field string
	// Reason explains the mistake.
	Reason string
}

// Error returns the reason.
func (e *ConfigError) Error() string { return "root: " + e.Reason }

// A definition is everything in a bundle that [New] and [Update] check.
type definition struct {
	specs        []*child.Spec
	grace        time.Duration
	routes       map[syscall.Signal]Route
	exitCodeFrom string
}

// A checker collects the mistakes of a definition.
type checker struct {
	definition
	known map[string]*child.Spec // by name, and by the name of a service one of its daemons
	errs  []error
}

// check returns all mistakes of a definition, joined.
func (d definition) check() error {
	c := &checker{definition: d, known: map[string]*child.Spec{}}
	if d.grace < 0 {
		c.add("", "Grace", "the grace period is negative (%s)", d.grace)
	}
	c.names()
	for _, spec := range c.specs {
		c.spec(spec)
	}
	c.acyclic()
	for _, sig := range slices.Sorted(maps.Keys(d.routes)) {
		for _, name := range slices.Concat(d.routes[sig].Forward, d.routes[sig].Restart) {
			if c.known[name] == nil {
				c.add("", "Routes", "the route of %s names %s, which does not exist", child.SignalName(sig), name)
			}
		}
	}
	if d.exitCodeFrom != "" && c.known[d.exitCodeFrom] == nil {
		c.add("", "ExitCodeFrom", "the exit code comes from %s, which does not exist", d.exitCodeFrom)
	}
	return errors.Join(c.errs...)
}

func (c *checker) add(daemon, field, format string, a ...any) {
	c.errs = append(c.errs, &ConfigError{Daemon: daemon, Field: field, Reason: fmt.Sprintf(format, a...)})
}

func (c *checker) names() {
	for _, spec := range c.specs {
		switch {
		case spec.Name == "":
			c.add("", "Name", "a daemon has no name")
		case c.known[spec.Name] != nil:
			c.add(spec.Name, "Name", "two daemons are called %s", spec.Name)
		default:
			c.known[spec.Name] = spec
		}
	}
	for _, spec := range c.specs { // the name of a daemon takes precedence over that of a service
		if spec.Service != "" && c.known[spec.Service] == nil {
			c.known[spec.Service] = spec
		}
	}
}

func (c *checker) spec(s *child.Spec) {
	c.program(&s.Program, s.Name, "it")
	for field, steps := range map[string][]child.Step{"PreStart": s.PreStart, "PostStart": s.PostStart, "PreStop": s.PreStop} {
		for i := range steps {
			c.program(&steps[i].Program, s.Name, "a step of its "+field)
		}
	}
	switch s.Restart.Policy {
	case "", child.RestartNo, child.RestartOnFailure, child.RestartAlways, child.RestartUnlessStopped:
	default:
		c.add(s.Name, "Restart", "the restart policy of %s is unknown: %q", s.Name, s.Restart.Policy)
	}
	switch s.KillMode {
	case "", child.KillGroup, child.KillProcess:
	default:
		c.add(s.Name, "KillMode", "the kill mode of %s is unknown: %q", s.Name, s.KillMode)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"StopGrace", s.StopGrace},
		{"RestartGrace", s.RestartGrace},
		{"Backoff", min(s.Backoff.Initial, s.Backoff.Max, s.Backoff.ResetAfter)},
		{"Limit", min(s.Limit.Window, time.Duration(s.Limit.Restarts))},
		{"Restart", time.Duration(s.Restart.Max)},
	} {
		if d.value < 0 {
			c.add(s.Name, d.field, "the %s of %s is negative", d.field, s.Name)
		}
	}
	for _, d := range s.After {
		switch dep := c.known[d.Name]; {
		case dep == nil || dep.Name != d.Name:
			c.add(s.Name, "After", "%s depends on %s, which does not exist", s.Name, d.Name)
		case d.Condition != "" && !slices.Contains([]child.Condition{child.ServiceStarted, child.ServiceHealthy, child.ServiceCompletedSuccessfully}, d.Condition):
			c.add(s.Name, "After", "the condition of %s on %s is unknown: %q", s.Name, d.Name, d.Condition)
		}
	}
}

// program checks a program of a daemon. The parameter what is "it" for the daemon itself, or describes a step.
func (c *checker) program(p *child.Program, daemon, what string) {
	if what == "it" {
		what = daemon
	} else {
		what = daemon + ": " + what
	}
	if len(p.Argv) == 0 {
		c.add(daemon, "Argv", "%s has no command", what)
	}
	for _, kv := range p.Env {
		if i := strings.IndexByte(kv, '='); i <= 0 {
			c.add(daemon, "Env", "%s has an entry in its environment that is not NAME=VALUE", what) // not the entry: its value may be private
		}
	}
}

// acyclic reports a cycle of dependencies as a mistake.
func (c *checker) acyclic() {
	const (
		inPath = iota + 1
		done
	)
	mark := map[*child.Spec]int{}
	var path []string
	var visit func(s *child.Spec) bool
	visit = func(s *child.Spec) bool {
		path = append(path, s.Name)
		switch mark[s] {
		case done:
		case inPath:
			for path[0] != s.Name {
				path = path[1:]
			}
			c.add(s.Name, "After", "the dependencies go in a circle: %s", strings.Join(path, " -> "))
			return false
		default:
			mark[s] = inPath
			for _, d := range s.After {
				if dep := c.known[d.Name]; dep != nil && dep.Name == d.Name && !visit(dep) {
					return false
				}
			}
			mark[s] = done
		}
		path = path[:len(path)-1]
		return true
	}
	for _, s := range c.specs {
		if !visit(s) {
			return // other cycles are often the same one, found from another daemon
		}
	}
}
