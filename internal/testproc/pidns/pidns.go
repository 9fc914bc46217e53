//go:build linux

package pidns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A User says as whom the program runs in its namespace.
type User string

const (
	// Self is the caller's own user: root with all its capabilities where the caller is root. Where it is not, a user
	// namespace with this one user makes the pid namespace possible, and the program has no capability.
	Self User = "self"
	// Nobody is an ordinary user without a capability, in a user namespace in which nobody else exists. It is uid
	// 65534 where the caller is root, else the caller.
	Nobody User = "nobody"
)

// Users lists the users that a test of PID 1 is run as.
func Users() []User { return []User{Self, Nobody} }

// marker is argv[0] of the first image in the namespace. It is not an environment variable, because tests look at the
// environment of the second one.
const marker = "sidecar-init-pidns"

const nobody = 65534

func init() {
	if os.Args[0] == marker {
		runtime.LockOSThread() // capabilities belong to a thread, and execve takes those of the thread that calls it
	}
}

// Main executes the program if this process is the first image in a namespace that Command made; it does not return
// then. Otherwise it does nothing.
func Main() {
	if os.Args[0] != marker {
		return
	}
	if err := enter(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pidns:", err)
		os.Exit(127)
	}
	os.Exit(0)
}

// enter mounts /proc and executes argv[0] with the arguments argv[1:], argv[1] being what it sees as its own name.
// With an empty argv it only mounts.
func enter(argv []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	if len(argv) == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot drop capabilities: %w", err)
	}
	return fmt.Errorf("cannot execute %s: %w", argv[0], syscall.Exec(argv[0], argv[1:], os.Environ()))
}

// Command returns the command that runs name as PID 1 of a new pid namespace. Like that of exec.Command it can be given
// an environment and files before it is started; SysProcAttr is taken, and Path and Args are not those of the program.
func (u User) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) // looks name up
	cmd.Args = slices.Concat([]string{marker, cmd.Path}, cmd.Args)
	return u.wrap(cmd)
}

func (u User) wrap(cmd *exec.Cmd) *exec.Cmd {
	cmd.Path = "/proc/self/exe"
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.SysProcAttr = attr
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		if u != Nobody {
			return cmd
		}
		uid, gid = nobody, nobody
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN} // kept across the first execve, for the mount
	return cmd
}

// Supported tries to make a namespace for u. Where the system does not let it, it returns why.
func (u User) Supported() (reason string, ok bool) {
	cmd := u.wrap(&exec.Cmd{Args: []string{marker}})
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // else a test binary with -race sleeps for 1 s at its end
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", true
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && len(out) > 0 {
		return strings.TrimSpace(string(out)), false
	}
	return "cannot make a pid namespace: " + err.Error(), false
}

// Require skips the test where the system does not let it make a namespace for u, and says why. In CI as root
// ($CI is true) it fails instead, so that a job that tests nothing is not green.
func (u User) Require(t testing.TB) {
	t.Helper()
	reason, ok := u.Supported()
	switch {
	case ok:
	case os.Getenv("CI") == "true" && os.Getuid() == 0:
		t.Fatalf("no pid namespace as %s: %s", u, reason)
	default:
		t.Skipf("no pid namespace as %s: %s", u, reason)
	}
}
