package client

import "time"

// A State is a state of a daemon.
type State string

// The states of a daemon.
const (
	StateWaiting   State = "waiting"   // waits for a dependency; nothing was started
	StateStarting  State = "starting"  // being executed, or alive and not ready yet
	StateRunning   State = "running"   // alive; it declares no readiness, so it counts as ready
	StateReady     State = "ready"     // alive and ready, as it said itself or as a check found
	StateUnhealthy State = "unhealthy" // alive, and its health check fails
	StatePaused    State = "paused"    // frozen by hand, until it is unpaused
	StateStopping  State = "stopping"  // was sent its stop signal, or has said that it will exit by itself
	StateBackoff   State = "backoff"   // has ended, and will be restarted after a delay
	StateExited    State = "exited"    // has ended, and is not restarted by policy
	StateStopped   State = "stopped"   // was stopped by hand, and stays stopped until it is started by hand
	StateGaveUp    State = "gave-up"   // has ended, after too many restarts
	StateScheduled State = "scheduled" // a job that is not running
)

// Phrase returns the state in words that continue a sentence beginning with the daemon's name.
func (s State) Phrase() string {
	switch s {
	case StateBackoff:
		return "is in backoff"
	case StateExited:
		return "has exited"
	case StateGaveUp:
		return "has given up"
	}
	return "is " + string(s)
}

// A Daemon describes a daemon. Durations are in seconds, with fractions.
type Daemon struct {
	Name string `json:"name"`
	// Service is the name of the service. Several daemons can share it (Compose: scale); it then stands for all of them. It is
	// equal to Name if the daemon is the only one.
	Service string `json:"service"`
	State   State  `json:"state"`
	// Ready: dependents may rely on the daemon. It is true in [StateRunning] and [StateReady].
	Ready bool `json:"ready"`
	// Reason explains the state in words, where that helps.
	Reason string `json:"reason,omitempty"`
	// Since is when the daemon entered State.
	Since time.Time `json:"since"`
	// PID is the process ID; 0 if there is no process.
	PID int `json:"pid"`
	// Uptime is the age of the process, in seconds; 0 if there is no process.
	Uptime float64 `json:"uptime"`
	// Starts counts the processes that were executed, Restarts those after the first, and Failures the consecutive restarts by
	// policy.
	Starts   int `json:"starts"`
	Restarts int `json:"restarts"`
	Failures int `json:"failures"`
	// LastExit is how the last process ended; nil if none has.
	LastExit *Exit `json:"last_exit"`
	// NextStart is when the next process is started by policy or schedule; nil if none is.
	NextStart *time.Time `json:"next_start,omitempty"`
	// LastLine is when it wrote its last line; nil if it has written none. LineRate is the number of lines per second in the last
	// ten seconds, computed from the lines that are kept.
	LastLine *time.Time `json:"last_line,omitempty"`
	LineRate float64    `json:"line_rate"`
	// CPU is the processor time of the process and its process group, in seconds. RSS is their resident memory, in bytes; shared
	// memory is counted more than once.
	CPU float64 `json:"cpu"`
	RSS int64   `json:"rss"`
	// Labels are the labels in the bundle file.
	Labels map[string]string `json:"labels,omitempty"`
	// Job says what starts a job: manual, or schedule if it has a schedule. It is empty for a daemon.
	Job string `json:"job,omitempty"`
	// Transient: it is not in the bundle file, but was added by [Client.Add]. Expires is when it will be removed; nil if it has no
	// time limit.
	Transient bool       `json:"transient,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	// DependsOn are its dependencies.
	DependsOn []Dependency `json:"depends_on,omitempty"`
	// Control is what its processes may do at the control socket: none, read or full. It is empty if the supervisor does not
	// distinguish daemons.
	Control string `json:"control,omitempty"`
	// Wall: it is confined by a wall, and cannot read processes outside of the wall.
	Wall bool `json:"wall,omitempty"`
	// Private says how its private variables are protected from other daemons: "enforced by the kernel", or "by environment only: "
	// and the reason. It is empty if it has no private variables.
	Private string `json:"private,omitempty"`
	// Cgroup has the figures of its control group; nil if it has none of its own. If it has one, CPU and RSS are those of the group
	// too, so they include all processes that the daemon has started.
	Cgroup *Cgroup `json:"cgroup,omitempty"`
}

// A Dependency is a condition for the start of a daemon.
type Dependency struct {
	Name string `json:"name"`
	// Condition is service_started, service_healthy or service_completed_successfully.
	Condition string `json:"condition"`
}

// A Cgroup has the figures of a daemon's control group, for its current process. Times are in seconds.
type Cgroup struct {
	// MemoryLimit is the memory limit, in bytes: the daemon's own or the container's, whichever is less; 0 means no limit.
	MemoryLimit int64 `json:"memory_limit"`
	// Processes is the number of processes and threads in the group.
	Processes int64 `json:"processes"`
	// Throttled is how long the group had to wait because it had used up its share of the processors. CPUPressure and
	// MemoryPressure are how long some of its processes waited for a processor, or for memory (the kernel's PSI).
	Throttled      float64 `json:"throttled"`
	CPUPressure    float64 `json:"cpu_pressure"`
	MemoryPressure float64 `json:"memory_pressure"`
}

// An Exit says how a process ended.
type Exit struct {
	// Code is the exit code; nil if a signal ended the process. 126 or 127 with an Error means that it was never executed.
	Code *int `json:"code"`
	// Signal is the name of the signal that ended the process, such as SIGTERM, or nil.
	Signal *string `json:"signal"`
	// OOM: the kernel's OOM killer killed it.
	OOM bool `json:"oom,omitempty"`
	// CPUTime is the processor time of the process and the children that it has waited for, in seconds; MaxRSS is the
	// largest resident memory, in bytes.
	CPUTime float64 `json:"cpu_time"`
	MaxRSS  int64   `json:"max_rss"`
	// Error says why the process was not executed.
	Error string `json:"error,omitempty"`
	// Time is when it ended; nil if that is not known. Cause is [CauseRequested] or [CauseUnexpected]. Reason says in words why the
	// supervisor stopped it, such as a failed health check.
	Time   *time.Time `json:"time,omitempty"`
	Cause  string     `json:"cause,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// String returns the exit code or the name of the signal, such as "3" or "SIGTERM"; "-" for nil.
func (e *Exit) String() string {
	switch {
	case e == nil:
		return "-"
	case e.Signal != nil:
		return *e.Signal
	case e.Code != nil:
		return itoa(*e.Code)
	}
	return "?"
}

// Health tells whether the bundle is healthy.
type Health struct {
	// Healthy is false if a daemon is waiting, starting, unhealthy, in backoff or given up, has ended with a failure, is stopping
	// although nobody asked for it, or was restarted by policy after a failure less than 10 s ago (or reset_after, if that is
	// shorter). Daemons that ended with 0 or were stopped by hand do not count.
	Healthy bool `json:"healthy"`
	// Problems lists the daemons because of which Healthy is false.
	Problems []Problem `json:"problems"`
}

// A Problem is a daemon that makes the bundle unhealthy.
type Problem struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Supervisor is the name of the supervisor itself in the log. [Client.Logs] returns its lines only if this name is among the names.
const Supervisor = "sidecar-init"

// A LogLine is a line that a daemon wrote, or a report that lines are missing.
type LogLine struct {
	Time   time.Time `json:"time"`
	Daemon string    `json:"daemon"`
	// Stream is stdout or stderr, or empty if both share a pipe.
	Stream string `json:"stream,omitempty"`
	// Line has U+FFFD in place of bytes that are not valid UTF-8. If it has any, Bytes is set to the exact bytes.
	Line  string `json:"line"`
	Bytes []byte `json:"bytes,omitempty"`
	// Partial: the next LogLine of this daemon and stream continues the line, because it was too long or its end came late.
	Partial bool `json:"partial,omitempty"`
	// Lost, if not 0, is how many lines are missing here because this client was too slow. Only Time and Daemon are set then.
	Lost int `json:"lost,omitempty"`
}

// Raw returns the bytes of the line as they were written, without newline.
func (l *LogLine) Raw() []byte {
	if l.Bytes != nil {
		return l.Bytes
	}
	return []byte(l.Line)
}

// The types of events.
const (
	EventStarted    = "dev.sidecar-init.daemon.started"    // its program was executed
	EventReady      = "dev.sidecar-init.daemon.ready"      // ready for the first time since its start, or healthy again
	EventUnhealthy  = "dev.sidecar-init.daemon.unhealthy"  // its health check fails; Reason says how
	EventExited     = "dev.sidecar-init.daemon.exited"     // its process ended, or could not be started
	EventRestarting = "dev.sidecar-init.daemon.restarting" // it will be restarted after NextDelay
	EventGaveUp     = "dev.sidecar-init.daemon.gave-up"    // it was given up after Attempt restarts
	EventSignalled  = "dev.sidecar-init.daemon.signalled"  // it was sent Signal; at most one event a second for each signal
	EventPaused     = "dev.sidecar-init.daemon.paused"     // it was frozen by hand
	EventUnpaused   = "dev.sidecar-init.daemon.unpaused"   // it was thawed
	EventStopped    = "dev.sidecar-init.daemon.stopped"    // it was stopped by hand
	EventAdded      = "dev.sidecar-init.daemon.added"      // it was added to the bundle
	EventRemoved    = "dev.sidecar-init.daemon.removed"    // it has left the bundle
	EventUpdated    = "dev.sidecar-init.daemon.updated"    // it got a new definition

	EventJobStarted   = "dev.sidecar-init.job.started"   // a run was started by Trigger
	EventJobSucceeded = "dev.sidecar-init.job.succeeded" // the run has ended with success
	EventJobFailed    = "dev.sidecar-init.job.failed"    // the run has failed, or could not be started
	EventJobCancelled = "dev.sidecar-init.job.cancelled" // the run was ended by hand, or by a shutdown
	EventJobSkipped   = "dev.sidecar-init.job.skipped"   // it was due while the previous run was in progress
	EventJobMissed    = "dev.sidecar-init.job.missed"    // it was due Missed times while the supervisor could not run

	EventReloaded     = "dev.sidecar-init.bundle.reloaded"      // its files were reread and applied; Reason counts the changes
	EventReloadFailed = "dev.sidecar-init.bundle.reload-failed" // its files have mistakes, or it was rolled back; Reason says why
	// EventLost appears only in the stream in which events are missing, because this client was too slow.
	EventLost = "dev.sidecar-init.events.lost"
)

// An Event is something that happened to a daemon, a job or the bundle, as a CloudEvents 1.0 object.
type Event struct {
	SpecVersion string `json:"specversion"` // "1.0"
	// ID and Source together are unique.
	ID string `json:"id"`
	// Source is a slash and the name of the bundle, or the host's name if the bundle has none.
	Source string `json:"source"`
	Type   string `json:"type"`
	// Subject is the name of the daemon or job; empty for events about the bundle.
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"` // "application/json"
	Data            EventData `json:"data"`
}

// The causes of an exit.
const (
	CauseRequested  = "requested"  // by shutdown, stop or restart
	CauseUnexpected = "unexpected" // nobody asked for it
)

// EventData is the data of an [Event].
type EventData struct {
	// PID is the process ID; 0 if there was no process.
	PID int `json:"pid"`
	// Code is the exit code of the process. Signal is the name of the signal that ended it. One of them is nil; in events that are
	// not about an exit Code is nil, and Signal too, except in [EventSignalled], where it is the signal that was sent.
	Code   *int    `json:"code"`
	Signal *string `json:"signal"`
	// Cause is [CauseRequested] or [CauseUnexpected], in events about an exit or a restart.
	Cause string `json:"cause,omitempty"`
	// Uptime is the age of the process at that time, in seconds.
	Uptime float64 `json:"uptime"`
	// Begun is when the start began, including pre_start steps (in [EventStarted]), or when the stop began (in [EventExited]).
	// Otherwise it is nil.
	Begun *time.Time `json:"begun,omitempty"`
	// Attempt is the number of the next consecutive restart; in [EventGaveUp] the number of restarts before it gave up.
	Attempt int `json:"attempt"`
	// NextDelay is the time until that restart, in seconds; nil if there is none.
	NextDelay *float64 `json:"next_delay"`
	// MaxRSS is the largest resident memory of the process, in bytes; CPUTime its processor time, in seconds.
	MaxRSS  int64   `json:"max_rss"`
	CPUTime float64 `json:"cpu_time"`
	// OOM: the process was killed by the kernel's OOM killer.
	OOM bool `json:"oom"`
	// Reason says in words what happened, where that helps.
	Reason string `json:"reason,omitempty"`
	// Log has the last lines before an unexpected exit, at most 20.
	Log []string `json:"log,omitempty"`
	// Repeats is the number of failures that followed this one, the first since the daemon was well, and whose events are no longer
	// kept.
	Repeats int `json:"repeats,omitempty"`
	// Trigger is what started the run of a job: manual or schedule.
	Trigger string `json:"trigger,omitempty"`
	// Missed is how often the job was due while the supervisor could not run, in [EventJobMissed].
	Missed int `json:"missed,omitempty"`
	// Lost is the number of missing events, in [EventLost].
	Lost int `json:"lost,omitempty"`
}

// Lost returns the number of events that are missing at e. It is 0 unless e is of type [EventLost].
func (e *Event) Lost() int {
	if e.Type != EventLost {
		return 0
	}
	return e.Data.Lost
}
