//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// rounds is how often something that must leave nothing behind is done.
func rounds() int {
	if os.Getenv("SIDECAR_INIT_SOAK") != "" {
		return 10_000
	}
	return 300
}

// A footprint is what a process holds.
type footprint struct{ descriptors, threads, anonymous, goroutines int }

func footprintOf(t *testing.T, s *supervisor, c *client.Client) (f footprint) {
	t.Helper()
	f.descriptors = descriptors(t, s)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	number := func(text, key string) int {
		m := regexp.MustCompile(`(?m)^` + key + `:?\s+(\d+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no %s in\n%s", key, text)
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	f.threads, f.anonymous = number(string(status), "Threads"), number(string(status), "RssAnon")
	metrics, err := c.Metrics(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	f.goroutines = number(string(metrics), "go_goroutines")
	return f
}

// stayFlat does something again and again, and holds that the supervisor has nothing more of it at the end than after the first
// hundred times.
func stayFlat(t *testing.T, s *supervisor, c *client.Client, do func(i int)) {
	t.Helper()
	for i := range 100 {
		do(i)
	}
	before := footprintOf(t, s, c)
	begin := time.Now()
	n := rounds()
	for i := range n {
		do(100 + i)
	}
	took := time.Since(begin)
	var after footprint
	fine := func() bool {
		after = footprintOf(t, s, c)
		return after.descriptors <= before.descriptors+2 && after.goroutines <= before.goroutines+2 &&
			after.threads <= before.threads+4 && after.anonymous <= before.anonymous+2048
	}
	for begin := time.Now(); !fine() && time.Since(begin) < 10*time.Second; { // the last client has to be let go
		time.Sleep(50 * time.Millisecond)
	}
	if !fine() {
		t.Errorf("after %d rounds the supervisor has %+v, before %+v", n, after, before)
	}
	t.Logf("%d rounds in %v: %+v, then %+v", n, took.Round(time.Millisecond), before, after)
}

func TestReloadsStayFlat(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	file := filepath.Join(openDir(t), "bundle.yaml")
	// What changes: rules, a service that comes and goes, a signal route, a watch.
	version := func(i int) {
		extra := ""
		if i%2 == 1 {
			extra = "  guest: { command: [testdaemon, block], healthcheck: { test: [CMD, 'true'] }, x-sidecar-init: { watch: [{ path: " + file + ", action: signal, signal: HUP }] } }\n"
		}
		write(t, file, fmt.Sprintf("x-sidecar-init: { signals: { HUP: { forward: a } }, grace_period: %ds }\nservices:\n  a: { command: [testdaemon, block], stop_grace_period: %ds }\n%s",
			5+i%2, 1+i%2, extra))
	}
	version(0)
	s, path := controlled(t, call{program: shipped(), args: []string{"run", "-f", file}})
	c := client.New(path)
	waitReady(t, c)
	stayFlat(t, s, c, func(i int) {
		version(i + 1)
		if answer, err := c.Reload(context.Background(), client.ReloadOptions{}); err != nil || len(answer.Steps) != 3 {
			t.Fatalf("reload %d: %+v, %v", i, answer, err)
		}
	})
	s.signal(15)
	s.exit(0)
	if n := strings.Count(s.output(), "starting a\n"); n != 1 {
		t.Errorf("a has started %d times", n)
	}
}

func TestTransientStaysFlat(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	s, path := controlled(t, call{program: shipped(), bundle: "x-sidecar-init: { transient: { max: 2, ttl: 1h } }\n" + services(daemon("a", "block"))})
	c := client.New(path)
	waitReady(t, c)
	ctx := context.Background()
	stayFlat(t, s, c, func(i int) {
		name := fmt.Sprintf("dev%d", i) // each another one, so that nothing can be kept by name
		d, err := c.Add(ctx, name, client.Transient{Command: []string{"testdaemon", "block"}, Env: []string{"A=b"}})
		if err != nil || d.PID == 0 || !d.Transient || d.Expires == nil {
			t.Fatalf("add %d: %+v, %v", i, d, err)
		}
		if _, err := c.Remove(ctx, name); err != nil {
			t.Fatalf("remove %d: %v", i, err)
		}
	})
	s.signal(15)
	s.exit(0)
}
