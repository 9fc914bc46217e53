package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// DefaultSocket is the path of the control socket if the supervisor can create it there.
const DefaultSocket = "/run/sidecar-init.sock"

// DefaultSockets returns the paths of the control socket that supervisors and clients try, in this order: /run/sidecar-init.sock;
// a name in /dev/shm that is different for each user and PID namespace, for containers whose file system is read-only or whose
// user is not root; and the existing sockets at paths of [SpareSocket].
func DefaultSockets() []string {
	paths := []string{DefaultSocket}
	if name := shmName(); name != "" {
		paths = append(paths, name+".sock")
		spare, _ := filepath.Glob(name + "-*.sock") // the pattern is valid
		paths = append(paths, slices.DeleteFunc(spare, foreign)...)
	}
	return paths
}

// SpareSocket returns a path for a supervisor that finds the [DefaultSockets] occupied by another user, as any user can create
// files in /dev/shm. The path is random, so nobody can know it in advance, and different for each call. It is empty if the PID
// namespace is not known.
func SpareSocket() string {
	name := shmName()
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s-%08x.sock", name, rand.Uint32())
}

// shmName returns the beginning of the names in /dev/shm; it is empty if the PID namespace is not known.
func shmName() string {
	ns := PIDNamespace()
	if ns == 0 {
		return ""
	}
	return fmt.Sprintf("/dev/shm/sidecar-init-%d-%d", os.Geteuid(), ns)
}

// dial connects to the first socket at which a supervisor answers. It uses one in another PID namespace only if there is no other:
// two containers can share a /run, and in each of them its own supervisor is meant.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var spare net.Conn
	var failed error
	paths := c.paths
	if paths == nil {
		paths = DefaultSockets()
	}
	for _, path := range paths {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			failed = better(failed, fmt.Errorf("cannot connect to %s: %w", path, cause(err)))
			continue
		}
		near, known, err := peer(conn.(*net.UnixConn))
		switch {
		case err != nil || !known && len(paths) > 1 && path != DefaultSocket:
			// Any user can create a socket in /dev/shm, and the client would believe its answers.
			conn.Close()
			if err == nil {
				err = errors.New("another user answers there")
			}
			failed = better(failed, fmt.Errorf("%s: %w", path, err))
		case near || len(paths) == 1:
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

// better returns the more informative error: if one socket does not exist and another cannot be used, that of the latter.
func better(a, b error) error {
	if a == nil || errors.Is(a, syscall.ENOENT) && !errors.Is(b, syscall.ENOENT) {
		return b
	}
	return a
}

// cause returns the error of the system call, without the address, which the caller adds itself.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// cut reports whether err says that the other side has closed the connection in the middle of an exchange.
func cut(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
