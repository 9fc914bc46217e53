package child

import (
	"syscall"
	"time"
)

// A Spec describes one daemon. It is not changed after it has been handed to New.
type Spec struct {
	// Name identifies the daemon in commands, routes and log lines; it is unique in a bundle.
	Name string
	// Argv is the program and its arguments. Argv[0] without a slash is looked up in the PATH of Env.
	Argv []string
	// Env is the whole environment, as KEY=VALUE; nothing is inherited besides. Nil means empty.
	Env []string
	// Dir is the working directory; empty means that of the supervisor.
	Dir string
	// User is USER or USER:GROUP, each a name or a number, as in Compose; empty means the supervisor's own.
	// It is looked up when the daemon is started.
	User string
	// Groups are further groups, each a name or a number (Compose: group_add).
	Groups []string

	// Restart says what happens after an unrequested end.
	Restart Restart
	// Backoff spaces the restarts.
	Backoff Backoff
	// Limit gives up on a daemon that fails too often.
	Limit Limit

	// StopSignal asks the daemon to end; 0 means SIGTERM.
	StopSignal syscall.Signal
	// StopGrace is the time between StopSignal and SIGKILL; 0 means what the Terminate or Restart message says.
	StopGrace time.Duration
	// KillMode says who is signalled to stop.
	KillMode KillMode

	// After lists what must hold before the daemon is started. It is obeyed by package root.
	After []Dependency
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

// A Policy says after which unrequested ends a daemon is started again; the names are Compose's.
type Policy string

// The restart policies. After Terminate none of them restarts.
const (
	RestartNo            Policy = "no"
	RestartOnFailure     Policy = "on-failure" // any end but exit code 0
	RestartAlways        Policy = "always"
	RestartUnlessStopped Policy = "unless-stopped" // here the same as always: state is not kept across containers
)

// Restart is a policy with its bound.
type Restart struct {
	Policy Policy // "" means RestartNo
	// Max is how many restarts in a row are tried before the daemon is given up, counted anew once it has been
	// alive for Backoff.ResetAfter; 0 means no bound.
	Max int
}

// Backoff is the time between an end and the restart. It starts at Initial, doubles up to Max, and goes back to
// Initial after the daemon has been alive for ResetAfter.
type Backoff struct {
	Initial    time.Duration // 0 means DefaultBackoff.Initial
	Max        time.Duration // 0 means DefaultBackoff.Max, or Initial if that is more
	ResetAfter time.Duration // 0 means DefaultBackoff.ResetAfter
	// NoDelay means that 0 is meant by Initial: restart at once.
	NoDelay bool
	// Fixed means that the delay is always Initial, neither doubled nor jittered (Compose: deploy.restart_policy.delay).
	Fixed bool
}

// DefaultBackoff is the backoff of a Spec that sets none. The delay that it gives has a jitter of ±10 %.
var DefaultBackoff = Backoff{Initial: 500 * time.Millisecond, Max: 30 * time.Second, ResetAfter: time.Minute}

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
