package prime

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// clearMask executes this program once more, with an empty signal mask, if it was started with another. The Go runtime
// keeps the mask of the start, and restores it in the processes that it starts; there is no other way to change that.
//
// SIGCHLD, SIGSEGV and a few more are unblocked by the runtime for itself before any of our code runs, so where only
// these were blocked it goes unnoticed.
func clearMask() error {
	var empty, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &empty, &old); err != nil {
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	if old == empty {
		return nil
	}
	// The new program has the mask of this thread, which is empty now: this is not done twice.
	// /proc/self/exe comes second, since the name of the process would then be exe.
	if path, err := os.Executable(); err == nil {
		_ = syscall.Exec(path, os.Args, os.Environ())
	}
	return os.NewSyscallError("execve", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// closeOnExec marks all descriptors from 3 on, so that no daemon gets one by accident.
func closeOnExec() error {
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	// Before Linux 5.11, or where a sandbox does not know the call.
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return err
}

// eraseEnviron overwrites the block of the environment that the kernel has made. The Go runtime has copied the strings at
// its start; os.Unsetenv does not touch the block.
func eraseEnviron() error {
	stat, err := os.ReadFile("/proc/self/stat")
	if errors.Is(err, os.ErrNotExist) {
		return nil // nobody can read it without /proc
	}
	if err != nil {
		return err
	}
	start, end, err := environRange(stat)
	if err != nil || start == end {
		return err
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	_, err = mem.WriteAt(make([]byte, end-start), start)
	return err
}

// maxEnviron is the largest environment that is taken for one; execve allows 6 MiB with the arguments, unless the limit
// of the stack is larger than usual.
const maxEnviron = 64 << 20

// environRange finds the fields env_start and env_end in /proc/PID/stat. They are the 50th and 51st (proc(5)); the second
// is the name, in parentheses, which can contain anything.
func environRange(stat []byte) (start, end int64, err error) {
	_, rest, found := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := bytes.Fields(rest)
	const first = 3 // the number of fields[0]
	if !found || len(fields) <= 51-first {
		return 0, 0, errors.New("/proc/self/stat has too few fields")
	}
	start, startErr := strconv.ParseInt(string(fields[50-first]), 10, 64)
	end, endErr := strconv.ParseInt(string(fields[51-first]), 10, 64)
	if err := errors.Join(startErr, endErr); err != nil {
		return 0, 0, err
	}
	if start < 0 || end < start || end-start > maxEnviron {
		return 0, 0, fmt.Errorf("/proc/self/stat has an environment from %d to %d", start, end)
	}
	return start, end, nil
}

// becomeSubreaper makes the orphans among our descendants our children, as they are those of PID 1.
func becomeSubreaper() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}
