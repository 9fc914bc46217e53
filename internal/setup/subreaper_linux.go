package setup

import (
	"os"

	"golang.org/x/sys/unix"
)

// becomeSubreaper makes the orphans among our descendants our children, as they are those of PID 1.
func becomeSubreaper() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}
