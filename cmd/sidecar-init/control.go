package main

import (
	"os"
	"sort"

	"github.com/oklog/run"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/control"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// operations are what an operator has of a bundle: its control socket and its events. None of it can hold the bundle up,
// and where a part of it cannot be had, a line says so and the bundle runs without it.
type operations struct {
	printf  func(format string, a ...any)
	daemons map[string]control.Daemon
	lookup  func(string) ([]string, error)
	source  string
	hub     *events.Hub
}

func newOperations(b *bundle.Bundle, o *outputs, printf func(format string, a ...any)) *operations {
	ops := &operations{printf: printf, daemons: map[string]control.Daemon{}, lookup: b.Lookup, source: "/" + b.Name}
	if b.Name == "" {
		host, _ := os.Hostname() // without one the source is a slash
		ops.source = "/" + host
	}
	for i := range b.Daemons {
		d := &b.Daemons[i]
		logs := []*log.Stream{o.daemons[d.Spec.Name]}
		if steps := o.steps[d.Spec.Name]; steps != nil {
			logs = append(logs, steps)
		}
		ops.daemons[d.Spec.Name] = control.Daemon{Service: d.Spec.Service, Labels: d.Labels, Logs: logs}
	}
	ops.hub = events.New(events.Options{Source: ops.source, Tail: ops.tail})
	return ops
}

// tail returns the last n lines of a daemon and of its steps.
func (ops *operations) tail(daemon string, n int) []log.Line {
	var lines []log.Line
	for _, s := range ops.daemons[daemon].Logs {
		lines = append(lines, s.Tail(n)...)
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].Time.Before(lines[j].Time) })
	return lines[max(0, len(lines)-n):]
}

// observe is root.Config.Observe.
func (ops *operations) observe(e child.Event) { ops.hub.Observe(e) }

// join adds the parts to the group that runs the bundle.
func (ops *operations) join(g *run.Group, flags *runFlags, to actor.Ref[root.Msg]) {
	g.Add(ops.hub.Run, func(error) { ops.hub.Close() })
	paths := []string{flags.control}
	switch flags.control {
	case "off":
		return
	case "":
		paths = client.DefaultSockets()
	}
	s, err := control.New(control.Options{
		Paths: paths, Root: to, Lookup: ops.lookup, Daemons: ops.daemons, Events: ops.hub, Source: ops.source, Printf: ops.printf,
	})
	if err != nil {
		ops.printf("there is no control socket: %v", err)
		return
	}
	ops.add(g, s, "control socket")
}

// add adds a server. A server that fails is no reason to end the bundle, as the end of another part is.
func (ops *operations) add(g *run.Group, s *control.Server, what string) {
	closed := make(chan struct{})
	g.Add(func() error {
		if err := s.Run(); err != nil {
			ops.printf("the %s has failed: %v", what, err)
		}
		<-closed
		return nil
	}, func(error) {
		s.Close()
		close(closed)
	})
}
