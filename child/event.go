package child

import (
	"syscall"
	"time"
)

// A State is a state of a daemon. The strings are shown to users.
type State string

// The states of a daemon, each with what leads out of it.
const (
	// StateWaiting is the first state: nothing runs yet. Start leads to StateStarting, Skip to StateExited, Terminate to StateStopped.
	StateWaiting State = "waiting"
	// StateStarting: the program is being executed, or runs and is not ready yet. It leads to StateRunning or StateReady,
	// to StateStopping, and, when the process ends or cannot be started, to StateBackoff, StateExited or StateGaveUp.
	StateStarting State = "starting"
	// StateRunning: the process is alive, and counts as ready since the daemon declares no readiness. It ends like StateStarting.
	StateRunning State = "running"
	// StateReady: the process is alive and ready, as it said itself or as a check found. It leads to StateUnhealthy, or ends like StateStarting.
	StateReady State = "ready"
	// StateUnhealthy: the process is alive, and its health check fails. It leads to StateReady, or ends like StateStarting.
	StateUnhealthy State = "unhealthy"
	// StatePaused: the process is frozen, by hand. It leads back to the state before, or ends like StateStarting.
	StatePaused State = "paused"
	// StateStopping: the stop signal was sent, or the process has said that it will exit by itself. When the main process and the rest
	// of its process group have ended, it leads to StateStopped, StateExited, StateBackoff or StateGaveUp, or to StateStarting if a restart
	// was asked for.
	StateStopping State = "stopping"
	// StateBackoff: the process has ended, and the next one starts after a delay. It leads to StateStarting; on Terminate to
	// StateStopped or StateExited, or, if members of its process group are left, to StateStopping. The latter is true of the
	// states below too.
	StateBackoff State = "backoff"
	// StateExited: the process has ended and is not restarted by policy. Start or Restart lead to StateStarting.
	StateExited State = "exited"
	// StateStopped: like StateExited, but stopped by hand. Such a daemon keeps the bundle alive.
	StateStopped State = "stopped"
	// StateScheduled: a job (Spec.Job) that is not running. Start leads to StateStarting, and the end of the run back here.
	StateScheduled State = "scheduled"
	// StateGaveUp: like StateExited, but after too many restarts.
	StateGaveUp State = "gave-up"
)

// Alive reports whether a process exists, or may exist, in this state.
func (s State) Alive() bool {
	switch s {
	case StateStarting, StateRunning, StateReady, StateUnhealthy, StatePaused, StateStopping:
		return true
	}
	return false
}

// Up reports whether the daemon counts as ready for its dependents.
func (s State) Up() bool { return s == StateRunning || s == StateReady }

// Final reports whether the daemon is dead and no restart is due: only a message starts it again.
func (s State) Final() bool {
	return s == StateExited || s == StateStopped || s == StateGaveUp || s == StateScheduled
}

// A Status describes a daemon. A [Child] reports it by [Hooks].Status after each message that it has handled.
type Status struct {
	Name string
	// Spec is the newest definition that the daemon was given.
	Spec *Spec
	// Data is root.Daemon.Data; package child does not set it.
	Data  any
	State State
	// Since is when State was entered.
	Since time.Time
	// Reason explains the state in words, where that helps: what the daemon waits for, why its start failed, or what the process
	// says about itself ([Note]).
	Reason string
	// PID of the main process; 0 if there is none.
	PID int
	// Step is [StepPreStart] while such a step runs instead of the main process, else empty.
	Step StepKind
	// Started is when the current or last process was executed; zero if there was none.
	Started time.Time
	// Starts counts the processes that were executed.
	Starts int
	// Restarts counts all starts after the first, whatever caused them.
	Restarts int
	// Failures counts the restarts by policy in a row. It returns to 0 once the daemon has been alive for [Backoff].ResetAfter.
	Failures int
	// Requested tells, in [StateStopping], whether somebody asked for the stop. If not, the daemon is being stopped for a failure.
	Requested bool
	// Proven is when a process that was started by policy after a failure will count as healthy again; zero for other processes.
	Proven time.Time
	// Last is how the last process ended, or nil if none has. A failed start counts as an end. Ended is the time, Asked tells whether
	// somebody had asked for it, and Why says in words for which failure the process was stopped, if it was.
	Last  *Exit
	Ended time.Time
	Asked bool
	Why   string
	// Next is when the next process is started by policy, in [StateBackoff]; else zero.
	Next time.Time
	// Completed tells that Last is a success of the program itself, not of a step before it.
	Completed bool
	// Result is what Last contributes to the exit code of the bundle: 0 if the supervisor asked for that end.
	Result int
	// Gen counts the attempts to start a process, and so identifies the current one.
	Gen uint64
	// Seen is the number of messages from root that were handled before this status.
	Seen uint64
}

// IsJob reports whether it is a job, not a daemon.
func (s *Status) IsJob() bool { return s.Spec != nil && s.Spec.Job != "" }

// Settled reports whether a start is over: the program runs, or has failed to.
func (s *Status) Settled() bool {
	return s.State != StateStopping && s.Executed() || s.State.Final() || s.State == StateBackoff
}

// Executed reports whether the program itself runs; a step before it does not count, nor a program that is still being executed.
func (s *Status) Executed() bool {
	return s.PID != 0 && (s.State != StateStarting || !s.Started.Before(s.Since))
}

// A Kind is the type of an [Event].
type Kind string

// The kinds of events of a daemon. Package root adds those of the bundle.
const (
	EventStarting   Kind = "starting"   // about to execute the program
	EventStarted    Kind = "started"    // the program was executed; PID is set, and Restart if this ends a restart in place
	EventReady      Kind = "ready"      // ready for the first time in this life, or healthy again
	EventUnhealthy  Kind = "unhealthy"  // the health check fails; Reason says how
	EventExited     Kind = "exited"     // the process ended; Exit, Uptime, Requested, and Next says what follows
	EventFailed     Kind = "failed"     // could not be started: Exit.Err says why; Next says what follows
	EventNotStarted Kind = "notstarted" // a condition of its start can no longer hold; Reason says why
	EventRestarting Kind = "restarting" // a restart in place was asked for and begins
	EventPaused     Kind = "paused"     // frozen by hand
	EventUnpaused   Kind = "unpaused"   // thawed
	EventStopped    Kind = "stopped"    // stopped by hand, or its restart was cancelled
	EventKilled     Kind = "killed"     // sent SIGKILL: it did not exit within Delay of Signal, or, if Signal is 0, of announcing its exit
	EventStepFailed Kind = "stepfailed" // a step of PreStop failed; Reason says which and how
	EventForwarded  Kind = "forwarded"  // Signal was sent to the main process
	EventDropped    Kind = "dropped"    // Signal was not sent; Reason is empty if the daemon is dead (Exit)
	EventUnsent     Kind = "unsent"     // Signal could not be sent; Reason is the system's
)

// Next says what follows the end of a process.
type Next string

// What can follow an end.
const (
	NextNothing Next = ""        // it is not restarted
	NextRestart Next = "restart" // it is restarted after Delay, as try number Attempt
	NextGiveUp  Next = "give-up" // it is given up, after Attempt restarts within Window
)

// An Event is something that happened to a daemon, for logs, metrics and notifications. Which fields are set
// depends on [Kind].
type Event struct {
	Time      time.Time
	Kind      Kind
	Daemon    string
	Gen       uint64 // Status.Gen at that time
	PID       int
	Trigger   Trigger // what started the run of a job; empty for a daemon
	Overdue   bool    // EventExited: the run of a job that took longer than Spec.Timeout
	Signal    syscall.Signal
	Exit      Exit          // the end that the event is about; for EventDropped the last one
	Requested bool          // the end was asked for: by shutdown, stop or restart
	Success   bool          // EventExited: it counts as success (Spec.Success)
	Restart   bool          // EventStarted, EventFailed: the start ends a restart in place
	Uptime    time.Duration // how long the process lived
	Begun     time.Time     // EventStarted: when the start began, steps included; EventExited: when the stop began, zero without one
	Strays    bool          // EventExited: it exited by itself with code 0, and processes that it started live on; reported once
	Next      Next
	Attempt   int           // the number of the restart, in a row; for NextGiveUp how many there were
	Delay     time.Duration // until the restart; for EventKilled the grace period that has passed
	Window    time.Duration // NextGiveUp: the time in which the restarts happened
	Reason    string
	Names     []string // events of the bundle: the daemons concerned
}
