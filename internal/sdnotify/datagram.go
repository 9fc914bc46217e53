package sdnotify

import (
	"golang.org/x/sys/unix"
)

// A datagram is one message, as it came. Its data lie in the buffer that was given to take.
type datagram struct {
	life      Life
	data      []byte
	truncated bool
	cred      *unix.Ucred
	fds       []int
	err       error
}

// maxFDs is how many descriptors one datagram can bring (SCM_MAX_FD). We take them all: those for which there is no room the
// kernel closes on the thread that receives, and a close can block.
const maxFDs = 253

// credentials is the room for the sender's, which come before the descriptors.
var credentials = unix.CmsgSpace(unix.SizeofUcred)

func newBuffers() (buf, oob []byte) {
	return make([]byte, maxDatagram+1), make([]byte, credentials+unix.CmsgSpace(4*maxFDs))
}

// take receives one datagram if there is one, else err is EAGAIN.
func take(fd int, buf, oob []byte) (d datagram) {
	n, oobn, flags := 0, 0, 0
	for {
		n, oobn, flags, _, d.err = unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if d.err != unix.EINTR {
			break
		}
	}
	if d.err != nil {
		return d
	}
	d.data, d.truncated = buf[:n], flags&unix.MSG_TRUNC != 0
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return d // without credentials, so nobody believes it
	}
	for _, m := range messages {
		switch {
		case m.Header.Level != unix.SOL_SOCKET:
		case m.Header.Type == unix.SCM_RIGHTS:
			fds, _ := unix.ParseUnixRights(&m)
			d.fds = append(d.fds, fds...)
		case m.Header.Type == unix.SCM_CREDENTIALS:
			d.cred, _ = unix.ParseUnixCredentials(&m)
		}
	}
	return d
}
