package child

import (
	"slices"
	"syscall"
	"time"
)

// A Spec describes one daemon. It is not changed after it has been handed to [New].
type Spec struct {
	// Name identifies the daemon in commands, routes and log lines; it is unique in a bundle.
	Name string
	// Service is the name that several daemons share (Compose: scale). In commands it stands for all of them. Empty means
	// [Spec.Name].
	Service string
	// Program is what is executed.
	Program

	// Restart says what happens after an exit that nobody asked for.
	Restart RestartPolicy
	// Backoff is the delay between an exit and the restart.
	Backoff Backoff
	// Limit says when a daemon that fails too often is given up.
	Limit Limit
	// Success lists the exits that count as success in addition to exit code 0. It matters for Restart, for the exit code of
	// the bundle, and for [ServiceCompletedSuccessfully].
	Success Success
	// NoRestart lists exit codes after which the daemon is not restarted, whatever the policy.
	NoRestart []int

	// StopSignal asks the daemon to exit; 0 means SIGTERM.
	StopSignal syscall.Signal
	// StopGrace is the time between StopSignal and SIGKILL. 0 means RestartGrace; in a shutdown of the bundle it means that
	// only the bundle's deadline applies.
	StopGrace time.Duration
	// RestartGrace replaces StopGrace for stops and restarts while the bundle keeps running, if StopGrace is 0. 0 means
	// [DefaultRestartGrace].
	RestartGrace time.Duration
	// KillMode says which processes are signalled to stop; empty means [KillGroup].
	KillMode KillMode

	// Critical ends the bundle, with the daemon's exit code, when the daemon has ended and will not be restarted. It is
	// implemented by package root.
	Critical bool
	// PreStart lists steps that run one after the other before each start of the program. A step that fails counts as a failure of the
	// daemon.
	PreStart []Step
	// PostStart lists steps that run beside each new process. PreStop lists steps that run before the stop signal is sent (not if the
	// process exits by itself); they may take half of the grace period. A failed PostStart step makes the daemon unhealthy; a failed
	// PreStop step is only reported.
	PostStart, PreStop []Step
	// Step is set in the Spec that a [Spawner] gets for a step. It is empty for a daemon.
	Step StepKind
	// Readiness announces that [Ready] messages will come: after each start the daemon stays in [StateStarting] until the first.
	Readiness bool

	// After lists the conditions for the start of the daemon. It is implemented by package root.
	After []Dependency

	// Job, unless empty, makes this a job: it is not started with the bundle, but stays in [StateScheduled] and runs once for each
	// [Start], either only by hand ([TriggerManual]) or also on a schedule ([TriggerSchedule]). The schedule itself is kept outside of
	// packages child and root.
	Job Trigger
	// Timeout limits the run of a job, including its steps; 0 means no limit.
	Timeout time.Duration

	// Labels are not interpreted; users and programs can read them.
	Labels map[string]string
	// Rules identifies how others supervise the daemon, such as its health check. A different value is a different rule
	// ([Spec.Compare]).
	Rules string
	// Data belongs to the user of the package and is not looked at.
	Data any
}

// stopSignal is StopSignal with its default.
func (s *Spec) stopSignal() syscall.Signal {
	if s.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return s.StopSignal
}

// DefaultRestartGrace is the time between the stop signal and SIGKILL when a daemon is restarted or stopped by hand.
const DefaultRestartGrace = 5 * time.Second

// MaxExtended is the longest that a stop can take after [Extend].
const MaxExtended = 10 * time.Minute

// restartGrace is RestartGrace with its default.
func (s *Spec) restartGrace() time.Duration {
	if s.RestartGrace == 0 {
		return DefaultRestartGrace
	}
	return s.RestartGrace
}

// A Condition is what a daemon waits for in a daemon that it depends on. The names are Compose's.
type Condition string

// The conditions of depends_on.
const (
	// ServiceStarted holds once the program of the dependency has been executed.
	ServiceStarted Condition = "service_started"
	// ServiceHealthy holds while the dependency is ready. One that does not declare readiness is ready as soon as it runs.
	ServiceHealthy Condition = "service_healthy"
	// ServiceCompletedSuccessfully holds once the dependency has exited with success ([Spec.Success]).
	ServiceCompletedSuccessfully Condition = "service_completed_successfully"
)

// A Dependency is an edge of the start order: the daemon starts after the named one, and stops before it.
type Dependency struct {
	Name      string
	Condition Condition // "" means ServiceStarted
	// Optional: the daemon is started even if the condition can no longer hold (Compose: required: false).
	Optional bool
	// Restart: the daemon is restarted after the dependency was restarted by a command or a signal (Compose: restart: true).
	Restart bool
}

// A Trigger says what starts the runs of a job.
type Trigger string

// The triggers.
const (
	TriggerManual   Trigger = "manual"
	TriggerSchedule Trigger = "schedule"
)

// A Policy says after which exits, if nobody asked for them, a daemon is restarted. The names are Compose's.
type Policy string

// The restart policies. None of them restarts a daemon after [Terminate].
const (
	RestartNo            Policy = "no"
	RestartOnFailure     Policy = "on-failure" // after any exit that is no success (Spec.Success)
	RestartAlways        Policy = "always"
	RestartUnlessStopped Policy = "unless-stopped" // the same as always: no state is kept across containers
)

// restarts reports whether the policy restarts a daemon that has failed, or ended with success.
func (p Policy) restarts(failed bool) bool {
	switch p {
	case RestartAlways, RestartUnlessStopped:
		return true
	case RestartOnFailure:
		return failed
	}
	return false
}

// A RestartPolicy is a policy with its bound.
type RestartPolicy struct {
	Policy Policy // "" means RestartNo
	// Max is the number of restarts in a row after which the daemon is given up; 0 means no limit. The count starts again
	// once the daemon has been alive for [Backoff].ResetAfter.
	Max int
}

// Backoff is the delay between an exit and the restart. It starts at Initial, doubles up to Max, and returns to
// Initial once the daemon has been alive for ResetAfter.
type Backoff struct {
	Initial    time.Duration // 0 means DefaultBackoff
	Max        time.Duration // 0 means DefaultMaxBackoff, or Initial if that is more
	ResetAfter time.Duration // 0 means DefaultResetAfter
	// NoDelay restarts at once: Initial is 0 and not the default.
	NoDelay bool
	// Fixed makes each delay Initial, without doubling and jitter (Compose: deploy.restart_policy.delay).
	Fixed bool
}

// The default [Backoff]. Delays have a jitter of ±10 %.
const (
	DefaultBackoff    = 500 * time.Millisecond // the first delay
	DefaultMaxBackoff = 30 * time.Second       // the longest
	DefaultResetAfter = time.Minute            // the uptime after which the delay returns to the first
)

// delay is the time before the restart that follows n others in a row; roll, from -1 to 1, is the jitter's share.
func (b Backoff) delay(n int, roll float64) time.Duration {
	initial := b.Initial
	if initial == 0 && !b.NoDelay {
		initial = DefaultBackoff
	}
	if b.Fixed || initial == 0 {
		return initial
	}
	top := b.Max
	if top == 0 {
		top = DefaultMaxBackoff
	}
	top = max(top, initial)
	d := initial
	for ; n > 0 && d < top; n-- {
		d *= 2
	}
	return time.Duration(float64(min(d, top)) * (1 + roll/10))
}

// resetAfter is ResetAfter with its default.
func (b Backoff) resetAfter() time.Duration {
	if b.ResetAfter == 0 {
		return DefaultResetAfter
	}
	return b.ResetAfter
}

// A Limit gives a daemon up that needs more than Restarts restarts within Window. The zero Limit never gives up.
type Limit struct {
	Restarts int
	Window   time.Duration
}

// KillMode says which processes get the stop signal and SIGKILL; the names are systemd's.
type KillMode string

// The kill modes.
const (
	// KillGroup stops the whole process group, and kills the remaining members before the next start.
	KillGroup KillMode = "group"
	// KillProcess stops only the main process, and leaves the rest of its group alone.
	KillProcess KillMode = "process"
)

// Success lists the exits that count as success in addition to exit code 0.
type Success struct {
	Codes   []int
	Signals []syscall.Signal // that killed the process
}

// Has reports whether e is a success.
func (s Success) Has(e Exit) bool {
	switch {
	case e.Err != nil:
		return false
	case e.Signal != 0:
		return slices.Contains(s.Signals, e.Signal)
	}
	return e.Code == 0 || slices.Contains(s.Codes, e.Code)
}
