package root

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// A Msg is what a [Root] can be told.
type Msg interface{ rootMsg() }

// Messages to a [Root].
type (
	// Signal is a signal to the supervisor: SIGTERM, SIGINT and SIGQUIT shut the bundle down, a routed one does what its
	// route says, another is ignored with an event.
	Signal struct{ Sig syscall.Signal }
	// Shutdown ends the bundle as SIGTERM does; Reason takes the place of the signal's name in the log.
	Shutdown struct{ Reason string }
	// Do gives a command to a daemon, or to all of a service.
	// Reply, which may be the zero Reply, is answered at once, not when it is done: Await tells that.
	Do struct {
		Name  string
		Msg   child.Command
		Reply actor.Reply[Accepted]
	}
	// Fact hands a fact on to the daemon of that name.
	Fact struct {
		Name string
		Msg  child.Fact
	}
	// List asks for the status of all daemons, in the order of [Config.Specs].
	List struct{ Reply actor.Reply[[]child.Status] }
	// Await asks for the status of all daemons as soon as Until holds of them. Until is called on root's goroutine, at
	// once and after each change: it must be quick. An Await whose asker has left should hold too, so that it is forgotten.
	Await struct {
		Until func([]child.Status) bool
		Reply actor.Reply[[]child.Status]
	}
)

// Messages among root and its children.
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
	// Seen has, for each daemon concerned, the Status.Seen from which on its status reflects the command.
	Seen map[string]uint64
	// Err is ErrShuttingDown, an *UnknownError, a *JobError, or nil.
	Err error
}

// A JobError refuses to start a job as a daemon ([child.Start] without a Trigger, [child.Restart]), or a daemon as a job.
type JobError struct {
	Name string
	Job  bool // what it is
}

// Error says what it is.
func (e *JobError) Error() string {
	if e.Job {
		return e.Name + " is a job: it is run, not started"
	}
	return e.Name + " is no job"
}

// ErrShuttingDown refuses a command that comes after the shutdown has begun.
var ErrShuttingDown = errors.New("the supervisor is shutting down")

// An UnknownError refuses a command to a daemon that the bundle does not have.
type UnknownError struct{ Name string }

// Error names the daemon.
func (e *UnknownError) Error() string { return fmt.Sprintf("there is no daemon %q", e.Name) }

// The events of the bundle, beside those of its daemons.
const (
	EventShutdown child.Kind = "shutdown" // a shutdown begins; Signal or Reason says why
	EventDeadline child.Kind = "deadline" // the grace (Delay) has elapsed; Names get SIGKILL
	EventKillNow  child.Kind = "kill-now" // a second SIGINT; Names get SIGKILL
	EventIgnored  child.Kind = "ignored"  // Signal has no route, or Reason says why it does nothing
	EventSkipped  child.Kind = "skipped"  // the restart of Daemon, since the bundle is shutting down
)
