package root

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// A Msg is a message to a [Root].
type Msg interface{ rootMsg() }

// Messages to a [Root].
type (
	// Signal is a signal to the supervisor. SIGTERM, SIGINT and SIGQUIT shut the bundle down; a second SIGINT kills the daemons at
	// once. A signal with a [Route] does what the route says. Any other signal is ignored, with an [EventIgnored] unless it is one
	// that processes get all the time, such as SIGCHLD.
	Signal struct{ Sig syscall.Signal }
	// Shutdown ends the bundle as SIGTERM does. Reason replaces the signal's name in the log.
	Shutdown struct{ Reason string }
	// Do sends a command to a daemon, or to all daemons of a service. Reply, which may be the zero Reply, is answered at once, not
	// when the command is done; use [Await] to wait for that.
	Do struct {
		Name  string
		Msg   child.Command
		Reply actor.Reply[Accepted]
	}
	// Fact passes a fact to the daemon of that name.
	Fact struct {
		Name string
		Msg  child.Fact
	}
	// List asks for the status of all daemons, in the order of [Config.Daemons] and [Config.Specs].
	List struct{ Reply actor.Reply[[]child.Status] }
	// Await asks for the status of all daemons as soon as Until returns true for it. Until is called at once and after each change,
	// on root's goroutine, so it must be quick. It should also return true when nobody waits for the answer any more, so that root
	// forgets the Await.
	Await struct {
		Until func([]child.Status) bool
		Reply actor.Reply[[]child.Status]
	}
)

// Messages to root from itself and from its children.
type (
	begin   struct{}
	changed struct {
		n      *node
		status child.Status
	}
	gone struct {
		n   *node
		err error
	}
)

func (Signal) rootMsg()   {}
func (Shutdown) rootMsg() {}
func (Do) rootMsg()       {}
func (Fact) rootMsg()     {}
func (List) rootMsg()     {}
func (Await) rootMsg()    {}
func (begin) rootMsg()    {}
func (changed) rootMsg()  {}
func (gone) rootMsg()     {}

// Accepted is the answer to [Do].
type Accepted struct {
	// Seen has, for each daemon concerned, the value of [child.Status].Seen from which its status reflects the command.
	Seen map[string]uint64
	// Err says why the command was not accepted: [ErrShuttingDown], an *[UnknownError] or a *[JobError] for example. It is nil if
	// the command was accepted.
	Err error
}

// A JobError is the error of starting a job like a daemon ([child.Start] without a Trigger, [child.Restart]), or a daemon like a
// job (Start with a Trigger).
type JobError struct {
	Name string
	Job  bool // Name is a job, not a daemon
}

// Error says whether it is a job.
func (e *JobError) Error() string {
	if e.Job {
		return e.Name + " is a job: it is run, not started"
	}
	return e.Name + " is no job"
}

// ErrShuttingDown is the error of a command that arrives after the shutdown has begun.
var ErrShuttingDown = errors.New("the supervisor is shutting down")

// An UnknownError is the error of a command to a daemon that the bundle does not have.
type UnknownError struct{ Name string }

// Error names the daemon.
func (e *UnknownError) Error() string { return fmt.Sprintf("there is no daemon %q", e.Name) }

// The events of the bundle, in addition to those of its daemons.
const (
	EventShutdown child.Kind = "shutdown" // a shutdown begins; Signal or Reason says why
	EventDeadline child.Kind = "deadline" // the grace period (Delay) has elapsed; Names get SIGKILL
	EventKillNow  child.Kind = "kill-now" // a second SIGINT; Names get SIGKILL
	EventIgnored  child.Kind = "ignored"  // Signal did nothing, because it has no route or for Reason
	EventSkipped  child.Kind = "skipped"  // Daemon is not restarted because the bundle is shutting down
)
