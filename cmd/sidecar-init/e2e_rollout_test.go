//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// A roller is a bundle in which web has three replicas, and whose file changes.
type roller struct {
	*supervisor
	client *client.Client
	file   string
	config string // of the update
	rest   string // other services
}

// startRoller starts the first version of web. A version that begins with bad is never ready, nor is that of web-1 alone if it
// begins with one; of late the replicas end after they were ready.
func startRoller(t *testing.T, config, rest string) *roller {
	t.Helper()
	rest += "  other: { command: [testdaemon, block] }\n"
	r := &roller{file: filepath.Join(openDir(t), "bundle.yaml"), config: config, rest: rest}
	r.become(t, "v1")
	s, path := controlled(t, call{args: []string{"run", "-f", r.file}})
	r.supervisor, r.client = s, client.New(path)
	waitReady(t, r.client)
	eventually(t, "all are up", func() bool { return len(r.lives()) == 3 }) // a daemon is ready before its line is written
	return r
}

func (r *roller) become(t *testing.T, version string) {
	t.Helper()
	write(t, r.file, fmt.Sprintf(`services:
  web:
    command:
      - sh
      - -c
      - |
        case $$VERSION-$$SIDECAR_INIT_DAEMON in
          bad*|one*-web-1) exit 3 ;;
          late*) exec testdaemon "print up late; sleep 300ms; exit 4" ;;
        esac
        exec testdaemon "trap TERM { print down; exit 0 }; print up $$VERSION; block"
    environment: { VERSION: %s }
    scale: 3
    deploy: { update_config: %s }
    x-sidecar-init: { ready: { log: ^up, timeout: 20s } }
%s`, version, r.config, r.rest))
}

// reload reloads, and returns the answer with the text of the error.
func (r *roller) reload(t *testing.T) (client.Reload, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := r.client.Reload(ctx, client.ReloadOptions{})
	if err == nil {
		return answer, ""
	}
	var refused *client.Error
	if !errors.As(err, &refused) {
		t.Fatalf("the reload: %v", err)
	}
	return answer, refused.Message
}

// pids are those of the three replicas.
func (r *roller) pids(t *testing.T) (pids [3]int) {
	t.Helper()
	all, err := r.client.Daemons(context.Background(), "web")
	if err != nil || len(all) != 3 {
		t.Fatalf("got %v, %v", all, err)
	}
	for i := range pids {
		pids[i] = all[i].PID
	}
	return pids
}

// lives is what the replicas have said.
func (r *roller) lives() (said []string) {
	line := regexp.MustCompile(`^\[(web-\d)\] (up.*|down)$`)
	for _, l := range r.log() {
		if m := line.FindStringSubmatch(l); m != nil {
			said = append(said, m[1]+" "+m[2])
		}
	}
	return said
}

// said waits for what the replicas have said since.
func (r *roller) said(t *testing.T, since int, want []string) {
	t.Helper()
	eventually(t, "all have said it", func() bool { return len(r.lives()) >= since+len(want) })
	if got := r.lives()[since:]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func (r *roller) end(t *testing.T) {
	t.Helper()
	r.signal(15)
	r.wait()
}

func TestRolloutSerial(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	const delay = 200 * time.Millisecond
	r := startRoller(t, "{ delay: 200ms }", "  after: { command: [testdaemon, 'print started; block'], depends_on: { web: { condition: service_started, restart: true } } }\n")
	before := len(r.lives())
	r.become(t, "v2")
	began := time.Now()
	if answer, why := r.reload(t); why != "" || !answer.Applied {
		t.Fatalf("got %+v, %s", answer, why)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("three replicas took %v, want two delays of %v at least", took, delay)
	}
	want := []string{"web-1 down", "web-1 up v2", "web-2 down", "web-2 up v2", "web-3 down", "web-3 up v2"}
	r.said(t, before, want)
	r.match("sidecar-init: reloaded: 0 started, 0 stopped, 4 restarted, 0 updated, 1 unchanged")
	eventually(t, "what is restarted after the service has started again", func() bool { return r.count(`\[after\] started`) > 1 })
	time.Sleep(2 * delay) // in which it would be restarted once more
	if got := r.count(`\[after\] started`); got != 2 {
		t.Errorf("what is restarted after the service has started %d times, want 2", got)
	}

	before = len(r.lives())
	if _, err := r.client.Restart(context.Background(), "web"); err != nil {
		t.Fatal(err)
	}
	r.said(t, before, want)
	r.end(t)
}

// TestRolloutFails: what an update comes to when the new version is not well.
func TestRolloutFails(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	for _, tt := range []struct {
		name, config, version string
		failed                string // by what the answer calls it
		changed               [3]bool
		drift                 bool
	}{
		{"pause", "{ delay: 1ms }", "bad", "the update of web was paused: web-1 failed", [3]bool{true, false, false}, true},
		{"pause after a batch", "{ parallelism: 2 }", "bad", "the update of web was paused: web-1, web-2 failed", [3]bool{true, true, false}, true},
		{"continue", "{ failure_action: continue }", "one", "the update of web failed in part: web-1 failed", [3]bool{true, true, true}, false},
		{"a third may fail", "{ max_failure_ratio: 0.34 }", "one", "the update of web failed in part: web-1 failed", [3]bool{true, true, true}, false},
		{"a quarter may fail", "{ max_failure_ratio: 0.25 }", "one", "the update of web was paused: web-1 failed", [3]bool{true, false, false}, true},
		{"rollback", "{ failure_action: rollback }", "bad", "the update of web was rolled back: web-1 failed", [3]bool{true, false, false}, true},
		{"monitor", "{ monitor: 2s }", "late", "the update of web was paused: web-1 failed", [3]bool{true, false, false}, true},
		{"all at once", "{ parallelism: 0 }", "bad", "the update of web was paused: web-1, web-2, web-3 failed", [3]bool{true, true, true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := startRoller(t, tt.config, "")
			before := r.pids(t)
			r.become(t, tt.version)
			answer, why := r.reload(t)
			if why != tt.failed || !slices.Contains(answer.FailedUpdates, why) || !answer.Applied {
				t.Errorf("got %q, %+v, want %q", why, answer, tt.failed)
			}
			r.match("sidecar-init: reload: " + tt.failed)
			after := r.pids(t)
			for i := range after {
				if changed := after[i] != before[i]; changed != tt.changed[i] {
					t.Errorf("web-%d: got the processes %d and %d", i+1, before[i], after[i])
				}
			}
			if b, err := r.client.Bundle(context.Background()); err != nil || b.Changed != tt.drift || !b.LastReloadFailed {
				t.Errorf("got %+v, %v; want that the file differs: %v", b, err, tt.drift)
			}
			if tt.name == "rollback" {
				r.said(t, 3, []string{"web-1 down", "web-1 up v1"})
			}
			r.become(t, "v3")
			if answer, why := r.reload(t); why != "" {
				t.Errorf("a version that is well: got %s, %+v", why, answer)
			}
			waitReady(t, r.client)
			r.end(t)
		})
	}
}

// TestRolloutRestart: a restart by hand stops where a replica fails; a client that leaves is no reason to stop.
func TestRolloutRestart(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	r := startRoller(t, "{ delay: 300ms, monitor: 1s }", "")
	before := r.pids(t)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.client.Restart(ctx, "web"); err == nil {
		t.Error("a restart that takes a second was over at once")
	}
	eventually(t, "the restart goes on", func() bool {
		now := r.pids(t)
		return now[0] != before[0] && now[1] != before[1] && now[2] != before[2] && !slices.Contains(now[:], 0)
	})

	r.become(t, "one")
	_, _ = r.reload(t)
	before = r.pids(t)
	_, err := r.client.Restart(context.Background(), "web")
	var refused *client.Error
	if want := "the restart of web was stopped: web-1 failed"; !errors.As(err, &refused) || refused.Message != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if after := r.pids(t); after[1] != before[1] || after[2] != before[2] {
		t.Errorf("got the processes %v after %v", after, before)
	}
	r.end(t)
}

// TestRolloutShutdown: in the middle of an update the bundle ends as ever.
func TestRolloutShutdown(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	r := startRoller(t, "{ delay: 1h, monitor: 1s }", "")
	r.become(t, "v2")
	done := make(chan error, 1)
	go func() {
		_, err := r.client.Reload(context.Background(), client.ReloadOptions{})
		done <- err
	}()
	r.expect("[web-1] up v2")
	time.Sleep(100 * time.Millisecond) // it is being monitored
	r.signal(15)
	r.exit(0)
	if err := <-done; err == nil {
		t.Error("the reload has come to its end")
	}
	if strings.Contains(r.output(), "the update of web") {
		t.Errorf("who was stopped has failed:\n%s", r.output())
	}
}
