package log

import (
	"syscall"
	"unsafe"
)

// buffered returns how many bytes are in the pipe.
func buffered(fd uintptr) int {
	var n int32
	// TIOCINQ is FIONREAD. Package syscall has no function for it, and this package imports nothing but the
	// standard library.
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return pipeSize
	}
	return int(n)
}
