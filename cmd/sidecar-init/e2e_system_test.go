//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stage does something in this process, and makes it the program exe then. It returns only an error.
func stage(what, exe string, argv []string) error {
	runtime.LockOSThread() // whose signal mask the next program gets
	if words := strings.Fields(what); words[0] == "bind" {
		if err := unix.Mount(words[1], words[2], "", unix.MS_BIND, ""); err != nil {
			return err
		}
		what = "bound"
	}
	switch what {
	case "bound":
	case "launder":
		// Somebody has blocked and ignored all that can be. This thread is the one that execs.
		all := unix.Sigset_t{}
		for i := range all.Val {
			all.Val[i] = ^all.Val[i] // whatever its type is
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
			return err
		}
		ignore := [8]uint64{1}
		for sig := uintptr(1); sig <= 64; sig++ {
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0) // fails for KILL and STOP
		}
	case "readonly":
		// A root that cannot be written, and nowhere a temporary file.
		for _, dir := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm"} {
			if err := unix.Mount("none", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
		if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("/: %w", err)
		}
	case "nodev":
		if err := unix.Mount("none", "/dev", "tmpfs", unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("/dev: %w", err)
		}
	case "noproc":
		if err := unix.Mount("none", "/proc", "tmpfs", unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("/proc: %w", err)
		}
	case "squat":
		// Another user has been faster, with all the names that can be known.
		ns, err := os.Stat("/proc/self/ns/pid")
		if err != nil {
			return err
		}
		name := fmt.Sprintf("/dev/shm/sidecar-init-%d-%d.sock", os.Getuid(), ns.Sys().(*syscall.Stat_t).Ino)
		if err := os.Mkdir(name, 0o700); err != nil {
			return err
		}
	case "nokill":
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_KILL, 0, 0, 0); err != nil {
			return err
		}
	case "docker":
		// The capabilities of Docker's root: from chown to net_raw, sys_chroot, mknod, audit_write and setfcap.
		const docker uint64 = 0xa80425fb
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if docker>>c&1 == 0 {
				_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // an older kernel knows fewer of them
			}
		}
	case "termination":
		if err := mountMessage(os.Getenv("MESSAGE")); err != nil {
			return err
		}
	case "cgroup":
		if err := os.WriteFile(filepath.Join(os.Getenv("CGROUP"), "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown stage %s", what)
	}
	return syscall.Exec(exe, argv, os.Environ())
}

// mountMessage makes a file /dev/termination-log, as Kubernetes does. The /dev of the machine is left alone.
func mountMessage(file string) error {
	dev := filepath.Join(filepath.Dir(file), "dev") // which the test removes
	if err := os.Mkdir(dev, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("none", dev, "tmpfs", 0, ""); err != nil {
		return err
	}
	for to, from := range map[string]string{"null": "/dev/null", "zero": "/dev/zero", "urandom": "/dev/urandom", "termination-log": file} {
		to = filepath.Join(dev, to)
		if err := os.WriteFile(to, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return unix.Mount(dev, "/dev", "", unix.MS_BIND|unix.MS_REC, "")
}

// catches reports whether the supervisor has a handler for SIGTERM.
func (s *supervisor) catches() bool {
	// In this order: before it became sidecar-init it was another program, which catches SIGTERM too.
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	_, caught, _ := strings.Cut(string(status), "\nSigCgt:\t")
	caught, _, _ = strings.Cut(caught, "\n")
	mask, _ := strconv.ParseUint(caught, 16, 64)
	return strings.HasPrefix(string(cmdline), "sidecar-init\x00") && mask&(1<<(syscall.SIGTERM-1)) != 0
}

// TestClean: a daemon gets nothing that the supervisor was given by accident: descriptors, ignored and blocked signals.
func TestClean(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{
			place: p, stage: "launder",
			adapt: func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{os.Stdin, os.Stdin, os.Stdin} },
			bundle: services(
				daemon("a", "fds; pid; pgid; sid; tty; cat; trap TERM exit 4; print ready; block"),
				"  b: { command: [/bin/grep, '^Sig[BI]', /proc/self/status] }\n"),
		})
		s.expect("[a] fds 0 1 2", "[a] tty", "[a] ready")
		pid := s.match(`\[a\] pid (\d+)`)[0]
		s.expect("[a] pgid "+pid, "[a] sid "+pid)
		s.expect("[b] SigBlk:\t0000000000000000", "[b] SigIgn:\t0000000000000000")
		s.signal(syscall.SIGTERM)
		s.exit(4)
	})
}

// TestEnvironment is what daemons get to see of the supervisor's, and what nobody does.
func TestEnvironment(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{
			place: p,
			env: []string{
				"TOKEN_A=secret-1", "TOKEN_B=secret-2", "PUBLIC=p", "EMPTY=",
				"NOTIFY_SOCKET=/no", "WATCHDOG_USEC=1", "WATCHDOG_PID=1", "LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=x",
			},
			bundle: services(
				daemon("a", "env; print ready; block", "environment: { OWN: own }", `x-sidecar-init: { private_env: ["TOKEN_*"] }`),
				daemon("b", "env; print ready; block", "environment: { PUBLIC: q }"),
			),
		})
		s.expect("[a] ready", "[b] ready")
		for name, want := range map[string][]string{
			"a": {"EMPTY=", "OWN=own", "PUBLIC=p", "SIDECAR_INIT_DAEMON=a", "TOKEN_A=secret-1", "TOKEN_B=secret-2"},
			"b": {"EMPTY=", "PUBLIC=q", "SIDECAR_INIT_DAEMON=b"},
		} {
			want = append(want, noAtexitSleep, "PATH="+tools()+":/usr/bin:/bin", "SIDECAR_INIT_CONTROL=off")
			slices.Sort(want)
			var got []string
			for _, line := range s.log() {
				if kv, ok := strings.CutPrefix(line, "["+name+"] "); ok && kv != "ready" {
					got = append(got, kv)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
			}
		}
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file))
			if err != nil {
				t.Skip(err) // not root
			}
			if strings.Contains(string(b), "secret-") {
				t.Errorf("%s of the supervisor has a private value", file)
			}
		}
		s.signal(syscall.SIGTERM)
		s.exit(0)
		for _, line := range s.log() {
			if strings.HasPrefix(line, "sidecar-init:") && strings.Contains(line, "secret-") {
				t.Errorf("logged: %s", line)
			}
		}
	})
}

// TestReadOnly: nothing need be writable.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make its root directory read-only")
	}
	// Beforehand, since /tmp is not there any more in what it becomes.
	bundle := "services: { a: { command: [/bin/sh, -c, 'echo ready; if echo x 2>/dev/null >/x; then echo wrong; fi; exec sleep 1000'] } }\n"
	r, w := pipe(t)
	w.WriteString(bundle)
	w.Close()
	s := start(t, call{place: asRoot, stage: "readonly", stdin: r, args: []string{"run", "-f", "-"}, env: []string{"SIDECAR_INIT_CONTROL="}})
	s.expect("[a] ready")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never(".*wrong")
	if n := s.count("sidecar-init: .*control.*"); n != 1 {
		t.Errorf("%d lines say that there is no control socket, want 1", n)
	}
}

// TestNoDev: in a root directory without /dev a daemon reads nothing all the same.
func TestNoDev(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can hide /dev")
	}
	s := start(t, call{place: asRoot, stage: "nodev", bundle: services(
		daemon("a", "fds; cat; print ready; block"),
		daemon("b", "fds; cat; print ready; block", "oom_score_adj: 10"), // by way of the shim
	)})
	s.expect("[a] fds 0 1 2", "[a] ready", "[b] fds 0 1 2", "[b] ready")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestAnyUser: it runs as a user that has no entry in /etc/passwd, and no home.
func TestAnyUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	s := start(t, call{
		place: subreaper, bundle: services(daemon("a", "uid; openstdout out; print ready; block"), daemon("b", "uid", `user: "1"`)),
		adapt: func(cmd *exec.Cmd) {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 4242, Gid: 4343}
			cmd.Dir = "/"
		},
	})
	s.expect("[a] uid 4242 gid 4343 groups ", "[a] out", "[a] ready")
	s.match(`sidecar-init: b cannot be started: \S+/testdaemon as user 1: operation not permitted`)
	s.signal(syscall.SIGTERM)
	s.exit(126)
}

// TestDaemonUser: a daemon of another user can still open /dev/stdout.
func TestDaemonUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	s := start(t, call{bundle: services(daemon("a", "uid; openstdout out; cwd", `user: "4242:4343"`, "working_dir: /usr"))})
	s.exit(0)
	s.expect("[a] uid 4242 gid 4343 groups ", "[a] out", "[a] cwd /usr")
}

// TestManyDaemons starts and stops a thousand, and says how long that took.
func TestManyDaemons(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds; -short is set")
	}
	const n = 1000
	s := start(t, call{program: shipped(), bundle: fmt.Sprintf("services: { a: { command: [/bin/sleep, '1000'], scale: %d } }\n", n)})
	begin := time.Now()
	pid := s.cmd.Process.Pid
	eventually(t, "all are started", func() bool { return s.count("sidecar-init: starting .*") == n })
	// The last one is executed a moment later; what counts is that each has been.
	eventually(t, "all run", func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		children := 0
		for _, task := range tasks {
			b, _ := os.ReadFile(task)
			children += len(strings.Fields(string(b)))
		}
		return children == n
	})
	started := time.Since(begin)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rss, _ := strings.Cut(string(status), "\nVmRSS:")
	rss, _, _ = strings.Cut(rss, "\n")
	at := s.signal(syscall.SIGTERM)
	s.exit(0)
	if got := s.count(`sidecar-init: a-\d+ exited with code -15 \(SIGTERM\)`); got != n {
		t.Errorf("%d deaths, want %d", got, n)
	}
	t.Logf("%d daemons: started in %v, stopped in %v, %d threads, RSS %s (%d CPUs)",
		n, started.Round(time.Millisecond), s.at.Sub(at).Round(time.Millisecond), len(tasks), strings.TrimSpace(rss), runtime.NumCPU())
	if len(tasks) > 50 {
		t.Errorf("%d threads", len(tasks))
	}
}
