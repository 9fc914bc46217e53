package child

import (
	"syscall"
	"time"
)

// A State is where a daemon is in its life. The strings are what users see.
type State string

// The states of a daemon, each with what leads out of it.
const (
	// StateWaiting is the first state: nothing runs yet. Start leads to StateStarting, Skip to StateExited, Terminate to StateStopped.
	StateWaiting State = "waiting"
	// StateStarting: the program is being executed, or runs and has not said that it is ready. It leads to StateRunning or StateReady,
	// to StateStopping, and, when the process ends or cannot be started, to StateBackoff, StateExited or StateGaveUp.
	StateStarting State = "starting"
	// StateRunning: the process is alive; no readiness is declared, so it counts as ready. It ends like StateStarting.
	StateRunning State = "running"
	// StateReady: the process is alive and has said, or was found, to be ready. It leads to StateUnhealthy, or ends like StateStarting.
	StateReady State = "ready"
	// StateUnhealthy: the process is alive, and its health check fails. It leads to StateReady, or ends like StateStarting.
	StateUnhealthy State = "unhealthy"
	// StatePaused: the process is frozen, by hand. It leads back to the state before, or ends like StateStarting.
	StatePaused State = "paused"
	// StateStopping: the stop signal was sent, or the process has said that it ends by itself. When the main process and all others
	// of its group have ended it leads to StateStopped, StateExited, StateBackoff or StateGaveUp, or to StateStarting if a restart was
	// asked for.
	StateStopping State = "stopping"
	// StateBackoff: the process has ended, and the next one starts after a delay. It leads to StateStarting, or, on Terminate, to
	// StateStopped or StateExited; to StateStopping if others of its group are left, like the three that follow.
	StateBackoff State = "backoff"
	// StateExited: the process has ended and is not started again by itself. Start or Restart lead to StateStarting.
	StateExited State = "exited"
	// StateStopped: like StateExited, but by hand: it keeps the bundle alive.
	StateStopped State = "stopped"
	// StateScheduled: a job (Spec.Job) of which nothing runs. Start leads to StateStarting; it is where a run ends.
	StateScheduled State = "scheduled"
	// StateGaveUp: like StateExited, after too many restarts.
	StateGaveUp State = "gave-up"
)

// Alive reports whether a process exists in this state, or may exist.
func (s State) Alive() bool {
	switch s {
	case StateStarting, StateRunning, StateReady, StateUnhealthy, StatePaused, StateStopping:
		return true
	}
	return false
}

// Up reports whether dependents may take the daemon for ready.
func (s State) Up() bool { return s == StateRunning || s == StateReady }

// Final reports whether the daemon is dead with nothing due: only a message starts it again.
func (s State) Final() bool {
	return s == StateExited || s == StateStopped || s == StateGaveUp || s == StateScheduled
}

// A Status is what an actor tells root about its daemon after each message that it handled.
type Status struct {
	Name string
	// Spec is the newest that the daemon was given.
	Spec *Spec
	// Data is root.Daemon.Data; package child does not set it.
	Data  any
	State State
	// Since is when State was entered.
	Since time.Time
	// Reason says in words why the state is what it is, where that helps: what is waited for, why the start failed; or
	// what the process says about itself.
	Reason string
	// PID of the main process; 0 if there is none.
	PID int
	// Step is StepPreStart while such a step runs in place of the main process; else empty.
	Step StepKind
	// Started is when the present or last process was executed; zero if there was none.
	Started time.Time
	// Starts counts the processes that were executed.
	Starts int
	// Restarts counts all starts after the first, whoever caused them.
	Restarts int
	// Failures counts the restarts in a row by policy; it is 0 again after Backoff.ResetAfter alive.
	Failures int
	// Requested: in StateStopping, that somebody has asked for the stop. Else the daemon is being stopped for a failure.
	Requested bool
	// Proven is when a process that the policy has started after a failure is taken for well again; zero for another one.
	Proven time.Time
	// Last is how the last process ended; nil before any has. A failed start counts as an end. Ended is when, Asked that somebody had
	// asked for it, and Why in words what it was stopped for, where that was a failure.
	Last  *Exit
	Ended time.Time
	Asked bool
	Why   string
	// Next is when the next process starts by itself, in StateBackoff; else zero.
	Next time.Time
	// Completed says that Last is the program's end, not that of a step before it, and a success.
	Completed bool
	// Result is what Last counts for the exit code of the bundle: 0 if the supervisor asked for that end.
	Result int
	// Gen counts the processes that were tried to be started; it names the present one.
	Gen uint64
	// Seen is the number of messages from root that led to this status.
	Seen uint64
}

// IsJob reports whether it is a job, not a daemon.
func (s *Status) IsJob() bool { return s.Spec != nil && s.Spec.Job != "" }

// Settled reports whether a start has come to its end: the program runs, or will not by itself.
func (s *Status) Settled() bool {
	return s.State != StateStopping && s.Executed() || s.State.Final() || s.State == StateBackoff
}

// Executed reports whether the program itself runs: not a step before it, and not one that is being executed.
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
	EventNotStarted Kind = "notstarted" // its condition can no longer hold; Reason says why
	EventRestarting Kind = "restarting" // a restart in place was asked for and begins
	EventPaused     Kind = "paused"     // frozen by hand
	EventUnpaused   Kind = "unpaused"   // goes on
	EventStopped    Kind = "stopped"    // ended by hand, or its restart was called off
	EventKilled     Kind = "killed"     // did not end within Delay of Signal, or if that is 0 of saying so, so SIGKILL was sent
	EventStepFailed Kind = "stepfailed" // a step of PreStop failed; Reason says which and how
	EventForwarded  Kind = "forwarded"  // Signal was sent to the main process
	EventDropped    Kind = "dropped"    // Signal was not sent; Reason is empty if the daemon is dead (Exit)
	EventUnsent     Kind = "unsent"     // Signal could not be sent; Reason is the system's
)

// Next is what follows the end of a process.
type Next string

// What can follow an end.
const (
	NextNothing Next = ""        // the policy leaves it dead
	NextRestart Next = "restart" // it is restarted after Delay, as try number Attempt
	NextGiveUp  Next = "give-up" // given up, after Attempt restarts in Window
)

// An Event is something that happened to a daemon, for logs, metrics and notifications. Which fields are set
// depends on [Kind].
type Event struct {
	Time      time.Time
	Kind      Kind
	Daemon    string
	Gen       uint64 // Status.Gen at that time
	PID       int
	Trigger   Trigger // what the run of a job was started by; empty for a daemon
	Overdue   bool    // EventExited: the run of a job that took longer than Spec.Timeout
	Signal    syscall.Signal
	Exit      Exit          // the end that Kind tells of; for EventDropped the last one
	Requested bool          // the end was asked for: by shutdown, stop or restart
	Success   bool          // EventExited: it counts as success, by exit code 0 or Spec.Success
	Restart   bool          // EventStarted, EventFailed: the start ends a restart in place
	Uptime    time.Duration // how long the process lived
	Begun     time.Time     // EventStarted: when the start began, with its steps; EventExited: when the stop did, zero if there was none
	Strays    bool          // EventExited: it ended with code 0 by itself, and what it has started lives on; told once
	Next      Next
	Attempt   int           // number of the restart in a row; for NextGiveUp how many there were
	Delay     time.Duration // until the restart; for EventKilled the grace that has passed
	Window    time.Duration // NextGiveUp: the time in which the restarts happened
	Reason    string
	Names     []string // events of the bundle: the daemons concerned
}
