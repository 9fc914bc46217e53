package main

import (
	"cmp"
	"context"
	"io"
	stdlog "log"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oklog/run"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/control"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/metrics"
	"github.com/bot-bottle/sidecar-init/internal/notify"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/proc"
	"github.com/bot-bottle/sidecar-init/internal/sampler"
	"github.com/bot-bottle/sidecar-init/internal/setup"
	"github.com/bot-bottle/sidecar-init/internal/termination"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// operations are what an operator has of a bundle: the control socket, events and who is notified of them, metrics, and the
// record at the end. None of it can hold the bundle up, and where a part of it cannot be had, a line says so and the bundle
// runs without it.
type operations struct {
	*program
	b      *bundle.Bundle
	logger *log.Log
	end    *ending
	source string
	usage  sampler.Sampler

	hub       *events.Hub
	notifier  *notify.Notifier
	metrics   *metrics.Metrics
	collector *termination.Collector
	trim      *time.Timer
	left      atomic.Int32 // how often the last client has left since garbage was collected
	reload    *reloader
	queue     func() int // the largest number of messages that ever waited for root
}

// trimAfter is when, after the start and after the last client has left, most of the program's code is no longer needed.
// Nothing depends on it.
const trimAfter = time.Second

// collectAfter is how many times the last client has left when garbage is collected before Go does it by itself, which is at
// 4 MB or after two minutes. A collection leaves some 300 kB of its own, so a few clients are not worth one.
const collectAfter = 100

// newOperations makes what there is to observe. Its error is that of a flag.
func (p *program) newOperations(b *bundle.Bundle, flags *runFlags, w *workshop, end *ending) (*operations, error) {
	// net/http writes to fd 2 about servers that break the protocol: that would tear the lines of others, and may block.
	stdlog.SetOutput(io.Discard)

	ops := &operations{
		program: p, b: b, logger: w.logger, end: end, collector: w.collector, source: "/" + b.Name,
		queue: func() int { return 0 },
	}
	ops.trim = time.AfterFunc(trimAfter, func() {
		if ops.left.Load() >= collectAfter {
			ops.left.Store(0)
			debug.FreeOSMemory()
		}
		_ = setup.Trim() // only the size is at stake
	})
	if b.Name == "" {
		host, _ := os.Hostname() // without one the source is a slash
		ops.source = "/" + host
	}
	ops.hub = events.New(events.Options{Source: ops.source})
	w.hub = ops.hub
	var err error
	if ops.notifier, err = notify.New(notify.Options{Events: ops.hub, Sinks: sinks(b, flags), Env: b.Env, Printf: w.logger.Printf}); err != nil {
		return nil, &usageError{err.Error()}
	}
	ops.metrics = metrics.New(metrics.Options{
		Cgroup: func(s *child.Status) (cgroup.Usage, bool) { return w.limits.usage(s.Spec.Attr) },
		Reload: func() (bool, time.Time) { return ops.reload.succeeded.Load(), time.Unix(ops.reload.at.Load(), 0) },
		Jobs: func() []jobs.Status {
			all, _ := w.jobs.List(context.Background()) // at the end of the bundle there are none
			return all
		},
		Counts:  func(s *child.Status) *metrics.Counts { return &s.Data.(*unit).counts },
		Version: strings.Fields(versionLine())[1], Log: w.logger.Stats, Events: ops.hub.Stats,
		Notify: ops.notifier.Stats, Orphans: p.orphans.Reaped, RootQueue: func() int { return ops.queue() }, Usage: &ops.usage,
	})
	return ops, nil
}

// sinks are those of the flags, or else of the bundle.
func sinks(b *bundle.Bundle, flags *runFlags) []bundle.Sink {
	if !flags.given["notify"] {
		return b.Notify
	}
	var all []bundle.Sink
	for _, url := range flags.notify {
		all = append(all, bundle.Sink{URL: url})
	}
	return all
}

// How long events may be sent after the last daemon has ended, and after the deadline at most.
const (
	notifyTime = 500 * time.Millisecond
	notifyEnds = 150 * time.Millisecond
)

// join adds the parts to the group that runs the bundle. The interrupts are called in this order when the bundle has ended.
func (ops *operations) join(g *run.Group, flags *runFlags, to actor.Ref[root.Msg]) {
	ops.queue = to.HighWater
	g.Add(ops.hub.Run, func(error) { ops.hub.Close() })
	g.Add(ops.notifier.Run, func(error) {
		by := time.Now().Add(notifyTime)
		if end := ops.end.deadline().Add(notifyEnds); end.Before(by) {
			by = end
		}
		ops.notifier.Finish(by)
	})
	o := control.Options{
		Root: to, Logs: func(s *child.Status) []*log.Stream { return s.Data.(*unit).logs() },
		Absent: func() []string { return ops.reload.now.Load().Unselected }, Reloader: ops.reload, Jobs: ops.reload.w.jobs,
		Transient: func(s *child.Status) (bool, time.Time) {
			return s.Spec.Data.(*definition).Transient, s.Data.(*unit).expires()
		},
		Wall: func(s *child.Status) (bool, string) {
			d := s.Spec.Data.(*definition).Daemon
			return d.Wall, ops.reload.now.Load().Enforced(d)
		},
		Cgroup: func(s *child.Status) (cgroup.Usage, bool) { return ops.reload.w.limits.usage(s.Spec.Attr) },
		Leaf:   func(pid int) string { return ops.reload.w.limits.of(pid) },
		Moves:  func(s *child.Status) bool { return s.Spec.Data.(*definition).MayMove(os.Getuid()) },
		Control: func(s *child.Status) bundle.Control {
			d := s.Spec.Data.(*definition).Daemon
			return cmp.Or(d.Control, bundle.DefaultControl(d.Wall))
		},
		Has:     func(s *child.Status, p proc.Stat) (bool, bool) { return s.Data.(*unit).family.Has(p) },
		Private: func(s *child.Status) bool { return len(s.Spec.Data.(*definition).Private) > 0 },
		Own:     ops.logger.Own(),
		Events:  ops.hub, Source: ops.source, Usage: &ops.usage,
		Metrics: func(w io.Writer, all []child.Status) { _ = ops.metrics.Write(w, all) }, // into memory
		Idle: func() {
			ops.left.Add(1)
			ops.trim.Reset(trimAfter)
		},
		Printf: ops.logger.Printf,
	}
	switch flags.control {
	case "off":
	case "":
		o.Paths, o.Spare = client.DefaultSockets(), client.SpareSocket()
	default:
		o.Paths = []string{flags.control}
	}
	if len(o.Paths) > 0 {
		s, err := control.New(o)
		ops.serve(g, s, err, "control socket")
	}
	if flags.metricsListen != "" {
		s, err := control.NewMetrics(flags.metricsListen, o)
		ops.serve(g, s, err, "address for metrics")
	}
}

// serve adds a server. That it cannot be had, or fails, is no reason to end the bundle, as the end of another part is.
func (ops *operations) serve(g *run.Group, s *control.Server, err error, what string) {
	if err != nil {
		ops.logger.Printf("there is no %s: %s", what, printable.Text(err.Error()))
		return
	}
	closed := make(chan struct{})
	g.Add(func() error {
		if err := s.Run(); err != nil {
			ops.logger.Printf("the %s has failed: %s", what, printable.Text(err.Error()))
		}
		<-closed
		return nil
	}, func(error) {
		s.Close()
		close(closed)
	})
}

// record writes the record of the bundle, which has ended with this code.
func (ops *operations) record(code int, all []child.Status) {
	var from []string
	chosen := ops.reload.now.Load().ExitCodeFrom
	for i := range all {
		if s := &all[i]; chosen != "" && (s.Name == chosen || s.Spec.Service == chosen) {
			from = append(from, s.Name)
		}
	}
	stats := ops.logger.Stats()
	r := ops.collector.Record(code, all, from, stats.Dropped+stats.OwnDropped)
	if !r.Clean() {
		ops.logger.Printf("%s", r)
	}
	if err := r.Write(termination.Path); err != nil {
		ops.logger.Printf("cannot write the record: %v", err)
	}
}
