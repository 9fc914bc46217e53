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
	// Service is the name that several daemons share (Compose: scale); it stands for all of them in commands. Empty means
	// Name.
	Service string
	// Program is what is executed.
	Program

	// Restart says what happens after an unrequested end.
	Restart RestartPolicy
	// Backoff spaces the restarts.
	Backoff Backoff
	// Limit gives up on a daemon that fails too often.
	Limit Limit
	// Success is what counts as success beside exit code 0: for Restart, the exit code of the bundle, and
	// ServiceCompletedSuccessfully.
	Success Success
	// NoRestart are exit codes after which no policy starts the daemon again.
	NoRestart []int

	// StopSignal asks the daemon to end; 0 means SIGTERM.
	StopSignal syscall.Signal
	// StopGrace is the time between StopSignal and SIGKILL. 0 means RestartGrace, and at the end of the bundle that
	// the bundle's deadline alone counts.
	StopGrace time.Duration
	// RestartGrace is StopGrace for stops and restarts while the bundle goes on; 0 means DefaultRestartGrace.
	RestartGrace time.Duration
	// KillMode says who is signalled to stop.
	KillMode KillMode

	// Critical: when the daemon has ended and is not restarted, the bundle ends, with its exit code. It is obeyed by
	// package root.
	Critical bool
	// PreStart are steps that run one after the other before each start of the program; the failure of one counts as that of the
	// daemon.
	PreStart []Step
	// PostStart are steps that run beside each new process, PreStop are those that run before it is sent the stop signal
	// (not if it ends by itself), within half of the grace. A PostStart that fails makes the daemon unhealthy; a PreStop
	// that fails is reported.
	PostStart, PreStop []Step
	// Step is set in what a [Spawner] gets for a step. It is empty for a daemon.
	Step StepKind
	// Readiness says that Ready messages will come: until the first one of a life the daemon is Starting.
	Readiness bool

	// After lists what must hold before the daemon is started. It is obeyed by package root.
	After []Dependency

	// Job, unless empty, says that it is not started with the bundle, but rests in StateScheduled and runs once for each Start:
	// by hand alone (TriggerManual), or by itself too (TriggerSchedule), which package root is told from outside.
	Job Trigger
	// Timeout bounds a run of a job, its steps included; 0 is no bound.
	Timeout time.Duration

	// Labels are for people, and for programs that ask.
	Labels map[string]string
	// Rules stands for how others supervise the daemon, such as its health check: with another value its rules are others.
	Rules string
	// Data is the user's. Nothing here looks at it.
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

// MaxExtended is how long a stop takes, at most, that [Extend] makes longer.
const MaxExtended = 10 * time.Minute

// restartGrace is RestartGrace with its default.
func (s *Spec) restartGrace() time.Duration {
	if s.RestartGrace == 0 {
		return DefaultRestartGrace
	}
	return s.RestartGrace
}

// A Condition is what a daemon waits for in one that it depends on; the names are Compose's.
type Condition string

// The conditions of depends_on.
const (
	// ServiceStarted holds once the program of the dependency has been executed.
	ServiceStarted Condition = "service_started"
	// ServiceHealthy holds while the dependency is ready; one without readiness is ready as soon as it runs.
	ServiceHealthy Condition = "service_healthy"
	// ServiceCompletedSuccessfully holds once the dependency has ended with 0.
	ServiceCompletedSuccessfully Condition = "service_completed_successfully"
)

// A Dependency is an edge of the start order: the daemon starts after, and stops before, the one named.
type Dependency struct {
	Name      string
	Condition Condition // "" means ServiceStarted
	// Optional: when the condition can no longer hold, the daemon is started all the same (Compose: required: false).
	Optional bool
	// Restart: the daemon is restarted when the dependency has been, by a command or a signal (Compose: restart: true).
	Restart bool
}

// A Trigger is what a job runs by.
type Trigger string

// The triggers.
const (
	TriggerManual   Trigger = "manual"
	TriggerSchedule Trigger = "schedule"
)

// A Policy says after which unrequested ends a daemon is started again; the names are Compose's.
type Policy string

// The restart policies. After [Terminate] none of them restarts.
const (
	RestartNo            Policy = "no"
	RestartOnFailure     Policy = "on-failure" // any end but exit code 0
	RestartAlways        Policy = "always"
	RestartUnlessStopped Policy = "unless-stopped" // here the same as always: state is not kept across containers
)

// restarts reports whether the policy starts a daemon again that ended this way.
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
	// Max is how many restarts in a row are tried before the daemon is given up, counted anew once it has been
	// alive for Backoff.ResetAfter; 0 means no bound.
	Max int
}

// Backoff is the time between an end and the restart. It starts at Initial, doubles up to Max, and goes back to
// Initial after the daemon has been alive for ResetAfter.
type Backoff struct {
	Initial    time.Duration // 0 means DefaultBackoff
	Max        time.Duration // 0 means DefaultMaxBackoff, or Initial if that is more
	ResetAfter time.Duration // 0 means DefaultResetAfter
	// NoDelay means that 0 is meant by Initial: restart at once.
	NoDelay bool
	// Fixed means that the delay is always Initial, neither doubled nor jittered (Compose: deploy.restart_policy.delay).
	Fixed bool
}

// The backoff of a [Spec] that sets none. Delays have a jitter of ±10 %.
const (
	DefaultBackoff    = 500 * time.Millisecond // the first delay
	DefaultMaxBackoff = 30 * time.Second       // the longest
	DefaultResetAfter = time.Minute            // alive, after which it begins anew
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

// Limit gives a daemon up that needs more than Restarts restarts within Window. The zero Limit never does.
type Limit struct {
	Restarts int
	Window   time.Duration
}

// KillMode says which processes get the stop signal and SIGKILL; the names are systemd's.
type KillMode string

// The kill modes.
const (
	// KillGroup stops the whole process group, and kills what is left of it before the next start.
	KillGroup KillMode = "group"
	// KillProcess stops the main process only, and leaves the others of its group alone.
	KillProcess KillMode = "process"
)

// Success is what counts as success beside exit code 0.
type Success struct {
	Codes   []int
	Signals []syscall.Signal // deaths by them
}

// Has reports whether a process that ended so has succeeded.
func (s Success) Has(e Exit) bool {
	switch {
	case e.Err != nil:
		return false
	case e.Signal != 0:
		return slices.Contains(s.Signals, e.Signal)
	}
	return e.Code == 0 || slices.Contains(s.Codes, e.Code)
}
