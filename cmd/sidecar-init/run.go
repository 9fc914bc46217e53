package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/run"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/sdnotify"
	"github.com/bot-bottle/sidecar-init/internal/setup"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// What follows the deadline of a shutdown: root has returned after 150 ms (package root), then come the sweep of orphans and
// the rest of the log, and at the end the process exits whatever hangs. All of it stays below the 300 ms that are promised.
const (
	sweepEnds = 210 * time.Millisecond
	logTime   = 100 * time.Millisecond // for what has come out last
	logEnd    = 255 * time.Millisecond
	exitAt    = 285 * time.Millisecond
	lastTime  = 10 * time.Millisecond // for the last words then
)

// runBundle runs a bundle to its end and returns its exit code.
func (p *program) runBundle(flags *runFlags, daemons []string) (int, error) {
	// From here on no signal is lost, however early it comes.
	signals := setup.Take()
	var early atomic.Pointer[log.Log]
	early.Store(log.New(p.stdout, logOptions(flags, &bundle.Bundle{})))
	handOver := beforehand(signals, func(sig syscall.Signal) { endEarly(early.Load(), sig) })

	flags.here = true
	b, err := p.load(flags, daemons)
	if err != nil {
		return 0, err
	}
	lacks, err := p.demand(b, flags)
	if err != nil {
		return 0, err
	}
	about, err := walls(b)
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return 0, exitError(exitConfig)
	}
	confined := &limits{}
	unheld, err := confined.confine(b, false)
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return 0, exitError(exitConfig)
	}
	about = append(about, unheld...)
	defer confined.close()
	for _, w := range b.Warnings {
		if w.Run {
			p.warnings = append(p.warnings, printable.Line("warning: "+w.String()))
		}
	}
	p.warnings = append(p.warnings, lacks...)
	if err := p.placeFiles(b); err != nil {
		return 0, err
	}
	logger := log.New(p.stdout, logOptions(flags, b))
	early.Store(logger)
	if p.exposed != "" && b.Private {
		p.warnings = append(p.warnings, p.exposed)
	}
	about = append(about, shut(b)...)
	for _, line := range slices.Concat(p.warnings, about) {
		logger.Printf("%s", line)
	}
	if b.Files == nil {
		logger.Printf("no bundle file is given (--file or %sFILE): running the built-in bundle", envPrefix)
	}
	for _, name := range b.UnknownSubset {
		logger.Printf("there is no daemon %q to select; ignored", printable.Text(name))
	}
	if len(b.Daemons) == 0 {
		logger.Printf("no daemons selected; nothing to do")
		logger.Close(time.Now().Add(b.Grace))
		return 0, nil
	}

	end := newEnding(b.Grace)
	w := newWorkshop(logger, &reporter{printf: logger.Printf}, confined)
	routes := routes(b)
	if err := setup.Drop(func(sig syscall.Signal) bool { _, ok := routes[sig]; return ok }); err != nil {
		logger.Printf("a flood of signals can make the supervisor deaf: %v", err)
	}
	digest(b)
	reload := newReloader(p, flags, daemons, w, b)
	reload.end, reload.about = end, about
	ops, err := p.newOperations(b, flags, w, end)
	if err != nil {
		return 0, err
	}
	cfg := root.Config{
		Grace: b.Grace, Routes: routes, ExitCodeFrom: b.ExitCodeFrom, Reload: reload.ask,
		Observe: func(e child.Event) { // what happens to a daemon its own value is told
			e.Reason = fit(e.Reason)
			end.observe(e)
			w.report.bundle(e)
			w.collector.Observe(e)
			w.hub.Observe(e, nil)
			if e.Kind == root.EventShutdown {
				w.jobs.Observe(e)
			}
		},
	}
	for i := range b.Daemons {
		spec, err := w.define(&b.Daemons[i], flags)
		if err != nil {
			return 0, err
		}
		cfg.Daemons = append(cfg.Daemons, w.unit(spec))
	}
	r, err := root.New(cfg)
	if err != nil {
		return 0, err
	}
	w.jobs = jobs.New(jobs.Options{Root: r.Ref(), Printf: logger.Printf, Observe: func(e child.Event) {
		w.report.bundle(e)
		w.hub.Observe(e, nil)
	}})
	w.jobs.Set(definitions(b))

	var result atomic.Pointer[outcome]
	soFar := func() outcome {
		if o := result.Load(); o != nil {
			return *o
		}
		return outcome{code: r.ExitCode()}
	}
	lastWords := sync.OnceFunc(func() {
		o := soFar()
		ops.record(o.code, o.statuses)
		logger.Printf("exit %d", o.code)
	})
	end.overdue = func() int {
		said := make(chan struct{})
		go func() { // since the record may be on a file system that hangs
			confined.close()
			lastWords()
			logger.Flush(time.Now().Add(lastTime))
			close(said)
		}()
		select {
		case <-said:
		case <-time.After(lastTime):
		}
		return soFar().code
	}

	if address, _ := p.getenv("NOTIFY_SOCKET"); address != "" {
		go func() { // ends with the bundle, at the latest
			if err := sdnotify.Upward(address, r.Ref()); err != nil {
				logger.Printf("%s", printable.Text(err.Error()))
			}
		}()
	}

	// The components of the group share one fate: the end of one is the end of all. They run beside the main thread, which
	// reaps orphans and must not fork.
	var g run.Group
	code := 0
	g.Add(func() (err error) {
		code, err = r.Run()
		result.Store(&outcome{code, r.Statuses()})
		return err
	}, func(error) {
		_ = r.Ref().Tell(root.Shutdown{Reason: "a part of the supervisor has ended"})
	})
	g.Add(forward(handOver(), signals, r.Ref()))
	reload.to, reload.ops, ops.reload = r.Ref(), ops, reload
	reload.watcher = newWatcher(reload)
	g.Add(reload.watcher.run, func(error) { reload.watcher.close() })
	g.Add(w.jobs.Run, func(error) { w.jobs.Close() })
	stop := make(chan struct{})
	g.Add(func() error { return reload.run(stop) }, func(error) { close(stop) })
	ops.join(&g, flags, r.Ref())
	done := make(chan struct{})
	var runErr error
	go func() {
		runErr = g.Run()
		close(done)
	}()
	defer ops.trim.Stop()
	p.orphans.Run(done)

	deadline := end.deadline()
	p.orphans.Sweep(deadline, sweepEnds)
	confined.close()
	logEnds := logDeadline(deadline, time.Now())
	logger.Drain(logEnds)
	if runErr != nil && !errors.Is(runErr, errSignals) {
		logger.Printf("%v", runErr)
	}
	lastWords()
	logger.Close(logEnds)
	return code, nil
}

// An outcome is how the bundle has ended.
type outcome struct {
	code     int
	statuses []child.Status // the last of each daemon
}

var errSignals = errors.New("no more signals are taken")

// forward is the component that turns signals into messages: first those that have come already.
func forward(come []syscall.Signal, signals <-chan os.Signal, to actor.Ref[root.Msg]) (execute func() error, interrupt func(error)) {
	stop := make(chan struct{})
	return func() error {
			for _, s := range come {
				_ = to.Tell(root.Signal{Sig: s})
			}
			for {
				select {
				case s := <-signals:
					_ = to.Tell(root.Signal{Sig: s.(syscall.Signal)})
				case <-stop:
					return errSignals
				}
			}
		}, func(error) {
			close(stop)
		}
}

func logOptions(flags *runFlags, b *bundle.Bundle) log.Options {
	o := log.Options{Format: log.Format(b.Log.Format), Timestamps: b.Log.Timestamps, MaxLine: b.Log.MaxLine}
	if b.Log.Hold != nil {
		o.Hold = cmp.Or(*b.Log.Hold, -1)
	}
	if flags.given["log-format"] || o.Format == "" {
		o.Format = log.Format(flags.logFormat)
	}
	if flags.given["timestamps"] {
		o.Timestamps = flags.timestamps
	}
	return o
}
