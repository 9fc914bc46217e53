package main

import (
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// attr is what the file says of a daemon's process that needs the shim; nil where it says nothing.
func attr(d *bundle.Daemon) *child.Attr {
	if len(d.Ulimits) == 0 && len(d.CapAdd) == 0 && len(d.CapDrop) == 0 && !d.NoNewPrivileges && d.OOMScoreAdj == nil && d.Umask == nil && len(d.CPUs) == 0 {
		return nil
	}
	a := &child.Attr{CapAdd: d.CapAdd, CapDrop: d.CapDrop, NoNewPrivileges: d.NoNewPrivileges, OOMScoreAdj: d.OOMScoreAdj, Umask: d.Umask, CPUs: d.CPUs}
	for _, l := range d.Ulimits {
		a.Rlimits = append(a.Rlimits, child.Rlimit(l))
	}
	return a
}

// setAttr gives the daemon, and the steps that run for it, their attributes.
func setAttr(spec *child.Spec, a *child.Attr) {
	spec.Attr = a
	for _, steps := range [][]child.Spec{spec.PreStart, spec.PostStart, spec.PreStop} {
		for i := range steps {
			steps[i].Attr = a
		}
	}
}
