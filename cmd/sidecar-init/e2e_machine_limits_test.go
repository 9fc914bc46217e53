//go:build linux && vm

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// Limits by control groups, on a machine where these are ours.

const quick = "x-sidecar-init: { backoff: { initial: 300ms, max: 300ms } }"

// TestLimitMemory: a daemon that takes memory without bound dies alone, as a whole, is told to have been killed by the OOM killer, and
// starts again by its policy. The supervisor undoes its groups.
func TestLimitMemory(t *testing.T) {
	machine(t)
	dir := makeCgroup(t, nil)
	s, path := controlled(t, in(dir, call{program: shipped(), bundle: services(
		daemon("web", "print up; block", "mem_limit: 64m"),
		daemon("free", "print up; block"),
		daemon("glutton", "fork { print helper; block }; print up; sleep 300ms; alloc 1GiB; block", "mem_limit: 48m", "restart: on-failure:2", quick))}))
	s.expect("[web] up", "[free] up")
	c := client.New(path)
	before := pids(t, c)
	for range 2 {
		s.expect("[glutton] helper", "[glutton] up")
		s.match(`sidecar-init: glutton exited with code -9 \(SIGKILL\); restarting in .*; the kernel's OOM killer`)
	}
	s.match(`sidecar-init: glutton exited with code -9 \(SIGKILL\); giving up .*; the kernel's OOM killer`)
	after := pids(t, c)
	for _, name := range []string{"web", "free"} {
		if before[name] == 0 || after[name] != before[name] {
			t.Errorf("%s: its PID was %d, is %d", name, before[name], after[name])
		}
	}
	if text := fetch(t, path, "/metrics"); !strings.Contains(text, `sidecar_init_daemon_oom_kills_total{daemon="glutton"} 3`) ||
		!strings.Contains(text, `sidecar_init_daemon_memory_limit_bytes{daemon="web"} 67108864`) {
		t.Errorf("metrics:\n%s", text)
	}
	all, err := c.Daemons(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if g := all[0].Cgroup; g == nil || g.MemoryLimit != 64<<20 || g.Processes < 1 || all[0].RSS == 0 {
		t.Errorf("web: got %+v, RSS %d", g, all[0].RSS)
	}
	if all, err = c.Daemons(t.Context(), "free"); err != nil || all[0].Cgroup != nil {
		t.Errorf("free, which has no limit: got %+v, %v", all[0].Cgroup, err)
	}
	s.signal(syscall.SIGTERM)
	s.exit(137)
	if left, err := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs")); err != nil || len(left) > 0 {
		t.Errorf("groups are left: %v, %v", left, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); err != nil || strings.TrimSpace(string(text)) != "" {
		t.Errorf("controllers are left: %q, %v", text, err)
	}
}

func pids(t *testing.T, c *client.Client) map[string]int {
	t.Helper()
	all, err := c.Daemons(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]int{}
	for i := range all {
		by[all[i].Name] = all[i].PID
	}
	return by
}

// TestLimitPids: a fork bomb stays in its limit, while PID 1 starts others.
func TestLimitPids(t *testing.T) {
	machine(t)
	s, path := controlled(t, in(makeCgroup(t, nil), call{program: shipped(), bundle: services(
		daemon("bomb", "x", "entrypoint: [/bin/sh, -c, 'while :; do (sleep 1000 &); done']", "pids_limit: 20", "restart: always"),
		daemon("web", "print up; block", "restart: always", quick))}))
	s.expect("[web] up")
	c := client.New(path)
	eventually(t, "the bomb is at its limit", func() bool {
		all, err := c.Daemons(t.Context(), "bomb")
		return err == nil && all[0].Cgroup != nil && all[0].Cgroup.Processes >= 18
	})
	for range 3 {
		if _, err := c.Signal(t.Context(), "web", "KILL"); err != nil {
			t.Fatal(err)
		}
		s.expect("[web] up")
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestLimitEscapes: who has left the parents, the session and the process group ends with a stop, and is gone before the next start.
func TestLimitEscapes(t *testing.T) {
	machine(t)
	s, path := controlled(t, in(makeCgroup(t, nil), call{program: shipped(), bundle: services(
		daemon("back", "setsid { ignore TERM; fork { ignore TERM; pid; print away; block }; exit 0 }; trap TERM exit 0; print up; block", "pids_limit: 50", "restart: always", quick),
		daemon("kept", "setsid { print away; block }; trap TERM exit 0; print up; block", "pids_limit: 50", "x-sidecar-init: { kill_mode: process }"))}))
	alive := func(pid string) bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/proc/%s", s.cmd.Process.Pid, pid))
		return err == nil
	}
	escaped := func() string {
		pid := s.match(`\[back\] pid (\d+)`)[0]
		s.expect("[back] away", "[back] up")
		return pid
	}
	first := escaped()
	c := client.New(path)
	if _, err := c.Signal(t.Context(), "back", "KILL"); err != nil {
		t.Fatal(err)
	}
	second := escaped()
	if alive(first) {
		t.Error("a process of the last life is there after the start of the next")
	}
	if _, err := c.Stop(t.Context(), "back"); err != nil {
		t.Fatal(err)
	}
	if alive(second) {
		t.Error("a process is there after the stop of its daemon")
	}
	s.expect("[kept] away", "[kept] up")
	if _, err := c.Stop(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Start(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	s.expect("[kept] away", "[kept] up")
	all, err := c.Daemons(t.Context(), "kept")
	if err != nil || all[0].Cgroup == nil || all[0].Cgroup.Processes < 3 {
		t.Errorf("with kill_mode: process the one that has left lives on: got %+v, %v", all, err)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestPause: a daemon that is paused does nothing and fails no check, with one under way and a watchdog; a stop thaws it first.
func TestPause(t *testing.T) {
	machine(t)
	file := filepath.Join(openDir(t), "well")
	writeFile(t, file, "")
	probe := fmt.Sprintf("healthcheck: { test: [CMD, testdaemon, 'append %s.log probe; sleep 200ms; exec /bin/test -e %s'], interval: 300ms, timeout: 1s, retries: 1 }", file, file)
	s, path := controlled(t, in(makeCgroup(t, nil), call{program: shipped(), bundle: services(
		daemon("web", "trap TERM { print bye; exit 0 }; trap HUP print hup; print up; block", "mem_limit: 64m", probe),
		daemon("watched", "notify READY=1; forever { notify WATCHDOG=1; print tick; sleep 200ms }", "pids_limit: 30", ready("notify: sd"), "environment: { WATCHDOG_USEC: 700000 }"),
		daemon("free", "print up; block"))}))
	s.expect("[web] up", "sidecar-init: web is ready", "sidecar-init: watched is ready")
	c := client.New(path)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 5 {
		for _, name := range []string{"web", "watched"} {
			all, err := c.Pause(ctx, name)
			if err != nil || len(all) != 1 || all[0].State != client.StatePaused || all[0].Ready {
				t.Fatalf("pause %s: got %+v, %v", name, all, err)
			}
		}
		if h, err := c.Healthy(ctx); err != nil || h.Healthy || len(h.Problems) != 2 {
			t.Errorf("healthy with two that are paused: got %+v, %v", h, err)
		}
		if _, err := c.Signal(ctx, "web", "HUP"); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second) // this is what is tested
		for _, name := range []string{"web", "watched"} {
			all, err := c.Unpause(ctx, name)
			if err != nil || all[0].State != client.StateReady {
				t.Fatalf("unpause %s: got %+v, %v", name, all, err)
			}
		}
		s.expect("[web] hup")
		time.Sleep(500 * time.Millisecond) // for a probe and some words for the watchdog
	}
	s.never(".*unhealthy.*")
	s.never(`\[web\] bye`)
	if _, err := c.Pause(ctx, "free"); err == nil || !strings.Contains(err.Error(), "free cannot be paused: it has no control group of its own") {
		t.Errorf("a daemon without a limit: got %v", err)
	}
	if _, err := c.Pause(ctx, "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stop(ctx, "web"); err != nil {
		t.Fatal(err)
	}
	s.expect("[web] bye") // it was asked, not killed
	if _, err := c.Pause(ctx, "web"); err == nil || !strings.Contains(err.Error(), "web cannot be paused: it does not run") {
		t.Errorf("a daemon that was stopped: got %v", err)
	}
	if _, err := c.Start(ctx, "web"); err != nil {
		t.Fatal(err)
	}
	s.expect("[web] up")
	if _, err := c.Pause(ctx, "web"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	s.expect("[web] bye")
	s.exit(0)
}

// TestLimitCPUs: half of a processor is half of one.
func TestLimitCPUs(t *testing.T) {
	machine(t)
	s, path := controlled(t, in(makeCgroup(t, nil), call{program: shipped(), bundle: services(
		daemon("busy", "print up; burn 1000s", "cpus: 0.5"))}))
	s.expect("[busy] up")
	c := client.New(path)
	used := func() (float64, float64) {
		all, err := c.Daemons(t.Context(), "busy")
		if err != nil {
			t.Fatal(err)
		}
		if all[0].Cgroup == nil {
			t.Fatal("it has no control group")
		}
		return all[0].CPU, all[0].Cgroup.Throttled
	}
	before, begin := 0.0, time.Now()
	before, _ = used()
	time.Sleep(5 * time.Second) // this is measured
	after, throttled := used()
	share := (after - before) / time.Since(begin).Seconds()
	t.Logf("%.3f of a processor, throttled %.1f s", share, throttled)
	if share > 0.6 || share < 0.2 || throttled == 0 {
		t.Errorf("cpus 0.5: got %.3f of a processor, throttled %.1f s", share, throttled)
	}
	s.signal(syscall.SIGTERM)
	s.wait()
}

// TestLimitReload: a reload changes limits, gives a daemon its first and takes the last, also where nobody had any at the start.
func TestLimitReload(t *testing.T) {
	machine(t)
	dir := makeCgroup(t, nil)
	file := filepath.Join(openDir(t), "compose.yaml")
	write := func(web, worker string) {
		writeFile(t, file, services(daemon("web", "print up; block", web), daemon("worker", "print up; block", worker), daemon("other", "block")))
	}
	write("attach: true", "attach: true")
	s, path := controlled(t, in(dir, call{program: shipped(), args: []string{"run", "-f", file}}))
	s.expect("[web] up", "[worker] up")
	c := client.New(path)
	other := pids(t, c)["other"]
	limit := func(name string) int64 {
		all, err := c.Daemons(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if all[0].Cgroup == nil {
			return -1
		}
		return all[0].Cgroup.MemoryLimit
	}
	for _, step := range []struct {
		web, worker string
		want        [2]int64
		restarted   []string
	}{
		{"mem_limit: 64m", "attach: true", [2]int64{64 << 20, -1}, []string{"web"}},
		{"mem_limit: 80m", "pids_limit: 50", [2]int64{80 << 20, 0}, []string{"web", "worker"}},
		{"mem_limit: 80m", "mem_limit: 1m", [2]int64{80 << 20, 1 << 20}, nil},
		{"attach: true", "mem_limit: 64m", [2]int64{-1, 64 << 20}, []string{"web", "worker"}},
	} {
		write(step.web, step.worker)
		_, err := c.Reload(t.Context(), client.ReloadOptions{})
		if err != nil && step.restarted != nil {
			t.Fatal(err)
		}
		for _, name := range step.restarted {
			s.expect("[" + name + "] up")
		}
		if step.restarted == nil { // it cannot live with so little
			s.match("sidecar-init: warning: " + file + `:\d+:\d+: worker uses .* of memory now, and may have 1.0M when it is started anew`)
			continue
		}
		if got := [2]int64{limit("web"), limit("worker")}; got != step.want {
			t.Errorf("%s; %s: got the limits %v, want %v", step.web, step.worker, got, step.want)
		}
	}
	if now := pids(t, c)["other"]; now != other {
		t.Error("a daemon whose definition is the same was restarted")
	}
	s.signal(syscall.SIGTERM)
	s.wait()
}

// TestLimitsElsewhere: with processes of others in the group nothing is touched, and a line says so; required is exit code 78.
func TestLimitsElsewhere(t *testing.T) {
	machine(t)
	dir := makeCgroup(t, nil)
	other := start(t, in(dir, call{program: shipped(), bundle: services(daemon("web", "print up; block"))}))
	other.expect("[web] up")
	bundle := services(daemon("web", "print up; block", "mem_limit: 64m"))
	s := start(t, in(dir, call{program: shipped(), bundle: bundle}))
	s.match("sidecar-init: warning: the limits of web do not hold: " + dir + " has processes that are not the supervisor's. They take a writable cgroup v2: docker run --security-opt writable-cgroups=true, .*")
	s.expect("[web] up")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s = start(t, in(dir, call{program: shipped(), bundle: "x-sidecar-init: { limits: required }\n" + bundle}))
	if code := s.wait(); code != exitConfig {
		t.Errorf("limits: required: got exit code %d, want %d", code, exitConfig)
	}
	s.never(`\[web\] up`)
	other.signal(syscall.SIGTERM)
	other.exit(0)
}
