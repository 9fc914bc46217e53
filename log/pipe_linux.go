package log

import (
	"syscall"
	"unsafe"
)

// buffered returns the number of bytes in the pipe, or an upper bound if it is not known.
func buffered(fd uintptr) int {
	var n int32
	// TIOCINQ is another name of FIONREAD. Package syscall has no function for it, and this package does not depend on other
	// modules, such as golang.org/x/sys.
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return pipeSize
	}
	return int(n)
}
