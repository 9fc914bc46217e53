package kernel

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SignalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP of linux/pidfd.h: the signal goes to the process group whose ID is the
// pidfd's process. x/sys does not have it yet.
const SignalProcessGroup = 4

func ask() (f Features) {
	if fd, err := unix.PidfdOpen(os.Getpid(), 0); err == nil {
		f.Pidfd = true
		f.PidfdSignal = unix.PidfdSendSignal(fd, 0, nil, 0) == nil
		// We need not lead a process group: then the kernel, which knows the flag, finds that ours has no members.
		err := unix.PidfdSendSignal(fd, 0, nil, SignalProcessGroup)
		f.GroupSignal = f.PidfdSignal && (err == nil || err == unix.ESRCH)
		unix.Close(fd)
	}
	if pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
		if fd, err := unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			f.PeerPidfd = true
			unix.Close(fd)
		}
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
	f.CloseRange = unix.CloseRange(math.MaxInt32, math.MaxInt32, 0) == nil // no descriptor has that number
	var set int32
	f.Subreaper = unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&set)), 0, 0, 0) == nil
	f.SysAdmin, f.Perfmon = capable(unix.CAP_SYS_ADMIN), capable(unix.CAP_PERFMON)
	return f
}

func askLandlock() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || !landlocks() {
		return 0
	}
	return int(abi)
}

// capable reports whether a program of ours can have a capability that counts for the whole system.
func capable(c int) bool {
	if in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0); err != nil || in == 0 {
		return false
	}
	var first, outside, n uint64
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return true // nobody knows
	}
	_, err = fmt.Sscan(string(users), &first, &outside, &n)
	return err != nil || first == 0 && outside == 0 && n == math.MaxUint32 // only the first namespace maps all users
}

// landlocks reports whether the calls that add rules and restrict a process are let through to where they find that there is no such ruleset.
// Without CAP_SYS_ADMIN the latter asks for no_new_privs first, which a thread can have alone. That thread rests for ever: it may have
// started processes before, and if it ended those with a parent-death signal would get it, and the others would become children of the main
// thread, which takes them for orphans.
func landlocks() bool {
	answer := make(chan bool)
	go func() {
		runtime.LockOSThread()
		const none = ^uintptr(0) // no descriptor
		restrict := func() syscall.Errno {
			_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, none, 0, 0)
			return errno
		}
		_, _, add := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, none, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&unix.LandlockPathBeneathAttr{})), 0, 0, 0)
		errno := restrict()
		if errno != unix.EPERM || unix.Gettid() == os.Getpid() { // the main thread is everybody's: it is not asked
			answer <- add == unix.EBADF && (errno == unix.EBADF || errno == unix.EPERM)
			runtime.UnlockOSThread()
			return
		}
		if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil {
			errno = restrict()
		}
		answer <- add == unix.EBADF && errno == unix.EBADF
		select {}
	}()
	return <-answer
}
