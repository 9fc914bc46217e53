package main

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/metrics"
	"github.com/bot-bottle/sidecar-init/internal/oom"
	"github.com/bot-bottle/sidecar-init/internal/peer"
	"github.com/bot-bottle/sidecar-init/internal/probe"
	"github.com/bot-bottle/sidecar-init/internal/sdnotify"
	"github.com/bot-bottle/sidecar-init/internal/shim"
	"github.com/bot-bottle/sidecar-init/internal/termination"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// A definition is what the bundle file says of a daemon. It is the Data of its Spec.
type definition struct {
	*bundle.Daemon
	line *regexp.Regexp // of ready: log
}

// define turns what the file says of a daemon into its Spec.
func (w *workshop) define(d *bundle.Daemon, flags *runFlags) (child.Spec, error) {
	def := &definition{Daemon: d}
	spec := d.Spec
	spec.RestartGrace, spec.Labels, spec.Data = flags.restartGrace, d.Labels, def
	group := w.limits.group(d)
	setAttr(&spec, attr(d, group), helperAttr(d, group))
	spec.Stamp = d.Ready.Kind()
	if l := d.Limits; !l.None() { // whether they hold or not
		swap := deref(l.Swap)
		l.Swap = nil
		spec.Stamp += fmt.Sprintf("\n%+v %v", l, swap)
	}
	for _, f := range d.Files {
		spec.Stamp += fmt.Sprintf("\n%s %s %s %x %s %s %s %o", f.Kind, f.Source, f.Target, f.Digest, f.User, f.UID, f.GID, f.Mode)
	}
	spec.Rules = fmt.Sprintf("%+v", []any{deref(d.Health), deref(d.Ready), d.Overflow, d.Control, d.Detached, d.Watch, deref(d.Update), jobRules(d.Job), slices.Sorted(slices.Values(d.PrivateNames))})
	if r := d.Ready; r != nil && r.Log != "" {
		var err error
		if def.line, err = regexp.Compile(r.Log); err != nil {
			return spec, fmt.Errorf("cannot wait for the log line of %s: %w", spec.Name, err)
		}
	}
	if r := d.Ready; r != nil && r.NotifySD && sdnotify.Watchdog(spec.Env) > 0 { // some libraries look whether it is meant for them
		a := child.Attr{}
		if spec.Attr != nil {
			a = *spec.Attr
		}
		a.PIDVariable = "WATCHDOG_PID"
		spec.Attr = &a
	}
	return spec, nil
}

// jobRules is when a job runs.
func jobRules(j *bundle.Job) (rules []any) {
	if j == nil {
		return nil
	}
	rules = []any{j.Manual, j.Entrypoint}
	for _, t := range j.Triggers {
		rules = append(rules, t.Cron, t.Timezone, t.Queue, t.SkipMissed)
	}
	return rules
}

// definitions are those of the jobs of a bundle.
func definitions(b *bundle.Bundle) (all []jobs.Definition) {
	for i := range b.Daemons {
		if d := &b.Daemons[i]; d.Job != nil {
			all = append(all, jobs.Definition{Job: *d.Job, Name: d.Spec.Name, After: d.Spec.After})
		}
	}
	return all
}

// deref is what p points to, for fmt; nil if there is nothing.
func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// A workshop has what all daemons of a bundle share.
type workshop struct {
	logger    *log.Log
	report    *reporter
	hub       *events.Hub
	collector *termination.Collector
	jobs      *jobs.Keeper
	limits    *limits
	helpers   child.Exec    // starts probes
	processes child.Spawner // and those in a control group of their own
	spawner   child.Spawner
}

func newWorkshop(logger *log.Log, report *reporter, limits *limits) *workshop {
	helpers := child.Exec{Shim: shim.Prepare}
	processes := helpers
	processes.Output = func(spec *child.Spec) (child.Output, error) { return spec.Data.(*unit).open(spec) }
	return &workshop{
		logger: logger, report: report, collector: &termination.Collector{}, limits: limits,
		helpers: helpers, processes: processes, spawner: oom.New(processes),
	}
}

// A unit is what belongs to one daemon of the bundle, over all its lives and definitions: its part of the log, what finds
// out whether it is ready, and what is counted of it. Root makes it known (root.Daemon), closes it when it leaves, and has the
// only list of them.
type unit struct {
	*workshop
	name   string
	stream *log.Stream
	counts metrics.Counts
	probe  *probe.Prober
	family peer.Family // what was started for it

	mu     sync.Mutex
	def    *definition      // of the present or last life
	steps  *log.Stream      // of the steps, which write beside the daemon, or before it; nil if there are none
	socket *sdnotify.Socket // nil unless the daemon notifies through one
	expiry *time.Timer      // nil unless its time is limited
	ends   time.Time        // is that time
}

// expire does something when the daemon's time is over, unless it has left before.
func (d *unit) expire(after time.Duration, do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expiry, d.ends = time.AfterFunc(after, do), time.Now().Add(after)
}

// expires is when the daemon's time is over; zero if it is not limited.
func (d *unit) expires() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ends
}

// unit makes the one value that a daemon is.
func (w *workshop) unit(spec child.Spec) root.Daemon {
	d := &unit{workshop: w, name: spec.Name}
	d.stream = w.logger.Stream(d.name, streamOptions(spec.Data.(*definition)))
	return root.Daemon{Spec: spec, Spawner: d, Observe: d.observe, Attach: d.attach, Data: d, Close: d.close}
}

func streamOptions(def *definition) log.StreamOptions {
	return log.StreamOptions{Overflow: log.Overflow(def.Overflow), Quiet: def.Detached}
}

func (d *unit) attach(tell func(child.Fact)) { d.probe = probe.New(probe.Plan{}, tell) }

// Spawn is child.Spawner, for the daemon and its steps. The process writes to the daemon's log, and the definition that it is
// started by is the daemon's from here on.
func (d *unit) Spawn(spec *child.Spec) (child.Process, error) {
	s := *spec
	if def, ok := spec.Data.(*definition); ok {
		if err := d.adopt(def); err != nil {
			return nil, err
		}
		if d.socket != nil {
			s.Env = append(slices.Clip(s.Env), "NOTIFY_SOCKET="+d.socket.Address())
		}
	}
	s.Data = d
	if leaf := d.limits.leaf(s.Attr); leaf != nil {
		return leaf.Spawn(d.related(d.processes), &s)
	}
	return d.family.Spawn(d.spawner, &s)
}

// related is a spawner whose processes belong to the daemon.
func (d *unit) related(spawner child.Spawner) child.Spawner {
	return spawnFunc(func(spec *child.Spec) (child.Process, error) { return d.family.Spawn(spawner, spec) })
}

// A spawnFunc is a child.Spawner.
type spawnFunc func(*child.Spec) (child.Process, error)

// Spawn implements child.Spawner.
func (f spawnFunc) Spawn(spec *child.Spec) (child.Process, error) { return f(spec) }

// adopt makes def the definition of the daemon, which is dead.
func (d *unit) adopt(def *definition) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if def == d.def {
		return nil
	}
	d.closeSocket()
	if r := def.Ready; r != nil && r.NotifySD {
		socket, err := sdnotify.Listen(sdnotify.Options{
			Daemon: d.name, Watchdog: sdnotify.Watchdog(def.Spec.Env), Printf: d.logger.Printf,
		})
		if err != nil {
			return err
		}
		d.socket = socket
	}
	d.set(def)
	return nil
}

// set makes def the definition. The caller holds the lock.
func (d *unit) set(def *definition) {
	d.def = def
	d.probe.SetPlan(d.plan(def))
	d.stream.SetOptions(streamOptions(def))
	if d.steps != nil {
		d.steps.SetOptions(streamOptions(def))
	}
}

// revise makes def the definition of the daemon, whose process goes on.
func (d *unit) revise(def *definition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set(def)
}

// plan is how it is found out that the daemon is ready and healthy.
func (d *unit) plan(def *definition) (plan probe.Plan) {
	if h := def.Health; h != nil {
		plan.Health = &probe.Health{
			Check: d.helper(def, h.Test), Interval: h.Interval, StartInterval: h.StartInterval,
			Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries,
		}
	}
	switch r := def.Ready; {
	case r == nil:
	case r.TCP != "":
		plan.Ready = probe.TCP(r.TCP)
	case r.HTTP != "":
		plan.Ready = probe.HTTP(r.HTTP)
	case len(r.Exec) > 0:
		plan.Ready = d.helper(def, r.Exec)
	default:
		plan.Told = true
	}
	return plan
}

// helper is a check that executes a program for the daemon, as its user, and without what is private to it.
func (d *unit) helper(def *definition, argv []string) probe.Check {
	return probe.Exec(d.helpers, d.name, child.Program{
		Argv: argv, Env: def.HelperEnv, Dir: def.Spec.Dir, User: def.Spec.User, Groups: def.Spec.Groups,
		Attr: helperAttr(def.Daemon, d.limits.group(def.Daemon)),
	}, d.family.Spawn)
}

// open is child.Exec.Output: a pipe for each life of the daemon, and what it needs if it says itself that it is ready. Exec
// gives the pipe to the daemon's user.
func (d *unit) open(spec *child.Spec) (child.Output, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if spec.Step != "" {
		if d.steps == nil {
			options := log.StreamOptions{}
			if d.def != nil {
				options = streamOptions(d.def)
			}
			d.steps = d.logger.Stream(d.name, options)
		}
		return output(d.steps)
	}
	out, err := output(d.stream)
	if err != nil {
		return out, err
	}
	r := d.def.Ready
	if r == nil || r.Log == "" && r.NotifyFD == 0 && !r.NotifySD {
		return out, nil
	}
	life := d.probe.Begin()
	switch {
	case r.Log != "":
		match := d.def.line
		d.stream.SetMatch(func(line []byte) bool {
			found := match.Match(line)
			if found {
				life.Ready()
			}
			return found
		})
	case r.NotifySD:
		d.socket.Begin(life)
	default:
		files, closeFiles, err := sdnotify.Pipe(r.NotifyFD, life)
		if err != nil {
			out.Started()
			return child.Output{}, err
		}
		started := out.Started
		out.Extra = files
		out.Started = func() {
			closeFiles()
			started()
		}
	}
	return out, nil
}

// output opens a stream for a process.
func output(stream *log.Stream) (child.Output, error) {
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

// observe is root.Daemon.Observe.
func (d *unit) observe(e child.Event) {
	if e.Kind == root.EventShutdown {
		d.probe.Close() // nobody waits any more
		return
	}
	e.Reason = fit(e.Reason)
	d.probe.Observe(e)
	d.pause(e)
	d.report.daemon(e, d.critical())
	d.hub.Observe(e, d.tail)
	d.counts.Observe(e)
	if e.Trigger != "" { // the run of a job, which is nobody's failure but its own
		d.jobs.Observe(e)
		return
	}
	d.collector.Observe(e)
}

// pause makes the watchdog wait while the daemon is frozen.
func (d *unit) pause(e child.Event) {
	if e.Kind != child.EventPaused && e.Kind != child.EventUnpaused {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket != nil {
		d.socket.Pause(e.Kind == child.EventPaused)
	}
}

// critical reports whether the end of the daemon is that of the bundle.
func (d *unit) critical() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.def != nil && d.def.Spec.Critical
}

// logs are what the daemon writes, and what its steps do.
func (d *unit) logs() []*log.Stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.steps == nil {
		return []*log.Stream{d.stream}
	}
	return []*log.Stream{d.stream, d.steps}
}

// tail is events.Tail: the last n lines of the daemon and of its steps.
func (d *unit) tail(n int) []log.Line {
	var lines []log.Line
	for _, s := range d.logs() {
		lines = append(lines, s.Tail(n)...)
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].Time.Before(lines[j].Time) })
	return lines[max(0, len(lines)-n):]
}

// close is root.Daemon.Close: the daemon has left.
func (d *unit) close() {
	if d.probe != nil {
		d.probe.Close()
	}
	for _, s := range d.logs() {
		s.Close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeSocket()
	if d.expiry != nil {
		d.expiry.Stop()
	}
}

// closeSocket closes the notify socket, if there is one. The caller holds the lock.
func (d *unit) closeSocket() {
	if d.socket != nil {
		_ = d.socket.Close() // of a datagram socket nothing can be lost
		d.socket = nil
	}
}
