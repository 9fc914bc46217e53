package child

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Spawner starts processes. It separates supervision from the operating system: [Exec] is the real one, a test uses a fake.
type Spawner interface {
	// Spawn starts the program of spec and returns once it has been executed, or an error, preferably a *[StartError], if that
	// was impossible. It may block; it is called on a goroutine of its own, and for several daemons at the same time.
	Spawn(spec *Spec) (Process, error)
}

// A Process is one run of a daemon's program. Its methods may be called from any goroutine.
type Process interface {
	// PID is the process ID of the main process.
	PID() int
	// Signal sends sig to the main process, or, with group, to its whole process group, which may outlive the main process. It
	// does not block. The error is [os.ErrProcessDone] or a system error; callers ignore that a process has just ended.
	Signal(sig syscall.Signal, group bool) error
	// Wait blocks until the main process has ended, even if other processes still hold its output. It is called once.
	Wait() Exit
	// Left is called after Wait has returned, and reports whether other members of the process group are alive. It is always
	// false with [KillProcess]. It does not block.
	Left() bool
	// Strays is called after Wait has returned, and reports whether processes that the main process has started are alive, in its
	// process group or not. It is false where that cannot be found out.
	Strays() bool
	// Release is called once, after Wait has returned and before the next process is started. With kill it first kills the
	// remaining process group, and waits, for a limited time, until it is gone.
	Release(kill bool)
}

// A Freezer is a [Process] that can be frozen together with everything that it has started.
type Freezer interface {
	// Freeze freezes the processes, or thaws them with false. It does not block.
	Freeze(on bool) error
}

// ErrNoFreezer says that a daemon cannot be paused, since its [Process] is no [Freezer].
var ErrNoFreezer = errors.New("it has no control group of its own")

// An Exit says how a process ended. The zero value is exit code 0.
type Exit struct {
	// Code is the exit code; 0 where Signal is set.
	Code int
	// Signal is the signal that ended the process, or 0.
	Signal syscall.Signal
	// Core: a core was dumped.
	Core bool
	// OOM: the process was killed by the kernel's OOM killer. [Exec] cannot tell; another [Spawner] may.
	OOM bool
	// CPU is the user and system time of the process and the children that it has waited for.
	CPU time.Duration
	// MaxRSS is the largest resident set size, in bytes.
	MaxRSS int64
	// Err is set if the program was never executed (a *[StartError]; Code is then 126 or 127, as in a shell), or if its exit
	// status is not known.
	Err error
}

// Failed reports whether the process ended in any way other than exit code 0.
func (e Exit) Failed() bool { return e.Code != 0 || e.Signal != 0 || e.Err != nil }

// RC is the exit code, or the negated signal number, as returncode of Python's subprocess module.
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

// A StartError says why a program could not be executed.
type StartError struct {
	// Reason says what failed and why, such as "/bin/web: permission denied".
	Reason string
	// Code is the exit code that stands for the failure, as in a shell: 127 if the program was not found, else 126.
	Code int
	// Transient: the failure may be temporary (EAGAIN, ENOMEM, EMFILE, ENFILE, ETXTBSY), so it makes sense to try again. Other
	// failures are not retried: the next attempt would fail in the same way.
	Transient bool
	// Err is the underlying error, or nil.
	Err error
}

// Error returns the reason.
func (e *StartError) Error() string { return e.Reason }

// Unwrap returns the underlying error.
func (e *StartError) Unwrap() error { return e.Err }

// SignalName returns the name of sig, such as SIGTERM or SIGRTMIN+1, or "signal 99" if it has none.
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

// The real-time signals as glibc numbers them: the kernel's start at 32, and libc uses two itself.
const (
	rtMin syscall.Signal = 34
	rtMax syscall.Signal = 64
)
