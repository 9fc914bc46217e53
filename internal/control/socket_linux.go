package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What somebody who listens at the socket is.
var (
	errLive    = errors.New("another supervisor answers there")
	errForeign = errors.New("another user answers there")
)

// listen makes the socket at the first path where that is possible, and returns how to remove it.
func listen(paths []string, spare string) (net.Listener, func(), error) {
	err := errors.New("there is no path for it")
	for _, path := range paths {
		var l *net.UnixListener
		var remove func()
		if l, remove, err = listenAt(path); err == nil {
			return at{l, path}, remove, nil
		}
		err = fmt.Errorf("%s: %w", path, plain(err))
	}
	if spare != "" && !errors.Is(err, errLive) {
		if l, remove, spareErr := listenAt(spare); spareErr == nil {
			return at{l, spare}, remove, nil
		}
	}
	return nil, nil, err
}

// at is a listener that knows where it is, and not what its socket was called at first.
type at struct {
	*net.UnixListener
	path string
}

func (l at) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// listenAt makes the socket under another name, and renames it when it has its mode and somebody listens: so nobody can
// connect too early, and what nobody listens at any more is replaced at once. (umask would do for the mode, but belongs
// to the whole process, and daemons are being started.)
func listenAt(path string) (l *net.UnixListener, remove func(), err error) {
	if err := vacant(path); err != nil {
		return nil, nil, err
	}
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(temp) // of a supervisor that had our PID in a container before this one
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove what has that name by then, whosever it is
	defer func() {
		if err != nil {
			l.Close()
			os.Remove(temp)
		}
	}()
	if err := os.Chmod(temp, 0o600); err != nil {
		return nil, nil, err
	}
	info, err := os.Lstat(temp)
	if err != nil {
		return nil, nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, nil, err
	}
	return l, func() {
		if now, err := os.Lstat(path); err == nil && os.SameFile(info, now) {
			os.Remove(path)
		}
	}, nil
}

// vacant returns an error unless there is nothing at path, or a socket at which nobody listens.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("there is a file that is no socket")
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		defer conn.Close()
		if !permitted(conn) {
			return errForeign
		}
		return errLive
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	case errors.Is(err, syscall.EAGAIN): // its queue is full
		return errLive
	}
	return err
}

// plain is err without what the caller says anyway.
func plain(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// permitted reports whether the other side of a unix socket is root or our own user.
func permitted(conn net.Conn) bool {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	allowed := false
	_ = raw.Control(func(fd uintptr) { // fails for a closed file: not permitted
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		allowed = err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
	})
	return allowed
}
