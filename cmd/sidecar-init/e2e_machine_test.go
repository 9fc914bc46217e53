//go:build linux && vm

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/client"
)

// These tests need a machine of their own: they set its clock, and use cgroups that belong to nobody else. None is parallel, so
// that no other test runs meanwhile. A limit on time has room for a machine that is emulated.

// machine refuses any machine but those of `make test-vm`.
func machine(t *testing.T) {
	t.Helper()
	if prebuilt == "" {
		t.Fatal("this would set the clock: run it by make test-vm")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can set clocks and make cgroups")
	}
}

// between fails the test unless a time is as long as it should be.
func between(t *testing.T, what string, took, low, high time.Duration) {
	t.Helper()
	if took < low || took > high {
		t.Errorf("%s: took %v, want %v to %v", what, took.Round(time.Millisecond), low, high)
	}
}

// step sets the clock forward, or back.
func step(t *testing.T, by time.Duration) {
	t.Helper()
	tv := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&tv); err != nil {
		t.Fatal(err)
	}
}

// TestClock: what the clock says is nothing to backoffs, graces and probes.
func TestClock(t *testing.T) {
	machine(t)
	const year = 365 * 24 * time.Hour
	s := start(t, call{bundle: routed("USR1: { restart: deaf }",
		daemon("crash", "print up; exit 3", "restart: always", "x-sidecar-init: { backoff: { initial: 2s, max: 2s } }"),
		daemon("deaf", "ignore TERM; print up; block", "stop_grace_period: 3s"),
		daemon("web", "print up; block", "healthcheck: { test: [CMD, test, -e, /], interval: 300ms, timeout: 20s, retries: 1 }"))})
	s.expect("[deaf] up", "sidecar-init: web is ready")
	for _, by := range []time.Duration{10 * year, -20 * year, 10 * year} {
		s.expect("[crash] up")
		s.match("sidecar-init: crash exited with code 3; restarting in .*")
		crashed := time.Now() // which has the monotonic clock too, and Since uses that
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: restarting deaf")
		asked := time.Now()
		step(t, by)
		s.expect("[crash] up")
		between(t, "a backoff of 2 s", time.Since(crashed), 1500*time.Millisecond, 12*time.Second)
		s.expect("sidecar-init: deaf did not exit within 3s of SIGTERM; SIGKILL")
		between(t, "a grace of 3 s", time.Since(asked), 2500*time.Millisecond, 13*time.Second)
		s.expect("[deaf] up")
	}
	at := s.signal(syscall.SIGTERM)
	step(t, 10*year)
	s.exit(3)
	step(t, -10*year)
	between(t, "a shutdown with a grace of 3 s", s.at.Sub(at), 2500*time.Millisecond, 13*time.Second)
	s.never(".*unhealthy.*")
}

// makeCgroup makes one, with what its files are to say, and returns its directory. It goes when the test ends.
func makeCgroup(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join("/sys/fs/cgroup", t.Name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	for name, text := range files {
		setCgroup(t, dir, name, text)
	}
	return dir
}

func setCgroup(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// in is the place of a supervisor that is in a cgroup from the start.
func in(cgroup string, c call) call {
	c.stage, c.env = "cgroup", append(c.env, "CGROUP="+cgroup)
	return c
}

// TestFreeze: a container that is frozen, by docker pause or with the whole machine, loses no daemon when it is thawed: the time
// in which nothing ran is nobody's fault. What really hangs is found afterwards as ever.
func TestFreeze(t *testing.T) {
	machine(t)
	dir := makeCgroup(t, nil)
	file := filepath.Join(openDir(t), "well")
	writeFile(t, file, "")
	probe := fmt.Sprintf("healthcheck: { test: [CMD, testdaemon, 'sleep 100ms; exec /bin/test -e %s'], interval: 300ms, timeout: 1500ms, retries: 1 }", file)
	s, path := controlled(t, in(dir, call{bundle: services(
		daemon("watched", "notify READY=1; forever { notify WATCHDOG=1; sleep 200ms }",
			ready("notify: sd"), "environment: { WATCHDOG_USEC: 700000 }"),
		daemon("probed", "block", probe))}))
	s.expect("sidecar-init: watched is ready", "sidecar-init: probed is ready")
	for range 20 {
		setCgroup(t, dir, "cgroup.freeze", "1")
		eventually(t, "the cgroup is frozen", func() bool {
			text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
			return err == nil && strings.Contains(string(text), "frozen 1")
		})
		time.Sleep(2 * time.Second) // this is what is tested
		setCgroup(t, dir, "cgroup.freeze", "0")
		time.Sleep(500 * time.Millisecond) // so is this: a probe, and some words for the watchdog
	}
	s.never(".*unhealthy.*")
	s.never(".* exited .*")

	at := time.Now()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.match("sidecar-init: probed is unhealthy.*")
	between(t, "a probe each 300 ms", time.Since(at), 0, 5*time.Second)
	at = time.Now()
	if _, err := client.New(path).Signal(t.Context(), "watched", "STOP"); err != nil {
		t.Fatal(err)
	}
	s.expect("sidecar-init: watched is unhealthy: its watchdog heard nothing for 700ms")
	between(t, "a watchdog of 700 ms", time.Since(at), 300*time.Millisecond, 5*time.Second)
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestPidsMax: where nothing can be started the supervisor lives, and goes on when something can.
func TestPidsMax(t *testing.T) {
	machine(t)
	dir := makeCgroup(t, nil)
	s, path := controlled(t, in(dir, call{program: shipped(), bundle: services(
		daemon("web", "print up; block"),
		daemon("back", "print up; block", "restart: always", "x-sidecar-init: { backoff: { initial: 300ms, max: 300ms } }"))}))
	s.expect("[web] up", "[back] up")
	setCgroup(t, dir, "pids.max", "1")
	c := client.New(path)
	if _, err := c.Signal(t.Context(), "back", "KILL"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.match("sidecar-init: back cannot be started: .*resource temporarily unavailable.*")
	}
	if d, err := c.Daemons(t.Context(), "web"); err != nil || len(d) != 1 || d[0].State != client.StateRunning {
		t.Errorf("web, which needs nothing: got %+v, %v, want that it runs", d, err)
	}
	setCgroup(t, dir, "pids.max", "max")
	s.expect("[back] up")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestMemoryMax: the daemon that the kernel kills for its memory is restarted, the others live, and the log says what it was.
func TestMemoryMax(t *testing.T) {
	machine(t)
	dir := makeCgroup(t, map[string]string{"memory.max": strconv.Itoa(150 << 20)})
	s := start(t, in(dir, call{program: shipped(), bundle: services(
		daemon("web", "print up; block"),
		daemon("glutton", "print up; sleep 300ms; alloc 1GiB; block", "oom_score_adj: 1000", "restart: on-failure:3",
			"x-sidecar-init: { backoff: { initial: 300ms, max: 300ms } }"))}))
	s.expect("[web] up")
	for range 2 {
		s.expect("[glutton] up")
		s.match(`sidecar-init: glutton exited with code -9 \(SIGKILL\); restarting in .*; the kernel's OOM killer`)
	}
	s.never(`sidecar-init: web exited.*`)
	s.signal(syscall.SIGTERM)
	s.wait()
}

// TestGroupOfKernel: from Linux 6.9 on a signal reaches a process group through a pidfd, before that it does not; what becomes of
// a group is the same.
func TestGroupOfKernel(t *testing.T) {
	machine(t)
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const group = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	want := major > 6 || major == 6 && minor >= 9
	// This process need not lead a group, which is another error.
	if err := unix.PidfdSendSignal(fd, 0, nil, group); errors.Is(err, unix.EINVAL) == want {
		t.Fatalf("a signal to a group through a pidfd on %s: got %v, want that it is supported: %t", release, err, want)
	}

	file := filepath.Join(openDir(t), "lives")
	s, path := controlled(t, call{bundle: services(
		daemon("slow", "fork { trap TERM { sleep 500ms; print finished; exit 0 }; print up; block }; trap TERM exit 0; block"),
		daemon("deaf", "fork { ignore TERM; print up; pid; block }; trap TERM exit 0; block", "stop_grace_period: 1s"),
		daemon("left", "fork { print up; waitfile "+file+"; print 'still here'; block }; exit 0"))})
	s.expect("[slow] up", "[deaf] up", "[left] up")
	member := s.match(`\[deaf\] pid (\d+)`)[0]
	s.expect(exited("left", "0"))
	writeFile(t, file, "")
	s.expect("[left] still here") // the end of its leader was none of its business

	c := client.New(path)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Stop(ctx, "slow"); err != nil {
		t.Fatal(err)
	}
	s.expect("[slow] finished")
	at := time.Now()
	if _, err := c.Stop(ctx, "deaf"); err != nil {
		t.Fatal(err)
	}
	between(t, "the stop of a group with a deaf member, and a grace of 1 s", time.Since(at), 800*time.Millisecond, 8*time.Second)
	// A member that is dead and not collected yet has left the group as far as a stop is concerned.
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/root/proc/%s/stat", s.cmd.Process.Pid, member))
	if _, fields, _ := strings.Cut(string(stat), ") "); fields != "" && !strings.ContainsAny(fields[:1], "ZX") {
		t.Errorf("the deaf member is alive: %s", stat)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}
