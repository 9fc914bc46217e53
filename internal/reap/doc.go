// Package reap collects the orphans of a container: processes whose parents have ended and that the kernel has given to
// PID 1, or to the nearest subreaper.
//
// Guarantees:
//
//  1. A Reaper never takes the exit status of a process that this program started: os/exec and everything else that
//     waits for its own children keeps working beside it. It needs no registry and no lock to achieve that.
//  2. Every orphan is reaped, at once, and counted once. Idle, a Reaper does nothing: it has no ticker.
//  3. Sweep ends what is left, and returns within a bound that the caller chooses, whatever the processes do and
//     whether they may be killed or not. With nothing left it returns at once.
//  4. The signal goes to everybody (kill(-1)) only where this program is PID 1; elsewhere only to its own children.
//
// It works because the kernel keeps children per thread: a process belongs to the thread that forked it, orphans are
// given to the main thread, and wait4 with __WNOTHREAD sees the children of the calling thread alone. So a Reaper runs
// on the main thread, and panics on any other.
//
// Rules for the program: the main goroutine calls runtime.LockOSThread in an init function and never starts a process;
// no goroutine that starts processes ends while it is locked to its thread, since then the thread ends too and its
// children become orphans. docs/adr/0002-orphans.md says what else was considered.
package reap
