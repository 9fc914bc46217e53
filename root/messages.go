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
	// Signal is a signal to the supervisor. SIGTERM, SIGINT and SIGQUIT shut the bundle down, one with a [Route] does what the
	// route says, any other is ignored, with an event.
	Signal struct{ Sig syscall.Signal }
	// Shutdown ends the bundle as SIGTERM does. Reason replaces the signal's name in the log.
	Shutdown struct{ Reason string }
	// Do sends a command to a daemon, or to all daemons of a service. Reply, which may be the zero Reply, is answered at once and
	// not when the command is done; use Await to learn that.
	Do struct {
		Name  string
		Msg   child.Command
		Reply actor.Reply[Accepted]
	}
	// Fact passes a fact on to the daemon of that name.
	Fact struct {
		Name string
		Msg  child.Fact
	}
	// List asks for the status of all daemons, in the order of [Config.Daemons] and [Config.Specs].
	List struct{ Reply actor.Reply[[]child.Status] }
	// Await asks for the status of all daemons as soon as Until returns true for it. Until is called on root's goroutine, at
	// once and after each change, so it must be quick. It should also return true when nobody waits for the answer any more, so
	// that the Await is forgotten.
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
	// Seen has, for each daemon concerned, the [child.Status].Seen from which its status reflects the command.
	Seen map[string]uint64
	// Err is ErrShuttingDown, an *UnknownError, a *JobError, or nil.
	Err error
}

// A JobError is the error of starting a job like a daemon ([child.Start] without a Trigger, [child.Restart]), or a daemon like a
// job.
type JobError struct {
	Name string
	Job  bool // Name is a job
}

// Error says what it is.
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
	EventDeadline child.Kind = "deadline" // the grace (Delay) has elapsed; Names get SIGKILL
	EventKillNow  child.Kind = "kill-now" // a second SIGINT; Names get SIGKILL
	EventIgnored  child.Kind = "ignored"  // Signal did nothing: it has no route, or for the given Reason
	EventSkipped  child.Kind = "skipped"  // Daemon is not restarted, since the bundle is shutting down
)
