//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigqueue sends a signal as sigqueue(3) does: not as kill(2), and a real-time one is not merged with those that wait.
func sigqueue(pid int, sig syscall.Signal) error {
	info := struct { // the beginning of siginfo_t, as for every 64-bit architecture
		signo, errno, code, _ int32
		pid, uid              int32
		rest                  [104]byte
	}{signo: int32(sig), code: -1, pid: int32(os.Getpid()), uid: int32(os.Getuid())} // SI_QUEUE
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(sig), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return errno
	}
	return nil
}

// TestFlood: some seconds of real-time signals, which queue, and SIGTERM is heard at once.
func TestFlood(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		inTime(t, 300*time.Millisecond, func() (time.Duration, error) {
			s := start(t, call{place: p, program: shipped(), bundle: services(daemon("a", "trap TERM { print bye; exit 0 }; print ready; block"))})
			s.expect("[a] ready")
			pid := s.cmd.Process.Pid
			sent := 0
			for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
				for sig := syscall.Signal(33); sig <= 64; sig++ {
					if sig == 34 {
						continue // ends every Go program that is not PID 1
					}
					if err := sigqueue(pid, sig); err == nil {
						sent++
					} else if err != syscall.EAGAIN { // RLIMIT_SIGPENDING
						return 0, fmt.Errorf("%v after %d signals", err, sent)
					}
				}
			}
			at := s.signal(syscall.SIGTERM)
			s.expect("[a] bye")
			took := time.Since(at)
			err := s.ends(0)
			s.never(".*RTMIN.*")
			return took, err
		})
	})
}

// TestSentFaults: the signals of faults do not end PID 1, however they are sent; and it still serves.
func TestSentFaults(t *testing.T) {
	t.Parallel()
	for _, p := range []place{asRoot, asNobody} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.require(t)
			s := start(t, call{place: p, bundle: routed("USR1: { restart: a }", daemon("a", "print ready; block"))})
			s.expect("[a] ready")
			for _, sig := range []syscall.Signal{syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSTKFLT, syscall.SIGSYS, syscall.SIGABRT} {
				if err := sigqueue(s.cmd.Process.Pid, sig); err != nil {
					t.Fatal(err)
				}
				s.signal(sig)
			}
			s.signal(syscall.SIGUSR1)
			s.expect("[a] ready")
			s.signal(syscall.SIGTERM)
			s.exit(0)
		})
	}
}

// TestRoutedShutdown: a route makes a signal real that is else passed over in silence, or dropped by the kernel.
func TestRoutedShutdown(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, tt := range []struct {
			sig  syscall.Signal
			name string
		}{{syscall.SIGWINCH, "SIGWINCH"}, {syscall.SIGCONT, "SIGCONT"}, {37, "SIGRTMIN+3"}, {syscall.SIGPWR, "SIGPWR"}, {syscall.SIGXFSZ, "SIGXFSZ"}, {syscall.SIGILL, "SIGILL"}} {
			s := start(t, call{place: p, bundle: routed(strings.TrimPrefix(tt.name, "SIG")+": { shutdown: true }",
				daemon("a", "trap TERM { print bye; exit 0 }; print ready; block"))})
			s.expect("[a] ready")
			s.signal(tt.sig)
			s.exit(0)
			s.expect("[a] bye", "sidecar-init: shutting down ("+tt.name+"); forwarding SIGTERM")
			if p.name != asRoot.name {
				break
			}
		}
	})
}

// TestDefaultDispositions: what the supervisor lets the kernel drop, a daemon has as by default: also one with a shim.
func TestDefaultDispositions(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		sh := func(name string, keys ...string) string {
			return "  " + name + ":\n    command: [sh, -c, 'grep -E \"Sig(Blk|Ign)\" /proc/self/status; echo done']\n" + strings.Join(keys, "")
		}
		s := start(t, call{place: p, bundle: services(sh("a"), sh("b", "    ulimits: { nofile: 100 }\n"))})
		s.exit(0)
		for _, name := range []string{"a", "b"} {
			s.expect("["+name+"] SigBlk:\t0000000000000000", "["+name+"] SigIgn:\t0000000000000000", "["+name+"] done")
		}
	})
}

// TestFileAtItsLimit: where stdout is a file that may not grow, each line would be answered with a signal, and that with a line.
func TestFileAtItsLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		out, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		s := start(t, call{place: p, program: shipped(), stdout: out, bundle: services(daemon("a", "touch "+dir+"/1; block"))})
		if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{}, nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a runs", func() bool { _, err := os.Stat(dir + "/1"); return err == nil })
		s.signal(syscall.SIGHUP) // a line that cannot be written
		before := cpu(t, s.cmd.Process.Pid)
		time.Sleep(500 * time.Millisecond) // the time is what is measured
		if used := cpu(t, s.cmd.Process.Pid) - before; used > 100*time.Millisecond {
			t.Errorf("used %v of CPU time in half a second", used)
		}
		s.signal(syscall.SIGTERM)
		if code := s.wait(); code != 0 {
			t.Errorf("exit code: got %d, want 0", code)
		}
	})
}

// TestBackgroundOfATerminal: with stty tostop who writes to the terminal from its background gets SIGTTOU, each time anew.
func TestBackgroundOfATerminal(t *testing.T) {
	t.Parallel()
	user, tty := terminal(t)
	dir := openDir(t)
	file := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(file, []byte(services(daemon("a", "touch "+dir+"/1; block"))), 0o644); err != nil {
		t.Fatal(err)
	}
	script := exec.Command("/bin/sh", "-c", `stty tostop; set -m; "$0" run -f "$1" & echo $! >"$2"; wait; echo over`, shipped(), file, dir+"/pid")
	script.Env = []string{"PATH=" + tools() + ":" + os.Getenv("PATH"), "SIDECAR_INIT_CONTROL=off"}
	script.Stdin, script.Stdout, script.SysProcAttr = tty, tty, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	onTerminal(script)
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	go io.Copy(io.Discard, user) // until the terminal is closed
	var pid int
	eventually(t, "a runs", func() bool {
		text, _ := os.ReadFile(dir + "/pid")
		_, err := os.Stat(dir + "/1")
		n, _ := fmt.Sscan(string(text), &pid)
		return n == 1 && err == nil
	})
	before := cpu(t, pid)
	time.Sleep(500 * time.Millisecond) // the time is what is measured
	if used := cpu(t, pid) - before; used > 100*time.Millisecond {
		t.Errorf("used %v of CPU time in half a second", used)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- script.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		syscall.Kill(pid, syscall.SIGKILL)
		script.Process.Kill()
		t.Error("does not end at SIGTERM")
	}
}

// cpu is the time that a process has used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// TestSquatter: a name that somebody else has made in /dev/shm does not take the control socket away.
func TestSquatter(t *testing.T) {
	t.Parallel()
	asNobody.require(t)
	s := start(t, call{
		place: asNobody, program: shipped(), stage: "squat", env: []string{"SIDECAR_INIT_CONTROL="},
		bundle: services(daemon("a", "print up; block"), daemon("b", "x", "entrypoint: [sh, -c, 'sidecar-init status a; rmdir /dev/shm/sidecar-init-*.sock 2>/dev/null; true']")),
	})
	s.match(`\[b\] a +(?:running|starting) .*`)
	s.match("sidecar-init: b exited with code 0; .*")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never(".*no control socket.*")
}

// TestStandstill: a supervisor that did not run while its deadline passed still kills, says its last words, and knows its code.
func TestStandstill(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		again(t, func() error { // on a machine that starves the last words can be lost: the time of the exit wins
			s := start(t, call{place: p, program: shipped(), args: []string{"--grace-period", "500ms"}, bundle: services(
				daemon("a", "ignore TERM; print ready; block"), daemon("b", "exit 3"))})
			s.expect("[a] ready", exited("b", "3"))
			s.signal(syscall.SIGTERM)
			s.expect("sidecar-init: shutting down (SIGTERM); forwarding SIGTERM")
			s.signal(syscall.SIGSTOP)
			time.Sleep(1200 * time.Millisecond) // past the deadline, and past the exit that follows it
			at := s.signal(syscall.SIGCONT)
			err := s.ends(3)
			// Before Linux 6.9 b's process group may still have been looked after when all stood still.
			for _, line := range []string{`sidecar-init: grace \(500ms\) elapsed; SIGKILL on a(?:, b)?`, "sidecar-init: record: code 3 from b .*killed: a(?:, b)?"} {
				if s.count(line) != 1 {
					err = errors.Join(err, fmt.Errorf("no line like %s", line))
				}
			}
			if took := s.at.Sub(at); took > 2*time.Second {
				err = errors.Join(err, fmt.Errorf("took %v", took))
			}
			return err
		})
	})
}

// TestFullOfProcesses: in a container that has nearly run out of pids it can still be asked how it is.
func TestFullOfProcesses(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("a", "print up; block"))})
	s.expect("[a] up")
	var cgroup string
	for _, base := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := filepath.Join(base, "sidecar-init-"+filepath.Base(openDir(t)))
		if os.Mkdir(dir, 0o755) == nil {
			t.Cleanup(func() { os.Remove(dir) })
			if os.WriteFile(filepath.Join(dir, "pids.max"), []byte("8"), 0) == nil {
				cgroup = dir
				break
			}
		}
	}
	if cgroup == "" {
		t.Skip("there is no writable cgroup with the pids controller")
	}
	for range 5 {
		for _, command := range []string{"status", "healthy", "logs", "version"} {
			ask := exec.Command("/bin/sh", "-c", `echo $$ >"$1"; shift; exec "$@"`, "sh", filepath.Join(cgroup, "cgroup.procs"), shipped(), command)
			ask.Env = []string{"SIDECAR_INIT_CONTROL=" + path}
			if out, err := ask.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}
