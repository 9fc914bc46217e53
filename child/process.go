package child

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Spawner starts processes. It is the seam between supervision and the operating system: Exec is the real one, a
// test brings its own.
type Spawner interface {
	// Spawn starts the program of spec and returns once it has been executed, or why that was impossible (best a
	// *StartError). It may block, so an actor calls it on a goroutine of its own; different specs are spawned at
	// the same time.
	Spawn(spec *Spec) (Process, error)
}

// A Process is one life of a daemon. Its methods may be called from any goroutine.
type Process interface {
	// PID is the process ID of the main process.
	PID() int
	// Signal sends sig to the main process, or to its whole process group, of which there may be more than the main
	// process. It does not block. The error is os.ErrProcessDone or a system error; a process that has just ended is not
	// worth reporting.
	Signal(sig syscall.Signal, group bool) error
	// Wait blocks until the main process has ended, whoever still holds its output. It is called once.
	Wait() Exit
	// Left is called after Wait has returned, and reports whether others of the process group live. It is always false
	// with KillProcess. It takes no longer than to look.
	Left() bool
	// Strays is called after Wait has returned, and reports whether others live that the main process has started, in its
	// process group or not. Where that cannot be found out it is false.
	Strays() bool
	// Release is called once, after Wait has returned, at the latest before the next life begins. With kill it
	// first kills what is left of the process group, and waits, for a bounded time, until it is gone.
	Release(kill bool)
}

// A Freezer is a [Process] that can be frozen, with all that it has started, so that none of it runs until it is thawed.
type Freezer interface {
	// Freeze freezes it, or with false lets it go on. It does not block.
	Freeze(on bool) error
}

// ErrNoFreezer is why a daemon cannot be paused: its [Process] is no [Freezer].
var ErrNoFreezer = errors.New("it has no control group of its own")

// An Exit says how a process ended. The zero value is exit code 0.
type Exit struct {
	// Code is the exit code; 0 where Signal is set.
	Code int
	// Signal is the signal that ended the process, or 0.
	Signal syscall.Signal
	// Core: a core was dumped.
	Core bool
	// OOM: the kernel's OOM killer did it. Exec does not know; a Spawner that does can say so.
	OOM bool
	// CPU is the user and system time of the process and the children that it has waited for.
	CPU time.Duration
	// MaxRSS is the largest resident set size, in bytes.
	MaxRSS int64
	// Err is set where the process was never executed (a *StartError; Code is 126 or 127 then, as in a shell), or
	// where its status could not be learnt.
	Err error
}

// Failed reports whether the process ended in any way but with exit code 0.
func (e Exit) Failed() bool { return e.Code != 0 || e.Signal != 0 || e.Err != nil }

// RC is the exit code, or the negated signal number, as Python's subprocess has it.
func (e Exit) RC() int {
	if e.Signal != 0 {
		return -int(e.Signal)
	}
	return e.Code
}

// Status is the exit code as a shell reports it: 128+s after signal s.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

// String is "code 3" or "code -15 (SIGTERM)".
func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("code %d (%s)", e.RC(), SignalName(e.Signal))
	}
	return fmt.Sprintf("code %d", e.Code)
}

// A StartError says why a daemon's program could not be executed.
type StartError struct {
	// Reason names what was tried and what is wrong with it, such as "/bin/web: permission denied".
	Reason string
	// Code is the exit code that the failure counts as: 127 if the program was not found, else 126.
	Code int
	// Transient: the system lacked something for the moment (EAGAIN, ENOMEM, EMFILE, ENFILE), so that trying again
	// makes sense. Other failures are not retried: the next try would fail alike.
	Transient bool
	// Err is the underlying error, or nil.
	Err error
}

// Error returns the reason.
func (e *StartError) Error() string { return e.Reason }

// Unwrap returns the underlying error.
func (e *StartError) Unwrap() error { return e.Err }

// SignalName returns the name of sig, such as SIGTERM, SIGRTMIN+1, or "signal 99" for one without a name.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	if sig >= rtMin && sig <= rtMax {
		if sig == rtMin {
			return "SIGRTMIN"
		}
		return fmt.Sprintf("SIGRTMIN+%d", sig-rtMin)
	}
	return fmt.Sprintf("signal %d", sig)
}

// The real-time signals, as glibc numbers them for its users (the kernel's own start at 32, and libc takes two).
const (
	rtMin syscall.Signal = 34
	rtMax syscall.Signal = 64
)
