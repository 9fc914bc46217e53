package main

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// attr is what the file says of a daemon's process that needs the shim; nil where it says nothing.
func attr(d *bundle.Daemon, group *child.Cgroup) *child.Attr {
	return attributes(d, wall(d, d.Wall, true), group)
}

// helperAttr is the same for what runs for the daemon. It can signal the daemon, and so everybody.
func helperAttr(d *bundle.Daemon, group *child.Cgroup) *child.Attr {
	return attributes(d, wall(d, d.HelperWall, false), group)
}

func attributes(d *bundle.Daemon, w *child.Wall, group *child.Cgroup) *child.Attr {
	if w == nil && group == nil && len(d.Ulimits) == 0 && len(d.CapAdd) == 0 && len(d.CapDrop) == 0 && !d.NoNewPrivileges && d.OOMScoreAdj == nil && d.Umask == nil && len(d.CPUs) == 0 {
		return nil
	}
	a := &child.Attr{CapAdd: d.CapAdd, CapDrop: d.CapDrop, NoNewPrivileges: d.NoNewPrivileges, OOMScoreAdj: d.OOMScoreAdj, Umask: d.Umask, CPUs: d.CPUs, Wall: w, Cgroup: group}
	for _, l := range d.Ulimits {
		a.Rlimits = append(a.Rlimits, child.Rlimit(l))
	}
	return a
}

// wall is the Landlock domain for a process of the daemon; nil where it needs none, or where there can be none.
func wall(d *bundle.Daemon, around, signals bool) *child.Wall {
	abi := kernel.Landlock()
	closed := slices.DeleteFunc(slices.Clone(d.Closed), readOnlyMount)
	if abi < minABI || !around && !d.ReadOnly && len(closed) == 0 {
		return nil
	}
	w := &child.Wall{ABI: abi, Signals: around && signals, ReadOnly: d.ReadOnly, Closed: closed}
	if w.ReadOnly || len(closed) > 0 {
		w.Writable = d.Writable
	}
	if w.ReadOnly {
		w.Writable = append(slices.Clip(w.Writable), "/dev", "/proc")
	}
	return w
}

// minABI is the version of Landlock that walls take: that of Linux 5.19.
const minABI = 2

// readOnlyMount reports whether a path is on a mount that is read-only for everybody.
func readOnlyMount(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// setAttr gives the daemon, and the steps that run for it, their attributes.
func setAttr(spec *child.Spec, daemon, helper *child.Attr) {
	spec.Attr = daemon
	for _, steps := range [][]child.Step{spec.PreStart, spec.PostStart, spec.PreStop} {
		for i := range steps {
			steps[i].Attr = helper
		}
	}
}
