package setup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// eraseEnviron overwrites the block of the environment that the kernel has made, and that /proc/PID/environ shows. The Go
// runtime has copied the strings at its start; os.Unsetenv does not touch the block. The arguments, which the runtime does
// not copy, stay.
func eraseEnviron() error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	start, end, err := environRange(stat)
	if err != nil || start == end {
		return err
	}
	// The block lies between two things whose addresses we know from elsewhere. Anything else is not the block: it was
	// moved (PR_SET_MM), or this is not the Linux that we know.
	if low, high := auxiliary(atRandom), auxiliary(atExecFn); start < low || end > high {
		return fmt.Errorf("/proc/self/stat has it from %#x to %#x, which is not between %#x and %#x", start, end, low, high)
	}
	return zero(start, end)
}

// environRange finds the fields env_start and env_end in /proc/PID/stat. They are the 50th and 51st (proc(5)); the second
// is the name, in parentheses, which can contain anything.
func environRange(stat []byte) (start, end uintptr, err error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const first = 3 // the number of fields[0]
	if len(fields) <= 51-first {
		return 0, 0, errors.New("/proc/self/stat has too few fields")
	}
	low, lowErr := strconv.ParseUint(string(fields[50-first]), 10, strconv.IntSize)
	high, highErr := strconv.ParseUint(string(fields[51-first]), 10, strconv.IntSize)
	if err := errors.Join(lowErr, highErr); err != nil {
		return 0, 0, err
	}
	if low == 0 || high < low {
		return 0, 0, fmt.Errorf("/proc/self/stat has it from %#x to %#x", low, high)
	}
	return uintptr(low), uintptr(high), nil
}

// zero overwrites memory. The kernel does it, reading from a pipe, so that a wrong address is an error and not the end of
// the process; /proc/self/mem would do the same, where /proc is not read-only.
func zero(start, end uintptr) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	zeros := make([]byte, 4096) // a pipe takes that much without a reader
	for start < end {
		n, err := unix.Write(pipe[1], zeros[:min(uintptr(len(zeros)), end-start)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		for n > 0 {
			done, _, errno := unix.Syscall(unix.SYS_READ, uintptr(pipe[0]), start, uintptr(n))
			if errno == unix.EINTR {
				continue
			}
			if errno != 0 {
				return os.NewSyscallError("read", errno)
			}
			n -= int(done)
			start += done
		}
	}
	return nil
}
