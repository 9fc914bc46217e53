package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// DefaultSocket is where a supervisor has its control socket if it may.
const DefaultSocket = "/run/sidecar-init.sock"

// DefaultSockets are the paths of the control socket that a supervisor tries, and that a client looks at, in this order:
// /run/sidecar-init.sock, and a name in /dev/shm that is different for each user and pid namespace, for containers whose
// file system is read-only or whose user is not root.
func DefaultSockets() []string {
	paths := []string{DefaultSocket}
	if ns := pidNamespace(); ns != 0 {
		paths = append(paths, fmt.Sprintf("/dev/shm/sidecar-init-%d-%d.sock", os.Geteuid(), ns))
	}
	return paths
}

// dial connects to the first socket where a supervisor answers. One in another pid namespace comes last: two containers
// can share a /run, and each means its own supervisor.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var spare net.Conn
	var failed error
	for _, path := range c.paths {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			failed = better(failed, fmt.Errorf("cannot connect to %s: %w", path, cause(err)))
			continue
		}
		near, known, err := peer(conn.(*net.UnixConn))
		switch {
		case err != nil || !known && len(c.paths) > 1 && path != DefaultSocket:
			// /dev/shm is open to all, and whoever waits there would be believed.
			conn.Close()
			if err == nil {
				err = errors.New("another user answers there")
			}
			failed = better(failed, fmt.Errorf("%s: %w", path, err))
		case near || len(c.paths) == 1:
			if spare != nil {
				spare.Close()
			}
			return conn, nil
		case spare == nil:
			spare = conn
		default:
			conn.Close()
		}
	}
	if spare != nil {
		return spare, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrNoSupervisor, failed)
}

// better is the error that says more: where one socket is not there and the other one may not be used, the latter.
func better(a, b error) error {
	if a == nil || errors.Is(a, syscall.ENOENT) && !errors.Is(b, syscall.ENOENT) {
		return b
	}
	return a
}

// cause is the error of the system call, without the address, which the caller names.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// cut reports whether the other side has ended in the middle of something.
func cut(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
