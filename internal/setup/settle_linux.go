package setup

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// settle returns once no thread is on its way to end the process because of a signal that came before it was taken. As PID 1
// that is a long way, on which the Go runtime raises the signal twice, in vain, and yields the processor six times (dieFromSignal
// in runtime/signal_unix.go). On a busy machine other threads, which know nothing of it, have started daemons meanwhile; they
// would be killed without a word.
//
// What lets us wait for that is a system call on all threads: each makes it in the handler of another signal, and so not
// before it has left that of the first. A thread that never does ends the process, before anything has begun.
//
// Where a sandbox refuses tgkill(2), the Go runtime would wait for ever for a signal that it cannot send; and with cgo it does
// not know all threads. Then nothing is waited for.
func settle() {
	if unix.Tgkill(os.Getpid(), unix.Gettid(), 0) == nil {
		_, _, _ = syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0)
	}
}
