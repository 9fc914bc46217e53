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

// DefaultSocket is where a supervisor has its control socket if it may.
const DefaultSocket = "/run/sidecar-init.sock"

// DefaultSockets are the paths of the control socket that a supervisor tries, and that a client looks at, in this order:
// /run/sidecar-init.sock, a name in /dev/shm that is different for each user and pid namespace, for containers whose
// file system is read-only or whose user is not root, and what there is of [SpareSocket].
func DefaultSockets() []string {
	paths := []string{DefaultSocket}
	if name := shmName(); name != "" {
		paths = append(paths, name+".sock")
		spare, _ := filepath.Glob(name + "-*.sock") // the pattern is right
		paths = append(paths, slices.DeleteFunc(spare, foreign)...)
	}
	return paths
}

// SpareSocket returns a path for a supervisor that finds something of another user at the others: /dev/shm is open to all. Nobody
// can know it in advance, and each call returns another one. It is empty where there is none.
func SpareSocket() string {
	name := shmName()
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s-%08x.sock", name, rand.Uint32())
}

// shmName begins the names in /dev/shm; it is empty where the pid namespace is not known.
func shmName() string {
	ns := PIDNamespace()
	if ns == 0 {
		return ""
	}
	return fmt.Sprintf("/dev/shm/sidecar-init-%d-%d", os.Geteuid(), ns)
}

// dial connects to the first socket where a supervisor answers. One in another pid namespace comes last: two containers
// can share a /run, and each means its own supervisor.
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
			// /dev/shm is open to all, and whoever waits there would be believed.
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
