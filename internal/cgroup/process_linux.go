package cgroup

import (
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/bot-bottle/sidecar-init/child"
)

// Spawn starts a process by spawner, in this group, which spec.Attr names. Before a life of the daemon, or a step that comes before
// its program, the group is prepared.
func (l *Leaf) Spawn(spawner child.Spawner, spec *child.Spec) (child.Process, error) {
	group := spec.KillMode != child.KillProcess
	if spec.Step == "" || spec.Step == child.StepPreStart {
		if err := l.prepare(spec.Attr.Cgroup.Files, group); err != nil {
			return nil, &child.StartError{Reason: "its control group: " + err.Error(), Code: 126, Transient: errors.Is(err, errLeft), Err: err}
		}
	}
	p, err := spawner.Spawn(spec)
	if err != nil {
		return nil, err
	}
	return &process{Process: p, leaf: l, all: group && spec.Step == "", kills: l.OOMKills()}, nil
}

// A process is one in a group.
type process struct {
	child.Process
	leaf     *Leaf
	all      bool // a stop is one of the whole group
	stopping atomic.Bool
	kills    int64
}

// Signal implements child.Process. Only a stop signals the process group: then what has left that is to end too, and who is
// frozen is to hear it.
func (p *process) Signal(sig syscall.Signal, group bool) error {
	if group && p.all && sig != 0 {
		p.stopping.Store(true)
		_ = p.leaf.Freeze(false)
		if sig == syscall.SIGKILL {
			p.leaf.Kill()
		}
	}
	return p.Process.Signal(sig, group)
}

// Wait implements child.Process.
func (p *process) Wait() child.Exit {
	exit := p.Process.Wait()
	_ = p.leaf.Freeze(false) // what is left goes on
	if u, ok := p.leaf.Usage(); ok {
		exit.CPU = max(exit.CPU, u.CPU) // of all that was in it
	}
	exit.OOM = p.leaf.OOMKills() > p.kills && exit.Status() == 128+int(syscall.SIGKILL)
	return exit
}

// Left implements child.Process. At the end of a stop, when the process group has ended, so does the rest of the control group.
func (p *process) Left() bool {
	if p.Process.Left() {
		return true
	}
	if !p.stopping.Load() {
		return false
	}
	p.leaf.Kill()
	return p.leaf.Populated()
}

// Freeze implements child.Freezer.
func (p *process) Freeze(on bool) error { return p.leaf.Freeze(on) }
