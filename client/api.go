package client

import "time"

// A State is where a daemon is in its life.
type State string

// The states of a daemon.
const (
	StateWaiting   State = "waiting"   // for a dependency; nothing has been started
	StateStarting  State = "starting"  // being executed, or alive and not ready yet
	StateRunning   State = "running"   // alive; it declares no readiness, so it counts as ready
	StateReady     State = "ready"     // alive, and has said or was found to be ready
	StateUnhealthy State = "unhealthy" // alive, and its health check fails
	StatePaused    State = "paused"    // frozen by hand, until it is unpaused
	StateStopping  State = "stopping"  // was sent its stop signal, or has said that it ends by itself
	StateBackoff   State = "backoff"   // has ended, and is restarted after a delay
	StateExited    State = "exited"    // has ended, and is not started again by itself
	StateStopped   State = "stopped"   // was stopped by hand, and stays so until it is started by hand
	StateGaveUp    State = "gave-up"   // has ended, after too many restarts
	StateScheduled State = "scheduled" // a job of which nothing runs
)

// Phrase is the state in the words of a sentence that begins with the name of the daemon.
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

// A Daemon is what the supervisor knows of a daemon. Times in seconds are numbers with fractions.
type Daemon struct {
	Name string `json:"name"`
	// Service is the name that several daemons share (Compose: scale) and that stands for all of them; it is Name where
	// the daemon is the only one.
	Service string `json:"service"`
	State   State  `json:"state"`
	// Ready: dependents may rely on it. It is true in StateRunning and StateReady.
	Ready bool `json:"ready"`
	// Reason says in words why the state is what it is, where that helps.
	Reason string `json:"reason,omitempty"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// PID is 0 where there is no process.
	PID int `json:"pid"`
	// Uptime is how long the process has lived, in seconds; 0 where there is none.
	Uptime float64 `json:"uptime"`
	// Starts counts the processes that were executed, Restarts those after the first, and Failures the restarts in a
	// row that the restart policy made.
	Starts   int `json:"starts"`
	Restarts int `json:"restarts"`
	Failures int `json:"failures"`
	// LastExit is how the last process ended; nil before any has.
	LastExit *Exit `json:"last_exit"`
	// NextStart is when the next process starts by itself; nil where none does.
	NextStart *time.Time `json:"next_start,omitempty"`
	// LastLine is when it has written a line last; nil before any. LineRate is how many lines a second it has written in the last ten
	// seconds, as far as its lines are kept.
	LastLine *time.Time `json:"last_line,omitempty"`
	LineRate float64    `json:"line_rate"`
	// CPU is the processor time of the process and its process group, in seconds. RSS is their resident memory in bytes;
	// what they share is counted more than once.
	CPU float64 `json:"cpu"`
	RSS int64   `json:"rss"`
	// Labels are those of the bundle file.
	Labels map[string]string `json:"labels,omitempty"`
	// Job says, of a job, what it runs by: manual, or schedule too. It is empty for a daemon.
	Job string `json:"job,omitempty"`
	// Transient: it is in no file, but was added by Add. Expires is when it is removed; nil if that is not limited.
	Transient bool       `json:"transient,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	// DependsOn are its dependencies.
	DependsOn []Dependency `json:"depends_on,omitempty"`
	// Control is what its processes may ask at the control socket: none, read or full; empty where the supervisor does not tell them apart.
	Control string `json:"control,omitempty"`
	// Wall: it is behind a wall, from where it can read no process outside.
	Wall bool `json:"wall,omitempty"`
	// Private says how its private variables are kept from other daemons: "enforced by the kernel", or "by environment only: "
	// and why; empty where it has none.
	Private string `json:"private,omitempty"`
	// Cgroup is what its control group says, which CPU and RSS are from too then, with all that it has started; nil where it has none
	// of its own.
	Cgroup *Cgroup `json:"cgroup,omitempty"`
}

// A Dependency is what a daemon waits for before it is started.
type Dependency struct {
	Name string `json:"name"`
	// Condition is service_started, service_healthy or service_completed_successfully.
	Condition string `json:"condition"`
}

// A Cgroup is what the control group of a daemon says of its present life. Times are in seconds.
type Cgroup struct {
	// MemoryLimit is the most memory that it gets, in bytes: its own limit, or the container's where that is less; 0 is no limit.
	MemoryLimit int64 `json:"memory_limit"`
	// Processes counts its processes and threads.
	Processes int64 `json:"processes"`
	// Throttled is for how long it had to wait since its share of the processors was used up; CPUPressure and MemoryPressure for how
	// long some of it waited for a processor, and for memory (the kernel's PSI).
	Throttled      float64 `json:"throttled"`
	CPUPressure    float64 `json:"cpu_pressure"`
	MemoryPressure float64 `json:"memory_pressure"`
}

// An Exit says how a process ended.
type Exit struct {
	// Code is nil where a signal ended the process. 126 and 127 with an Error: it was never executed.
	Code *int `json:"code"`
	// Signal is a name such as SIGTERM, or nil.
	Signal *string `json:"signal"`
	// OOM: the kernel's OOM killer did it.
	OOM bool `json:"oom,omitempty"`
	// CPUTime is the processor time of the process and the children that it has waited for, in seconds; MaxRSS is the
	// largest resident memory, in bytes.
	CPUTime float64 `json:"cpu_time"`
	MaxRSS  int64   `json:"max_rss"`
	// Error says why the process was not executed.
	Error string `json:"error,omitempty"`
	// Time is when it was; nil where that is not known. Cause is CauseRequested or CauseUnexpected, and Reason says in words what the
	// supervisor has stopped it for, such as a health check that failed.
	Time   *time.Time `json:"time,omitempty"`
	Cause  string     `json:"cause,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// String is "0", "3" or "SIGTERM".
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

// Health is the answer to whether all is well.
type Health struct {
	// Healthy: no daemon is waiting, starting, unhealthy, in backoff, given up, ended with a failure, stopping without
	// having been asked to, or restarted by its policy after a failure less than 10 s ago (reset_after, if that is shorter).
	// Daemons that ended with 0 and those that were stopped by hand do not count against it.
	Healthy bool `json:"healthy"`
	// Problems are the daemons that do count against it.
	Problems []Problem `json:"problems"`
}

// A Problem is a daemon because of which the bundle is not healthy.
type Problem struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Supervisor is the name of the supervisor itself in its log, which [Client.Logs] gives by this name alone.
const Supervisor = "sidecar-init"

// A LogLine is a line that a daemon wrote, or says that lines are missing.
type LogLine struct {
	Time   time.Time `json:"time"`
	Daemon string    `json:"daemon"`
	// Stream is stdout or stderr, or empty where both share a pipe.
	Stream string `json:"stream,omitempty"`
	// Line has U+FFFD where the bytes are not valid UTF-8; Bytes are set then, and exact.
	Line  string `json:"line"`
	Bytes []byte `json:"bytes,omitempty"`
	// Partial: the line goes on in the next one of this daemon and stream: it was too long, or had waited for its end.
	Partial bool `json:"partial,omitempty"`
	// Lost, where it is not 0, is how many lines are missing here, because this client was too slow. Nothing else but
	// Time and Daemon is set then.
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
	EventReady      = "dev.sidecar-init.daemon.ready"      // ready for the first time in this life, or healthy again
	EventUnhealthy  = "dev.sidecar-init.daemon.unhealthy"  // its health check fails; Reason says how
	EventExited     = "dev.sidecar-init.daemon.exited"     // its process ended, or could not be started
	EventRestarting = "dev.sidecar-init.daemon.restarting" // it will be restarted, after NextDelay
	EventGaveUp     = "dev.sidecar-init.daemon.gave-up"    // it is not restarted any more, after Attempt restarts
	EventSignalled  = "dev.sidecar-init.daemon.signalled"  // a signal was sent to it, which Signal names; at most one event a second for each signal
	EventPaused     = "dev.sidecar-init.daemon.paused"     // it was frozen by hand
	EventUnpaused   = "dev.sidecar-init.daemon.unpaused"   // it goes on
	EventStopped    = "dev.sidecar-init.daemon.stopped"    // it was stopped by hand
	EventAdded      = "dev.sidecar-init.daemon.added"      // it belongs to the bundle from now on
	EventRemoved    = "dev.sidecar-init.daemon.removed"    // it has left the bundle
	EventUpdated    = "dev.sidecar-init.daemon.updated"    // it has a new definition

	EventJobStarted   = "dev.sidecar-init.job.started"   // a run of it was begun; Trigger says by what
	EventJobSucceeded = "dev.sidecar-init.job.succeeded" // the run has ended, and well
	EventJobFailed    = "dev.sidecar-init.job.failed"    // the run has ended otherwise, or could not be started
	EventJobCancelled = "dev.sidecar-init.job.cancelled" // the run was ended by hand, or by a shutdown
	EventJobSkipped   = "dev.sidecar-init.job.skipped"   // its time had come, and the run before was in progress
	EventJobMissed    = "dev.sidecar-init.job.missed"    // its time had come Missed times while nobody could act

	EventReloaded     = "dev.sidecar-init.bundle.reloaded"      // its files were read anew, and applied; Reason counts what was done
	EventReloadFailed = "dev.sidecar-init.bundle.reload-failed" // its files are wrong, or it was rolled back; Reason says why
	// EventLost is only in the stream that it is about: events are missing here, because this client was too slow.
	EventLost = "dev.sidecar-init.events.lost"
)

// An Event is something that happened to a daemon: a CloudEvents 1.0 object.
type Event struct {
	SpecVersion string `json:"specversion"` // "1.0"
	// ID is unique together with Source.
	ID string `json:"id"`
	// Source is a slash and the name of the bundle, or that of the host if it has none.
	Source string `json:"source"`
	Type   string `json:"type"`
	// Subject is the daemon.
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"` // "application/json"
	Data            EventData `json:"data"`
}

// The causes of an end.
const (
	CauseRequested  = "requested"  // by shutdown, stop or restart
	CauseUnexpected = "unexpected" // nobody asked for it
)

// EventData is what an [Event] says beyond its type.
type EventData struct {
	// PID is that of the process; 0 where there was none.
	PID int `json:"pid"`
	// Code is the exit code, and Signal the name of the signal, that ended the process: one of them is nil. For events
	// that tell of no end both are.
	Code   *int    `json:"code"`
	Signal *string `json:"signal"`
	// Cause is CauseRequested or CauseUnexpected, in events that tell of an end or a restart.
	Cause string `json:"cause,omitempty"`
	// Uptime is how long the process had lived, in seconds.
	Uptime float64 `json:"uptime"`
	// Begun is, in EventStarted, when the start began, with its pre_start steps; in EventExited, when the stop did; nil if there was none.
	Begun *time.Time `json:"begun,omitempty"`
	// Attempt is the number of the restart in a row that follows; in EventGaveUp how many there were.
	Attempt int `json:"attempt"`
	// NextDelay is the time until that restart, in seconds; nil where none follows.
	NextDelay *float64 `json:"next_delay"`
	// MaxRSS is the largest resident memory of the process, in bytes; CPUTime its processor time, in seconds.
	MaxRSS  int64   `json:"max_rss"`
	CPUTime float64 `json:"cpu_time"`
	// OOM: the kernel's OOM killer did it.
	OOM bool `json:"oom"`
	// Reason says in words what happened, where that helps.
	Reason string `json:"reason,omitempty"`
	// Log are the last lines, at most 20, before an unexpected end.
	Log []string `json:"log,omitempty"`
	// Repeats is how many failures followed this one, the first since the daemon was well, whose events are no longer kept.
	Repeats int `json:"repeats,omitempty"`
	// Trigger is what the run of a job was begun by: manual or schedule.
	Trigger string `json:"trigger,omitempty"`
	// Missed is how many fires EventJobMissed is about.
	Missed int `json:"missed,omitempty"`
	// Lost is how many events are missing, in EventLost.
	Lost int `json:"lost,omitempty"`
}

// Lost is how many events are missing where e stands; 0 unless it is an [EventLost].
func (e *Event) Lost() int {
	if e.Type != EventLost {
		return 0
	}
	return e.Data.Lost
}
