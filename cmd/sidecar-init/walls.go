package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/setup"
)

// ground is what walls stand on here.
func ground() bundle.Ground {
	k := kernel.Own()
	g := bundle.Ground{}
	_, err := os.Stat("/proc/self/exe")
	switch {
	case kernel.Landlock() == 0:
		g.Lacks = "no Landlock"
	case kernel.Landlock() < minABI:
		g.Lacks = "the Landlock of a kernel before Linux 5.19"
	case err != nil: // which the shim needs
		g.Lacks = "no /proc"
	}
	if k.SysAdmin {
		g.Mighty = append(g.Mighty, "SYS_ADMIN")
	}
	if k.Perfmon {
		g.Mighty = append(g.Mighty, "PERFMON")
	}
	return g
}

// walls gives the bundle its ground, and returns the lines for the log. The error, a *bundle.Errors, is that walls are required and
// something private is not enforced.
func walls(b *bundle.Bundle) (lines []string, err error) {
	g := ground()
	if err := b.Stand(g); err != nil {
		return nil, err
	}
	walled := b.Walled()
	switch {
	case !b.WantsWalls():
	case g.Lacks != "":
		lines = append(lines, "warning: there can be no walls: "+g.Lacks)
	case len(walled) > 0:
		line := "walls around " + strings.Join(walled, ", ")
		if len(walled) == len(b.Daemons) && len(walled) > 1 {
			line = fmt.Sprintf("walls around all %d daemons", len(walled))
		}
		lines = append(lines, line)
		if kernel.Landlock() < scopeABI {
			lines = append(lines, "warning: behind a wall everybody can still be signalled: it takes Linux 6.12 to change that")
		}
	}
	for _, line := range b.Unenforced() {
		lines = append(lines, "warning: private variables: "+line)
	}
	return lines, nil
}

// scopeABI is the version of Landlock that scopes signals: that of Linux 6.12.
const scopeABI = 6

// shut makes the supervisor undumpable where there is something private in its memory, and no wall in front of it.
func shut(b *bundle.Bundle) (lines []string) {
	if !b.WantsWalls() || !b.Private || ground().Lacks == "" {
		return nil
	}
	if err := setup.Undumpable(); err != nil {
		return []string{fmt.Sprintf("warning: the memory of the supervisor can be read: %v", err)}
	}
	return []string{"the supervisor is undumpable instead: without CAP_SYS_PTRACE its memory cannot be read, nor can /proc/1/fd be opened"}
}
