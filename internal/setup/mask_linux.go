package setup

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clearMask executes this program once more, with an empty signal mask, if it was started with another. The Go runtime
// keeps the mask of the start, and restores it in the processes that it starts; there is no other way to change that.
//
// The signals that the runtime needs for itself, or that end a program, such as SIGCHLD and SIGTERM, are unblocked before
// any of our code runs, and stay so in what we start. Where only these were blocked nothing has to be done.
func clearMask() error {
	var empty, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &empty, &old); err != nil {
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	if old == empty {
		return nil
	}
	// The new image starts with the mask of this thread, which is empty now: this is not done twice.
	return execSelf()
}

// execSelf executes this program with the same arguments and environment. It returns only if that is impossible.
func execSelf() error {
	const self = "/proc/self/exe"
	var errs []error
	try := func(path string) {
		err := syscall.Exec(path, os.Args, os.Environ()) // of those in syscall and unix it alone restores RLIMIT_NOFILE
		errs = append(errs, &os.PathError{Op: "execve", Path: path, Err: err})
	}
	// The name of the process would be exe after executing /proc/self/exe, so it comes second; but the path is only good
	// if this very program is still there.
	if path, err := os.Executable(); err == nil {
		a, errA := os.Stat(path)
		b, errB := os.Stat(self)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			try(path)
		}
	}
	try(self)
	if path := execPath(); path != "" { // without /proc
		try(path)
	}
	return errs[len(errs)-1]
}

// execPath is the path that this program was executed by, as the kernel has noted it on the stack; "" if it has not.
func execPath() string {
	path := auxiliary(atExecFn)
	if path == 0 {
		return ""
	}
	return unix.BytePtrToString(*(**byte)(unsafe.Pointer(&path)))
}

// Keys of the auxiliary vector (getauxval(3)).
const (
	atRandom = 25 // the address of 16 random bytes, below the arguments and the environment
	atExecFn = 31 // the address of the path of the program, above them
)

// auxiliary returns an entry of the vector that the kernel gives to each program; 0 if there is none.
func auxiliary(key uintptr) uintptr {
	vector, _ := unix.Auxv()
	for _, entry := range vector {
		if entry[0] == key {
			return entry[1]
		}
	}
	return 0
}

// defaultSignals gives the default disposition to the signals 32 and 34, if they were ignored at the start. All others
// the Go runtime handles, or can be made to (Signals), and then gives the default to the processes that it starts.
func defaultSignals() error {
	for _, sig := range []syscall.Signal{32, 34} {
		was, err := disposition(sig)
		if err == nil && was[0] == sigIgn {
			err = setDisposition(sig, sigaction{sigDfl})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
