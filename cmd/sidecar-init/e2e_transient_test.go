//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// TestAddAtOnce: of many who add one name one gets it, and together they never get more than the bundle allows.
func TestAddAtOnce(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: "x-sidecar-init: { transient: { max: 3 } }\n" + services(daemon("a", "block"))})
	c := client.New(path)
	waitReady(t, c)
	for _, tt := range []struct {
		name    func(i int) string
		added   int32
		refused int
	}{
		{func(int) string { return "one" }, 1, http.StatusConflict},
		{func(i int) string { return fmt.Sprintf("dev%d", i) }, 2, http.StatusTooManyRequests},
	} {
		var added atomic.Int32
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				_, err := c.Add(context.Background(), tt.name(i), client.Transient{Command: []string{"testdaemon", "block"}})
				var refused *client.Error
				switch {
				case err == nil:
					added.Add(1)
				case !errors.As(err, &refused) || refused.Status != tt.refused:
					t.Errorf("%s: got %v, want status %d", tt.name(i), err, tt.refused)
				}
			})
		}
		if group.Wait(); added.Load() != tt.added {
			t.Errorf("%s: %d were added, want %d", tt.name(0), added.Load(), tt.added)
		}
	}
	s.signal(15)
	s.exit(0)
}

// TestTransientTime: what has a time to live ends with all that it has started, and its name is free again.
func TestTransientTime(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: "x-sidecar-init: { transient: { ttl: 300ms } }\n" + services(daemon("a", "block"))})
	c := client.New(path)
	waitReady(t, c)
	for i := range 2 {
		begin := time.Now()
		d, err := c.Add(context.Background(), "dev", client.Transient{Command: []string{"/bin/sh", "-c", fmt.Sprintf("(trap 'echo child%d ends; exit' TERM; echo child%d; sleep 1000 & wait) & wait", i, i)}})
		if err != nil || d.Expires == nil || d.Expires.After(time.Now().Add(300*time.Millisecond)) {
			t.Fatalf("got %+v, %v", d, err)
		}
		s.expect(fmt.Sprintf("[dev] child%d", i), fmt.Sprintf("[dev] child%d ends", i))
		eventually(t, "dev is gone", func() bool {
			all, err := c.Daemons(context.Background())
			return err == nil && len(all) == 1
		})
		if took := time.Since(begin); took < 300*time.Millisecond {
			t.Errorf("gone after %v", took)
		}
	}
	if got := s.count(`sidecar-init: dev: its time \(300ms\) is over; removing`); got != 2 {
		t.Errorf("got %d lines, want 2\n%s", got, s.output())
	}
	s.signal(15)
	s.exit(0)
}

// TestAddsWhileShuttingDown: a shutdown wins over clients that add and remove, and leaves none of their daemons behind.
func TestAddsWhileShuttingDown(t *testing.T) {
	t.Parallel()
	for i := range 5 {
		s, path := controlled(t, call{bundle: "x-sidecar-init: { transient: { ttl: 20ms }, grace_period: 2s }\n" + services(daemon("a", "block"))})
		c := client.New(path)
		waitReady(t, c)
		var group sync.WaitGroup
		var under atomic.Int32
		for k := range 8 {
			group.Go(func() {
				for n := 0; ; n++ {
					name := fmt.Sprintf("dev%d-%d", k, n)
					_, err := c.Add(context.Background(), name, client.Transient{Command: []string{"testdaemon", "block"}})
					under.Add(1)
					var answer *client.Error
					if err != nil && (!errors.As(err, &answer) || answer.Status == http.StatusServiceUnavailable) {
						return // it shuts down, or has ended
					}
					if n%2 == 0 {
						_, _ = c.Remove(context.Background(), name) // or its time is over before
					}
				}
			})
		}
		eventually(t, "they add", func() bool { return under.Load() > 20 })
		time.Sleep(time.Duration(i) * 3 * time.Millisecond) // another moment each time
		begin := s.signal(15)
		s.exit(0)
		if took := time.Since(begin); took > 2300*time.Millisecond {
			t.Errorf("the shutdown took %v", took)
		}
		group.Wait()
		if lines := s.log(); !strings.HasPrefix(lines[len(lines)-1], "sidecar-init: exit 0") {
			t.Errorf("the last line is %q", lines[len(lines)-1])
		}
	}
}

// TestTransientCounts: while it is there a daemon that was added counts for healthy and the exit code as others do, unless that
// comes from another one; it never ends the bundle, and counts for nothing when it was removed.
func TestTransientCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		keys   string
		remove bool
		code   int
	}{
		{"", false, 7},
		{"", true, 0},
		{", exit_code_from: a", false, 0},
	} {
		s, path := controlled(t, call{bundle: "x-sidecar-init: { transient: {}" + tt.keys + " }\n" + services(daemon("a", "block"))})
		c := client.New(path)
		waitReady(t, c)
		ctx := context.Background()
		if _, err := c.Add(ctx, "dev", client.Transient{Command: []string{"/bin/sh", "-c", "exit 7"}}); err != nil {
			t.Fatal(err)
		}
		s.match("sidecar-init: dev exited with code 7; .*")
		// The line is written before root hears of the end.
		eventually(t, "healthy tells of dev", func() bool {
			h, err := c.Healthy(ctx)
			return err == nil && !h.Healthy && len(h.Problems) == 1 && h.Problems[0].Name == "dev"
		})
		if tt.remove {
			if _, err := c.Remove(ctx, "dev"); err != nil {
				t.Fatal(err)
			}
			if h, err := c.Healthy(ctx); err != nil || !h.Healthy {
				t.Errorf("after remove: got %+v, %v", h, err)
			}
		}
		s.signal(15)
		s.exit(tt.code)
	}
}

// TestStartAtFirstVersion: a supervisor of the first version knows no bundle that changes, and start works there as it did.
func TestStartAtFirstVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(openDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{}, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /v1/daemons":
			_, _ = io.WriteString(w, `[{"name":"web","state":"stopped"}]`)
		case "GET /v1/daemons/web":
			_, _ = io.WriteString(w, `{"name":"web","state":"stopped"}`)
		case "POST /v1/daemons/web/start":
			started <- struct{}{}
			_, _ = io.WriteString(w, `{"name":"web","state":"running","pid":7}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":"there is no such path"}`)
		}
	})}
	go server.Serve(l) //nolint:errcheck // it ends by Close
	defer server.Close()
	out, err := exec.Command(shipped(), "start", "--control", path, "web").CombinedOutput()
	if want := "web started (pid 7)\n"; err != nil || string(out) != want || len(started) != 1 {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

// TestTransientIsTheLast: when the bundle's own daemons have ended one that was added keeps it alive, and no longer: by hand, when its
// time is over, and when it ends by itself, also after a reload.
func TestTransientIsTheLast(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ttl, script string
		remove      bool
	}{
		"removed": {script: "exec sleep 1000", remove: true},
		"ttl":     {ttl: "300ms", script: "exec sleep 1000"},
		"itself":  {script: "sleep 0.3"},
	} {
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reload %v", name, reload), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(openDir(t), "bundle.yaml")
				write(t, file, "x-sidecar-init: { transient: {} }\n"+services(daemon("a", "block")))
				s, path := controlled(t, call{args: []string{"run", "-f", file}})
				c, ctx := client.New(path), context.Background()
				waitReady(t, c)
				if _, err := c.Add(ctx, "dev", client.Transient{Command: []string{"/bin/sh", "-c", tt.script}, TTL: tt.ttl}); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Signal(ctx, "a", "KILL"); err != nil {
					t.Fatal(err)
				}
				s.match("sidecar-init: a exited with code -9 .*")
				if reload {
					_, _ = c.Reload(ctx, client.ReloadOptions{}) // the bundle may have ended before
				}
				if tt.remove {
					var answer *client.Error
					if _, err := c.Remove(ctx, "dev"); errors.As(err, &answer) && answer.Status != 503 { // without an answer it has ended before it gave one
						t.Errorf("Remove: got %v, want no answer, nil, or that the supervisor has ended", err)
					}
				}
				s.exit(137)
			})
		}
	}
}
