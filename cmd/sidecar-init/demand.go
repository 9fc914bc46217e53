package main

import (
	"cmp"
	"fmt"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/needs"
)

// demand looks whether the container has what the file says of it. What is missing is exit code 78, all of it at once, or with
// requires: warn, and where a daemon can do without, lines.
func (p *program) demand(b *bundle.Bundle, flags *runFlags) (warnings []string, err error) {
	if flags.requires != "" && flags.requires != bundle.RequiresRefuse && flags.requires != bundle.RequiresWarn {
		return nil, usagef("invalid value %q of --requires: want refuse or warn", flags.requires)
	}
	refuse := cmp.Or(flags.requires, b.Requires, bundle.RequiresRefuse) == bundle.RequiresRefuse
	for _, m := range needs.Missing(b.Requirements) {
		if m.Warning || !refuse {
			warnings = append(warnings, "warning: "+m.String())
			continue
		}
		fmt.Fprintln(p.stderr, m.String())
		err = exitError(exitConfig)
	}
	for _, problem := range needs.Processors(b.Daemons) { // which no container brings
		fmt.Fprintln(p.stderr, problem.String())
		err = exitError(exitConfig)
	}
	return warnings, err
}

// lacking are the problems of a file that is read again: what the container lacks. What is only a warning is told by warn.
func lacking(b *bundle.Bundle, flags *runFlags, warn func(line string)) *bundle.Errors {
	wrong := &bundle.Errors{Problems: needs.Processors(b.Daemons)}
	warns := cmp.Or(flags.requires, b.Requires) == bundle.RequiresWarn
	for _, m := range needs.Missing(b.Requirements) {
		if warns || m.Warning {
			warn("warning: " + m.String())
		} else {
			way := m.Way()
			if len(m.Flag) > 0 {
				way = "it takes a container with " + m.FlagText()
			}
			wrong.Problems = append(wrong.Problems, bundle.Problem{
				File: m.File, Line: m.Line, Col: m.Col, Message: m.Key + ": " + m.Why + "; " + way,
			})
		}
	}
	return wrong
}
