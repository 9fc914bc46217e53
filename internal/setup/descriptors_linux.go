package setup

import (
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// closeOnExec marks all descriptors from 3 on, so that no daemon gets one by accident. 0, 1 and 2 are open by now: the
// Go runtime opens /dev/null for those that were not.
func closeOnExec() error {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	// Before Linux 5.11, or where a sandbox does not know the call.
	if closeOnExecListed() == nil {
		return nil
	}
	return closeOnExecAll()
}

// closeOnExecListed marks the descriptors that /proc lists.
func closeOnExecListed() error {
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

// maxDescriptors bounds the time that closeOnExecAll takes, to some milliseconds.
const maxDescriptors = 1 << 16

// closeOnExecAll marks every descriptor that there can be.
func closeOnExecAll() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	for fd := 3; fd < int(min(limit.Max, maxDescriptors)); fd++ {
		unix.CloseOnExec(fd)
	}
	return nil
}
