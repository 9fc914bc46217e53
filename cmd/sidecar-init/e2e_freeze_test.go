//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var freezes = flag.Int("freezes", 3, "how often TestFrozen freezes a bundle")

// A freezer lets nothing of a bundle run for a while.
type freezer struct {
	name string
	// make returns what freezes and thaws the process and all of its descendants, now and later.
	make func(t *testing.T, pid int) (freeze, thaw func())
}

// freezers are a cgroup, as with docker pause, and signals.
var freezers = []freezer{{"cgroup", freezeByCgroup}, {"SIGSTOP", freezeBySignal}}

func freezeByCgroup(t *testing.T, pid int) (freeze, thaw func()) {
	file, on, off, frozen := "cgroup.freeze", "1", "0", "frozen 1"
	state, top := "cgroup.events", "/sys/fs/cgroup"
	var fs unix.Statfs_t
	if err := unix.Statfs(top, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		file, on, off, frozen = "freezer.state", "FROZEN", "THAWED", "FROZEN"
		state, top = file, "/sys/fs/cgroup/freezer"
	}
	dir := filepath.Join(top, "sidecar-init-test-"+strconv.Itoa(pid))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("there is no cgroup that can be frozen: ", err)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // runs before that of the supervisor, which cannot be killed while it is frozen
		put(file, off)
		procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, p := range strings.Fields(string(procs)) {
			_ = os.WriteFile(filepath.Join(top, "cgroup.procs"), []byte(p), 0) // it may have ended
		}
		eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	for _, p := range family(pid) { // the supervisor first, so what it starts meanwhile is in it too
		err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(p)), 0)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	freeze = func() {
		begun := time.Now()
		eventually(t, "the cgroup is frozen", func() bool {
			// Again, since with version 1 freezing can get stuck on a task that was busy (cgroup-v1/freezer-subsystem.rst). One that waits in the
			// kernel for another, which is frozen already, is helped by thawing that only.
			if time.Since(begun) > time.Second {
				put(file, off)
				begun = time.Now()
			}
			put(file, on)
			text, err := os.ReadFile(filepath.Join(dir, state))
			return err == nil && strings.Contains(string(text), frozen)
		})
	}
	return freeze, func() { put(file, off) }
}

func freezeBySignal(_ *testing.T, pid int) (freeze, thaw func()) {
	others := func(sig syscall.Signal) {
		for _, p := range family(pid)[1:] {
			_ = syscall.Kill(p, sig)
		}
	}
	return func() {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // first, so that it starts nothing more
			others(syscall.SIGSTOP)
		}, func() {
			others(syscall.SIGCONT)
			_ = syscall.Kill(pid, syscall.SIGCONT) // last: its time must not pass while a daemon still cannot say anything
		}
}

// family is a process and its descendants.
func family(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			for _, p := range strings.Fields(string(text)) {
				if n, err := strconv.Atoi(p); err == nil && !slices.Contains(pids, n) {
					pids = append(pids, n)
				}
			}
		}
	}
	return pids
}

// TestFrozen: a container that is frozen, by docker pause or with the whole machine, loses no daemon when it is thawed: that
// nothing ran is nobody's fault. What really hangs is found afterwards as ever.
func TestFrozen(t *testing.T) {
	t.Parallel()
	for _, f := range freezers {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if prebuilt != "" { // an emulated machine starves its daemons, so that they really say nothing for so long
				again(t, func() error { return frozen(t, f) })
			} else if err := frozen(t, f); err != nil {
				t.Error(err)
			}
		})
	}
}

// frozen is TestFrozen with one freezer, once.
func frozen(t *testing.T, f freezer) error {
	file := filepath.Join(openDir(t), "well")
	writeFile(t, file, "")
	s := start(t, call{place: subreaper, bundle: services(
		daemon("watched", "pid; notify READY=1; forever { notify WATCHDOG=1; sleep 200ms }",
			ready("notify: sd"), "environment: { WATCHDOG_USEC: 700000 }"),
		daemon("probed", "block", fmt.Sprintf(
			"healthcheck: { test: [CMD, testdaemon, 'sleep 100ms; exec /bin/test -e %s'], interval: 300ms, timeout: 1500ms, retries: 1 }", file)))})
	s.expect("sidecar-init: watched is ready", "sidecar-init: probed is ready")
	watched, err := strconv.Atoi(s.match(`\[watched\] pid (\d+)`)[0])
	if err != nil {
		t.Fatal(err)
	}
	freeze, thaw := f.make(t, s.cmd.Process.Pid)
	for i := range *freezes {
		freeze()
		time.Sleep(2 * time.Second) // this is what is tested
		thaw()
		time.Sleep(time.Duration(100+i*37%400) * time.Millisecond) // so is this: a probe, and some words for the watchdog
	}
	if s.count(".*unhealthy.*")+s.count(".* exited .*") > 0 {
		err = errors.New("it was held against a daemon that nothing ran")
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.match("sidecar-init: probed is unhealthy.*")
	at := time.Now()
	if err := syscall.Kill(watched, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.expect("sidecar-init: watched is unhealthy: its watchdog heard nothing for 700ms")
	if took := time.Since(at); took < 400*time.Millisecond || took > 5*time.Second {
		err = errors.Join(err, fmt.Errorf("a watchdog of 700 ms, on a busy machine: took %v", took))
	}
	s.signal(syscall.SIGTERM)
	return errors.Join(err, s.ends(0))
}

// TestFrozenStop: a daemon that is frozen while it stops has its grace afterwards.
func TestFrozenStop(t *testing.T) {
	t.Parallel()
	for _, f := range freezers {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, call{place: subreaper, bundle: routed("USR1: { restart: db }",
				daemon("db", "trap TERM { print saving; burn 50ms; print saved; exit 0 }; print up; block", "stop_grace_period: 3s"))})
			s.expect("[db] up")
			freeze, thaw := f.make(t, s.cmd.Process.Pid)
			s.signal(syscall.SIGUSR1)
			s.expect("[db] saving")
			freeze()
			time.Sleep(4 * time.Second) // this is what is tested
			thaw()
			s.expect("[db] saved", "[db] up")
			s.never(".*SIGKILL")
			s.signal(syscall.SIGTERM)
			s.exit(0)
		})
	}
}

// TestFrozenShutdown: the deadline of the bundle is one by the clock. If it passes while nothing runs, the end comes at once
// afterwards, and in order.
func TestFrozenShutdown(t *testing.T) {
	t.Parallel()
	for _, f := range freezers {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			again(t, func() error { // on a machine that starves it may not be seen any more that it is dead: the time of the exit wins
				s := start(t, call{place: subreaper, args: []string{"--grace-period", "2s"}, bundle: services(
					daemon("db", "ignore TERM; print up; block"))})
				s.expect("[db] up")
				freeze, thaw := f.make(t, s.cmd.Process.Pid)
				s.signal(syscall.SIGTERM)
				s.expect("sidecar-init: shutting down (SIGTERM); forwarding SIGTERM")
				freeze()
				time.Sleep(4 * time.Second) // this is what is tested
				thaw()
				said := []string{"sidecar-init: grace (2s) elapsed; SIGKILL on db"}
				if prebuilt == "" { // an emulated machine is too slow to see it
					said = append(said, "sidecar-init: db exited with code -9 (SIGKILL)")
				}
				return errors.Join(s.ends(0), s.said(said...))
			})
		})
	}
}

// TestStopsByItself: a daemon that says so has its grace to do it.
func TestStopsByItself(t *testing.T) {
	t.Parallel()
	s := start(t, call{place: subreaper, bundle: services(
		daemon("hangs", "notify READY=1; notify STOPPING=1; block",
			ready("notify: sd"), "restart: on-failure:1", "stop_grace_period: 200ms"),
		daemon("ends", "notify READY=1; notify STOPPING=1; sleep 100ms; exit 0", ready("notify: sd"), "restart: on-failure"))})
	s.expect("sidecar-init: hangs did not exit within 200ms of STOPPING=1; SIGKILL", "sidecar-init: hangs did not exit within 200ms of STOPPING=1; SIGKILL")
	s.match(`sidecar-init: hangs exited with code -9 \(SIGKILL\); restarting in .*`)
	s.match(`sidecar-init: hangs exited with code -9 \(SIGKILL\); giving up after 1 restarts in .*`)
	s.match(`sidecar-init: ends exited with code 0; .*`)
	s.exit(0)
}
