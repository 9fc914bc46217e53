package bundle

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// A Plan is what check prints: the bundle, without any value of a variable.
type Plan struct {
	Name         string        `json:"name,omitempty"`
	Files        []string      `json:"files,omitempty"`
	Daemons      []PlanDaemon  `json:"daemons"`
	Jobs         []PlanJob     `json:"jobs,omitempty"`
	Unselected   []string      `json:"unselected,omitempty"`
	StartWaves   [][]string    `json:"start_waves"`
	Grace        string        `json:"grace_period"`
	Stop         []PlanStop    `json:"stop"`
	Signals      []PlanSignal  `json:"signals"`
	Private      []PlanPrivate `json:"private"`
	Secrets      []PlanSecret  `json:"secrets"`
	ExitCodeFrom string        `json:"exit_code_from,omitempty"`
	Requirements []Requirement `json:"requirements"`
	Notes        []Note        `json:"notes"`
	PassedOver   []PassedOver  `json:"passed_over"`
	Warnings     []string      `json:"warnings"`
}

// A PlanDaemon is a daemon of a Plan.
type PlanDaemon struct {
	Name      string   `json:"name"`
	Service   string   `json:"service"`
	Command   []string `json:"command,omitempty"` // absent where a private value is in it
	User      string   `json:"user,omitempty"`
	Dir       string   `json:"working_dir,omitempty"`
	Restart   string   `json:"restart"`
	Ready     string   `json:"ready,omitempty"` // how it is found out
	Critical  bool     `json:"critical,omitempty"`
	Wall      bool     `json:"wall,omitempty"`
	Limits    []string `json:"limits,omitempty"`     // the keys that say them
	DependsOn []string `json:"depends_on,omitempty"` // NAME: CONDITION

	hidden []string // the private variables that are in Command
}

// A PlanJob is a job of a Plan.
type PlanJob struct {
	Name      string        `json:"name"`
	Command   []string      `json:"command,omitempty"` // absent where a private value is in it
	User      string        `json:"user,omitempty"`
	Dir       string        `json:"working_dir,omitempty"`
	Manual    bool          `json:"manual"`
	Schedule  []PlanTrigger `json:"schedule"`
	Timeout   string        `json:"timeout,omitempty"`
	Critical  bool          `json:"critical,omitempty"`
	DependsOn []string      `json:"depends_on,omitempty"` // NAME: CONDITION; for runs by hand

	hidden []string // the private variables that are in Command
}

// A PlanTrigger is an entry of the schedule of a PlanJob.
type PlanTrigger struct {
	Cron        string `json:"cron"`
	Timezone    string `json:"timezone"`
	Concurrency string `json:"concurrency"`
	MissedFires string `json:"missed_fires"`
}

// A PlanStop is the end of a daemon at shutdown. Times count from the first signal.
type PlanStop struct {
	Name   string `json:"name"`
	Wave   int    `json:"wave"`
	Signal string `json:"signal"`
	// SignalBy and KillBy are the latest moments of the stop signal and of SIGKILL.
	SignalBy string `json:"signal_by"`
	KillBy   string `json:"kill_by"`
	// After are the daemons whose end it waits for.
	After []string `json:"after,omitempty"`

	signalBy, killBy time.Duration
}

// A PlanSignal is a route of a Plan.
type PlanSignal struct {
	Signal      string   `json:"signal"`
	Forward     []string `json:"forward,omitempty"`
	Restart     []string `json:"restart,omitempty"`
	Shutdown    bool     `json:"shutdown,omitempty"`
	Reload      bool     `json:"reload,omitempty"`
	NotSelected []string `json:"not_selected,omitempty"`
}

// A PlanPrivate says which variables a daemon alone sees.
type PlanPrivate struct {
	Daemon   string   `json:"daemon"`
	Patterns []string `json:"patterns"`
	Names    []string `json:"names"` // of the environment at hand
	// Enforced says how they are kept from other daemons.
	Enforced string `json:"enforced"`
}

// Plan returns what the bundle would do.
func (b *Bundle) Plan() *Plan {
	p := &Plan{
		Name: b.Name, Files: b.Files, Daemons: []PlanDaemon{}, Unselected: b.Unselected, Grace: b.Grace.String(),
		Signals: []PlanSignal{}, Private: []PlanPrivate{}, Secrets: b.secrets(), ExitCodeFrom: b.ExitCodeFrom,
		PassedOver: append([]PassedOver{}, b.PassedOver...), Warnings: []string{}, Requirements: append([]Requirement{}, b.Requirements...), Notes: append([]Note{}, b.Notes...), StartWaves: [][]string{},
	}
	for i := range b.Daemons {
		d := &b.Daemons[i]
		if d.Job != nil {
			p.Jobs = append(p.Jobs, planJob(d))
		} else {
			p.Daemons = append(p.Daemons, planDaemon(d))
		}
		if len(d.Private) > 0 {
			p.Private = append(p.Private, PlanPrivate{d.Spec.Name, d.Private, append([]string{}, d.PrivateNames...), b.Enforced(d)})
		}
	}
	dependencies, dependents := b.edges()
	p.StartWaves = waves(len(b.Daemons), dependencies, func(i int) string {
		if b.Daemons[i].Job != nil {
			return "" // it is not started
		}
		return b.Daemons[i].Spec.Name
	})
	p.Stop = b.stopPlan(dependents)
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		route, routed := b.Routes[sig]
		dropped := b.DroppedRoutes[sig]
		if routed || len(dropped) > 0 {
			p.Signals = append(p.Signals, PlanSignal{child.SignalName(sig), route.Forward, route.Restart, route.Shutdown, route.Reload, dropped})
		}
	}
	for _, w := range b.Warnings {
		p.Warnings = append(p.Warnings, w.String())
	}
	p.Warnings = append(p.Warnings, b.warnings(p.Stop)...)
	return p
}

func planDaemon(d *Daemon) PlanDaemon {
	out := PlanDaemon{
		Name: d.Spec.Name, Service: d.Spec.Service, User: d.Spec.User, Dir: d.Spec.Dir,
		Restart: FormatRestart(d.Spec.Restart), Critical: d.Spec.Critical, Wall: d.Wall, hidden: d.argvPrivate,
	}
	if !d.Limits.None() {
		out.Limits = strings.Split(d.LimitsAt.Message, ", ")
	}
	if len(d.argvPrivate) == 0 {
		out.Command = d.Spec.Argv
	}
	switch ready := d.Ready; {
	case ready == nil:
	case ready.TCP != "":
		out.Ready = "tcp " + ready.TCP
	case ready.HTTP != "":
		out.Ready = "http"
	case ready.Exec != nil:
		out.Ready = "exec"
	case ready.Log != "":
		out.Ready = "log"
	case ready.NotifySD:
		out.Ready = "notify sd"
	default:
		out.Ready = fmt.Sprintf("notify fd:%d", ready.NotifyFD)
	}
	if d.Health != nil {
		out.Ready = strings.TrimPrefix(out.Ready+", healthcheck", ", ")
	}
	for _, dep := range d.Spec.After {
		out.DependsOn = append(out.DependsOn, dep.Name+": "+string(orDefault(dep.Condition, child.ServiceStarted)))
	}
	return out
}

// planJob is a job for people and programs.
func planJob(d *Daemon) PlanJob {
	common := planDaemon(d)
	out := PlanJob{
		Name: common.Name, Command: common.Command, User: common.User, Dir: common.Dir, Manual: d.Job.Manual, Schedule: []PlanTrigger{},
		Critical: common.Critical, DependsOn: common.DependsOn, hidden: d.argvPrivate,
	}
	if d.Job.Timeout > 0 {
		out.Timeout = d.Job.Timeout.String()
	}
	for _, t := range d.Job.Triggers {
		out.Schedule = append(out.Schedule, PlanTrigger{t.Cron, t.Timezone, t.Concurrency(), t.MissedFires()})
	}
	return out
}

// edges are the dependencies and the dependents of each daemon, by index.
func (b *Bundle) edges() (dependencies, dependents [][]int) {
	index := map[string]int{}
	for i := range b.Daemons {
		index[b.Daemons[i].Spec.Name] = i
	}
	dependencies, dependents = make([][]int, len(b.Daemons)), make([][]int, len(b.Daemons))
	for i := range b.Daemons {
		for _, dep := range b.Daemons[i].Spec.After {
			j := index[dep.Name]
			dependencies[i] = append(dependencies[i], j)
			dependents[j] = append(dependents[j], i)
		}
	}
	return dependencies, dependents
}

// depths are the lengths of the longest ways along before; there is no cycle.
func depths(n int, before [][]int) []int {
	depth := make([]int, n)
	var visit func(i int) int
	visit = func(i int) int {
		if depth[i] == 0 {
			depth[i] = 1
			for _, j := range before[i] {
				depth[i] = max(depth[i], visit(j)+1)
			}
		}
		return depth[i]
	}
	for i := range n {
		visit(i)
	}
	return depth
}

// waves groups the daemons by their depth.
func waves(n int, before [][]int, name func(int) string) [][]string {
	out := [][]string{}
	for i, depth := range depths(n, before) {
		for len(out) < depth {
			out = append(out, nil)
		}
		if name := name(i); name != "" {
			out[depth-1] = append(out[depth-1], name)
		}
	}
	return slices.DeleteFunc(out, func(wave []string) bool { return len(wave) == 0 })
}

// stopPlan is the end of each daemon in the worst case: its dependents take all the time that they have, yet it has its
// stop signal by half of the grace.
func (b *Bundle) stopPlan(dependents [][]int) []PlanStop {
	out := make([]PlanStop, len(b.Daemons))
	wave := depths(len(b.Daemons), dependents)
	order := make([]int, len(out))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return wave[i] - wave[j] })
	for _, i := range order { // dependents come first
		spec := &b.Daemons[i].Spec
		stop := PlanStop{Name: spec.Name, Wave: wave[i], Signal: child.SignalName(orDefault(spec.StopSignal, syscall.SIGTERM))}
		for _, j := range dependents[i] {
			stop.After = append(stop.After, b.Daemons[j].Spec.Name)
			stop.signalBy = max(stop.signalBy, out[j].killBy)
		}
		stop.signalBy = min(stop.signalBy, b.Grace/2)
		stop.killBy = b.Grace
		if spec.StopGrace > 0 {
			stop.killBy = min(b.Grace, stop.signalBy+spec.StopGrace)
		}
		stop.SignalBy, stop.KillBy = stop.signalBy.String(), stop.killBy.String()
		out[i] = stop
	}
	sorted := make([]PlanStop, 0, len(out))
	for _, i := range order {
		sorted = append(sorted, out[i])
	}
	return sorted
}

// warnings are about what is allowed and cannot be meant.
func (b *Bundle) warnings(stops []PlanStop) (out []string) {
	stopOf, daemon := map[string]*PlanStop{}, map[string]*Daemon{}
	for i := range stops {
		stopOf[stops[i].Name] = &stops[i]
	}
	for i := range b.Daemons {
		spec := &b.Daemons[i].Spec
		daemon[spec.Name] = &b.Daemons[i]
		stop := stopOf[spec.Name]
		switch {
		case spec.StopGrace > b.Grace:
			out = append(out, fmt.Sprintf("the stop_grace_period of %s (%s) can never be granted: all have stopped %s after the first signal; raise grace_period",
				spec.Name, spec.StopGrace, b.Grace))
		case stop.signalBy+spec.StopGrace > b.Grace:
			out = append(out, fmt.Sprintf("the stop_grace_period of %s (%s) is cut to %s if its dependents are slow to stop",
				spec.Name, spec.StopGrace, b.Grace-stop.signalBy))
		}
	}
	for i := range b.Daemons {
		for _, dep := range b.Daemons[i].Spec.After {
			on := daemon[dep.Name]
			if dep.Condition == child.ServiceHealthy && !on.Spec.Readiness && on.Job == nil {
				out = append(out, fmt.Sprintf("%s waits for %s to be healthy, but that has neither healthcheck nor ready: it counts as ready once it runs",
					b.Daemons[i].Spec.Name, dep.Name))
			}
			if dep.Condition == child.ServiceCompletedSuccessfully && (on.Spec.Restart.Policy == child.RestartAlways || on.Spec.Restart.Policy == child.RestartUnlessStopped) {
				out = append(out, fmt.Sprintf("%s waits for %s to complete, but that is always restarted", b.Daemons[i].Spec.Name, dep.Name))
			}
		}
	}
	switch {
	case len(b.Daemons) == 0:
		out = append(out, "no daemons are selected: run would end at once")
	case !slices.ContainsFunc(b.Daemons, func(d Daemon) bool { return d.Spec.Job != child.TriggerManual }):
		out = append(out, "there are jobs without a schedule alone, and these keep no bundle running: run would end at once; add a service, or give one a schedule")
	}
	return out
}
