package metrics

import (
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/notify"
	"github.com/bot-bottle/sidecar-init/internal/sampler"
	"github.com/bot-bottle/sidecar-init/log"
)

// Options say where numbers come from that are not counted here. A nil function means that there are none.
type Options struct {
	// Counts returns what was counted of a daemon, by its status; nil where nothing was.
	Counts func(*child.Status) *Counts
	// Version is that of this program.
	Version string
	// Log, Events and Notify return the counters of these parts.
	Log    func() log.Stats
	Events func() events.Stats
	Notify func() []notify.SinkStats
	// Orphans is how many orphans were reaped.
	Orphans func() int64
	// RootQueue is the largest number of messages that ever waited for the root actor.
	RootQueue func() int
	// Reload tells whether the last reload has succeeded, and when one has, or else the start.
	Reload func() (succeeded bool, at time.Time)
	// Jobs tells how the jobs are.
	Jobs func() []jobs.Status
	// Cgroup tells what a daemon uses that has a control group of its own.
	Cgroup func(*child.Status) (cgroup.Usage, bool)
	// Usage tells what daemons use; nil means a Sampler of its own.
	Usage *sampler.Sampler
}

// Metrics are the metrics of a bundle. Make them with New. The methods may be called from any goroutine.
type Metrics struct {
	o     Options
	began time.Time
}

// Counts are what has happened to a daemon. The zero Counts are ready for use.
type Counts struct {
	exits [len(causes)]atomic.Uint64
	oom   atomic.Uint64
	cpu   atomic.Int64 // of the processes that have ended

	mu      sync.Mutex
	signals map[signalKey]uint64
}

// A cause is why a process ended.
type cause int

const (
	requested cause = iota
	success
	failure
	signalled
	notStarted
)

// causes are the values of the label cause.
var causes = [...]string{requested: "requested", success: "success", failure: "failure", signalled: "signal", notStarted: "not-started"}

func causeOf(e *child.Event) cause {
	switch {
	case e.Kind != child.EventExited:
		return notStarted
	case e.Requested:
		return requested
	case e.Success:
		return success
	case e.Exit.Signal != 0:
		return signalled
	}
	return failure
}

type signalKey struct {
	signal  string
	dropped bool
}

// New returns the metrics of a bundle in which nothing has happened yet.
func New(o Options) *Metrics {
	if o.Usage == nil {
		o.Usage = &sampler.Sampler{}
	}
	return &Metrics{o: o, began: time.Now()}
}

// Observe counts an event of the daemon.
func (c *Counts) Observe(e child.Event) {
	switch e.Kind {
	case child.EventExited, child.EventFailed, child.EventNotStarted:
		c.exits[causeOf(&e)].Add(1)
		c.cpu.Add(int64(e.Exit.CPU))
		if e.Exit.OOM {
			c.oom.Add(1)
		}
	case child.EventForwarded, child.EventDropped:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.signals == nil {
			c.signals = map[signalKey]uint64{}
		}
		c.signals[signalKey{child.SignalName(e.Signal), e.Kind == child.EventDropped}]++
	}
}

// Write writes all metrics; all are the statuses of all daemons.
func (m *Metrics) Write(w io.Writer, all []child.Status) error {
	every := all
	all = slices.DeleteFunc(slices.Clone(all), func(s child.Status) bool { return s.IsJob() })
	p := &page{}
	now := time.Now()
	p.single("sidecar_init_healthy", gauge, "Whether all is well, as of the command healthy.", yes(!slices.ContainsFunc(every, func(s child.Status) bool { return !s.Well(now) })))
	m.daemons(p, all)
	m.parts(p, all)
	m.jobs(p)
	m.process(p)
	_, err := w.Write(p.b)
	return err
}

// daemons writes what there is for each daemon.
func (m *Metrics) daemons(p *page, all []child.Status) {
	use := m.o.Usage.Sample()
	now := time.Now()
	groups := make([]cgroup.Usage, len(all)) // zero where there is none
	if m.o.Cgroup != nil {
		use = maps.Clone(use) // which is not ours
		for i := range all {
			if u, ok := m.o.Cgroup(&all[i]); ok && all[i].PID != 0 {
				groups[i], use[all[i].PID] = u, sampler.Usage{CPU: u.CPU, RSS: u.Memory}
			}
		}
	}
	counts := make([]*Counts, len(all))
	for i := range all {
		if counts[i] = m.o.Counts(&all[i]); counts[i] == nil {
			counts[i] = &Counts{}
		}
	}
	each := func(name, kind, help string, value func(s *child.Status, c *Counts) float64) {
		p.family("sidecar_init_daemon_"+name, kind, help)
		for i := range all {
			p.sample(value(&all[i], counts[i]), "daemon", all[i].Name)
		}
	}
	each("up", gauge, "Whether the daemon has a process.", func(s *child.Status, _ *Counts) float64 { return yes(s.PID != 0) })
	each("ready", gauge, "Whether the daemon is ready, or runs and declares no readiness.", func(s *child.Status, _ *Counts) float64 { return yes(s.State.Up()) })
	each("healthy", gauge, "Whether the daemon does not count against the health of the bundle.", func(s *child.Status, _ *Counts) float64 { return yes(s.Well(now)) })
	each("failures", gauge, "Restarts in a row that the restart policy has made.", func(s *child.Status, _ *Counts) float64 { return float64(s.Failures) })
	p.family("sidecar_init_daemon_state", gauge, "1 for the state that the daemon is in.")
	for i := range all {
		p.sample(1, "daemon", all[i].Name, "state", string(all[i].State))
	}
	each("starts_total", counter, "Processes of the daemon that were executed.", func(s *child.Status, _ *Counts) float64 { return float64(s.Starts) })
	each("restarts_total", counter, "Processes of the daemon that were executed after the first one.", func(s *child.Status, _ *Counts) float64 { return float64(s.Restarts) })
	each("uptime_seconds", gauge, "How long the process of the daemon has lived; 0 without one.", func(s *child.Status, _ *Counts) float64 {
		if s.PID == 0 || s.State == child.StateStarting && s.Started.Before(s.Since) { // a step before it
			return 0
		}
		return seconds(now.Sub(s.Started))
	})
	each("cpu_seconds_total", counter, "Processor time of the daemon and what it has started.", func(s *child.Status, c *Counts) float64 {
		return seconds(time.Duration(c.cpu.Load()) + use[s.PID].CPU)
	})
	each("resident_memory_bytes", gauge, "Resident memory of the daemon and what it has started; what they share is counted more than once.",
		func(s *child.Status, _ *Counts) float64 { return float64(use[s.PID].RSS) })
	for _, f := range []struct {
		name, kind, help string
		value            func(cgroup.Usage) float64
	}{
		{"memory_limit_bytes", gauge, "The most memory that the daemon gets, if it has a control group of its own; 0 is no limit.", func(u cgroup.Usage) float64 { return float64(u.Limit) }},
		{"cpu_throttled_seconds_total", counter, "How long the daemon's present process has waited for its share of the processors.", func(u cgroup.Usage) float64 { return seconds(u.Throttled) }},
		{"cpu_pressure_seconds_total", counter, "How long some of the daemon's control group has waited for a processor.", func(u cgroup.Usage) float64 { return seconds(u.CPUPressure) }},
		{"memory_pressure_seconds_total", counter, "How long some of the daemon's control group has waited for memory.", func(u cgroup.Usage) float64 { return seconds(u.MemoryPressure) }},
	} {
		if m.o.Cgroup == nil {
			continue
		}
		p.family("sidecar_init_daemon_"+f.name, f.kind, f.help)
		for i := range all {
			p.sample(f.value(groups[i]), "daemon", all[i].Name)
		}
	}
	each("oom_kills_total", counter, "Ends of the daemon that were the kernel's OOM killer's.", func(_ *child.Status, c *Counts) float64 { return float64(c.oom.Load()) })

	p.family("sidecar_init_daemon_exits_total", counter, "Ends of the daemon, by cause: requested, success (code 0), failure (another code), signal, not-started (not executed).")
	for i, c := range counts {
		for cause, label := range causes {
			p.sample(float64(c.exits[cause].Load()), "daemon", all[i].Name, "cause", label)
		}
	}
	for _, dropped := range []bool{false, true} {
		if dropped {
			p.family("sidecar_init_signals_dropped_total", counter, "Signals that were to be forwarded to the daemon and were not.")
		} else {
			p.family("sidecar_init_signals_forwarded_total", counter, "Signals that were forwarded to the daemon.")
		}
		for i, c := range counts {
			c.signalCounts(p, all[i].Name, dropped)
		}
	}
}

// signalCounts writes what became of signals to the daemon.
func (c *Counts) signalCounts(p *page, daemon string, dropped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.signals))
	for k := range c.signals {
		if k.dropped == dropped {
			names = append(names, k.signal)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		p.sample(float64(c.signals[signalKey{name, dropped}]), "daemon", daemon, "signal", name)
	}
}

// jobs writes what there is for each job.
func (m *Metrics) jobs(p *page) {
	if m.o.Jobs == nil {
		return
	}
	all := m.o.Jobs()
	if len(all) == 0 {
		return
	}
	p.family("sidecar_init_job_runs_total", counter, "Runs of the job that are over, and fires of which none came, by result: succeeded, failed, cancelled, skipped, missed.")
	for i := range all {
		for _, result := range jobs.Results {
			p.sample(float64(all[i].Counts[result]), "job", all[i].Name, "result", string(result))
		}
	}
	stamp := func(name, help string, at func(*jobs.Status) time.Time) {
		p.family("sidecar_init_job_"+name, gauge, help)
		for i := range all {
			if t := at(&all[i]); t.IsZero() {
				p.sample(0, "job", all[i].Name)
			} else {
				p.sample(float64(t.UnixMilli())/1000, "job", all[i].Name)
			}
		}
	}
	stamp("last_success_timestamp_seconds", "When the latest run that has succeeded has ended, in seconds since 1970; 0 before any.", func(s *jobs.Status) time.Time { return s.LastSuccess })
	stamp("next_fire_timestamp_seconds", "When the job runs next by itself, in seconds since 1970; 0 if it does not.", func(s *jobs.Status) time.Time { return s.Next })
}

// parts writes what the parts of the supervisor have counted.
func (m *Metrics) parts(p *page, all []child.Status) {
	if m.o.Log != nil {
		m.log(p, m.o.Log(), all)
	}
	if m.o.Orphans != nil {
		p.single("sidecar_init_orphans_reaped_total", counter, "Orphaned processes that were reaped.", float64(m.o.Orphans()))
	}
	p.family("sidecar_init_queue_high_water", gauge, "Largest number of messages that ever waited in a queue.")
	if m.o.RootQueue != nil {
		p.sample(float64(m.o.RootQueue()), "queue", "root")
	}
	if m.o.Events != nil {
		s := m.o.Events()
		p.sample(float64(s.QueueHighWater), "queue", "events")
		p.single("sidecar_init_events_total", counter, "Events that were made.", float64(s.Events))
		p.single("sidecar_init_events_lost_total", counter, "Changes of daemons of which no event was made, because too much happened at once.", float64(s.Dropped))
	}
	if m.o.Notify != nil {
		sinks := m.o.Notify()
		p.family("sidecar_init_events_delivered_total", counter, "Events that the sink has taken.")
		for _, s := range sinks {
			p.sample(float64(s.Delivered), "sink", s.Name)
		}
		p.family("sidecar_init_events_dropped_total", counter, "Events that could not be delivered to the sink.")
		for _, s := range sinks {
			p.sample(float64(s.Dropped), "sink", s.Name)
		}
	}
}

func (m *Metrics) log(p *page, stats log.Stats, all []child.Status) {
	// A daemon has several streams if it has steps.
	sums := map[string]log.StreamStats{}
	for _, s := range stats.Streams {
		sum := sums[s.Name]
		sum.Bytes += s.Bytes
		sum.Lines += s.Lines
		sum.Dropped += s.Dropped
		if s.Last.After(sum.Last) {
			sum.Last = s.Last
		}
		sums[s.Name] = sum
	}
	each := func(name, help string, value func(log.StreamStats) uint64) {
		p.family("sidecar_init_log_"+name, counter, help)
		for i := range all {
			p.sample(float64(value(sums[all[i].Name])), "daemon", all[i].Name)
		}
	}
	each("bytes_total", "Bytes that the daemon has written to its log.", func(s log.StreamStats) uint64 { return s.Bytes })
	each("lines_total", "Lines that the daemon has written to its log.", func(s log.StreamStats) uint64 { return s.Lines })
	each("dropped_lines_total", "Lines of the daemon that were not written to the log of the container.", func(s log.StreamStats) uint64 { return s.Dropped })
	p.family("sidecar_init_log_last_line_timestamp_seconds", gauge, "When the daemon has written a line last, in seconds since 1970; 0 before any.")
	for i := range all {
		at := 0.0
		if last := sums[all[i].Name].Last; !last.IsZero() {
			at = float64(last.UnixMilli()) / 1000
		}
		p.sample(at, "daemon", all[i].Name)
	}
	p.single("sidecar_init_log_own_lines_total", counter, "Lines of the supervisor itself.", float64(stats.Own))
	p.single("sidecar_init_log_own_dropped_lines_total", counter, "Lines of the supervisor itself that were not written.", float64(stats.OwnDropped))
}

// process writes what there is to say of this process.
func (m *Metrics) process(p *page) {
	if m.o.Reload != nil {
		succeeded, at := m.o.Reload()
		p.single("sidecar_init_config_last_reload_successful", gauge, "Whether the last reload of the bundle has succeeded; 1 before any.", yes(succeeded))
		p.single("sidecar_init_config_last_reload_success_timestamp_seconds", gauge, "When a reload has succeeded last, or else the start, in seconds since 1970.", float64(at.Unix()))
	}
	p.family("sidecar_init_build_info", gauge, "The version of sidecar-init, and of Go.")
	p.sample(1, "version", m.o.Version, "goversion", runtime.Version())
	self := sampler.Self()
	p.single("process_cpu_seconds_total", counter, "Processor time of the supervisor.", seconds(processor(self)))
	p.single("process_resident_memory_bytes", gauge, "Resident memory of the supervisor.", float64(self.RSS))
	p.single("process_start_time_seconds", gauge, "When the supervisor was started, in seconds since 1970.", float64(m.began.UnixMilli())/1000)
	p.single("go_goroutines", gauge, "Goroutines of the supervisor.", float64(runtime.NumGoroutine()))
}

// processor is the processor time of this process. In /proc it has that of its children too.
func processor(self sampler.Usage) time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return self.CPU
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
