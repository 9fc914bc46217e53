package main

import (
	"syscall"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// specs are the daemons of the bundle, with what the flags say.
func specs(b *bundle.Bundle, flags *runFlags) []child.Spec {
	all := b.Specs()
	for i := range all {
		all[i].RestartGrace = flags.restartGrace
		setAttr(&all[i], attr(&b.Daemons[i]))
	}
	return all
}

func routes(b *bundle.Bundle) map[syscall.Signal]root.Route {
	all := map[syscall.Signal]root.Route{}
	for sig, r := range b.Routes {
		all[sig] = root.Route{Forward: r.Forward, Restart: r.Restart, Shutdown: r.Shutdown}
	}
	for sig, names := range b.DroppedRoutes {
		r := all[sig]
		r.Absent = names
		all[sig] = r
	}
	return all
}

// outputs are the daemons' parts of the log.
type outputs struct {
	daemons map[string]*log.Stream
	// steps have streams of their own, since they write beside the daemon, or before it.
	steps map[string]*log.Stream
}

func openOutputs(logger *log.Log, b *bundle.Bundle) *outputs {
	o := &outputs{daemons: map[string]*log.Stream{}, steps: map[string]*log.Stream{}}
	for i := range b.Daemons {
		d := &b.Daemons[i]
		options := log.StreamOptions{Overflow: log.Overflow(d.Overflow), Quiet: d.Detached}
		o.daemons[d.Spec.Name] = logger.Stream(d.Spec.Name, options)
		if s := &d.Spec; len(s.PreStart)+len(s.PostStart)+len(s.PreStop) > 0 {
			o.steps[d.Spec.Name] = logger.Stream(d.Spec.Name, options)
		}
	}
	return o
}

// open is child.Exec.Output: a pipe for each life of a daemon. Exec gives it to the daemon's user.
func (o *outputs) open(spec *child.Spec) (child.Output, error) {
	stream := o.daemons[spec.Name]
	if spec.Step != "" {
		stream = o.steps[spec.Name]
	}
	stdout, stderr, exited, err := stream.Open(-1, -1)
	if err != nil {
		return child.Output{}, err
	}
	return child.Output{
		Stdout: stdout, Stderr: stderr, Exited: exited,
		Started: func() {
			stdout.Close()
			if stderr != stdout {
				stderr.Close()
			}
		},
	}, nil
}
