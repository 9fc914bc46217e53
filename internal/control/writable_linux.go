package control

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// waitWritable waits until most of what was written to conn has been read, or until its write deadline. What is written
// then does not wait.
func waitWritable(conn net.Conn) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Write(func(fd uintptr) bool {
		// The poller tells of changes only, so whether there is room now must be asked. That the other side has left is
		// for the write to find.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		for {
			n, err := unix.Poll(fds, 0)
			if err != unix.EINTR {
				return n > 0 || err != nil
			}
		}
	})
}
