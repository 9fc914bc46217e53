//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// job is a job of a bundle file whose program does what testdaemon's script says.
func job(name, script string, more ...string) string {
	return strings.Join(append([]string{"  " + name + ":", "    command: [testdaemon, \"" + script + "\"]"}, prefixed("    ", more)...), "\n") + "\n"
}

func prefixed(prefix string, lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, prefix+l)
	}
	return out
}

// TestJobLeaves: a client that leaves in the middle takes the run with it, unless it has said that it would; the bundle and its exit code
// know nothing of it.
func TestJobLeaves(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("web", "block")) + "jobs:\n" +
		job("a", "print up; block", "triggers: { manual: true }") + job("b", "print up; block", "triggers: { manual: true }") +
		job("fails", "exit 3", "triggers: { manual: true }")})
	c := client.New(path)
	waitReady(t, c)
	ctx, leave := context.WithCancel(context.Background())
	var lines []string
	for o, err := range c.RunJob(ctx, "a") {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		if o.Run == nil {
			lines = append(lines, o.Line)
			leave()
		}
	}
	leave()
	if len(lines) == 0 || lines[0] != "up" {
		t.Errorf("the output is %q", lines)
	}
	s.expect("sidecar-init: job a cancelled")
	if _, err := c.StartJob(context.Background(), "b"); err != nil {
		t.Fatal(err)
	}
	s.expect("[b] up")
	if _, err := c.StartJob(context.Background(), "fails"); err != nil {
		t.Fatal(err)
	}
	s.expect("sidecar-init: job fails failed with code 3")
	s.signal(syscall.SIGTERM)
	s.expect("sidecar-init: job b cancelled")
	s.exit(0)
	s.never("sidecar-init: record: .*")
}

// TestJobOutput: an attached run has all of its output, and none of another run's, however fast they follow each other.
func TestJobOutput(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("web", "block")) + "jobs:\n" +
		"  many:\n    command: [/bin/sh, -c, 'i=0; while [ $$i -lt 2000 ]; do echo $$0 $$i; i=$$((i+1)); done']\n    entrypoint: []\n    triggers: { manual: true }\n"})
	c := client.New(path)
	waitReady(t, c)
	for n := range 5 {
		got, last := 0, client.Run{}
		for o, err := range c.RunJob(context.Background(), "many") {
			switch {
			case err != nil:
				t.Fatal(err)
			case o.Run != nil:
				last = *o.Run
			case o.Lost > 0:
				got += o.Lost
			default:
				got++
			}
		}
		if got != 2000 || last.Result != client.RunSucceeded || last.ID != n+1 {
			t.Errorf("run %d: %d lines, %+v", n+1, got, last)
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestJobFires: by a real clock, in the first second of the minute, and with the bundle's services ended.
func TestJobFires(t *testing.T) {
	if testing.Short() {
		t.Skip("takes up to a minute; -short is set")
	}
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("once", "exit 0")) + "jobs:\n" +
		job("tick", "print up; exit 0", `triggers: { schedule: ["* * * * *"] }`) + job("tock", "print up; exit 1", `triggers: { schedule: ["* * * * *"], manual: false }`)})
	c := client.New(path)
	next := time.Now().Truncate(time.Minute).Add(time.Minute)
	s.expect("sidecar-init: once exited with code 0; leaving surviving daemons running (operator-visible via agent-side failure)")
	jobs, err := c.Jobs(context.Background())
	if err != nil || len(jobs) != 2 || jobs[0].Next == nil || jobs[0].Next.Before(next) {
		t.Fatalf("got %+v, %v", jobs, err)
	}
	for time.Until(*jobs[0].Next) > 0 {
		time.Sleep(time.Until(*jobs[0].Next))
	}
	s.expect("sidecar-init: job tick started (schedule)", "sidecar-init: job tock started (schedule)")
	s.match("sidecar-init: job tick succeeded in .*")
	s.expect("sidecar-init: job tock failed with code 1")
	eventually(t, "what the log says is known to the keeper of jobs", func() bool {
		jobs, err = c.Jobs(context.Background())
		return err != nil || jobs[0].Last != nil && jobs[1].Last != nil
	})
	if err != nil || jobs[0].Last.Trigger != "schedule" || jobs[1].Last.Code != 1 {
		t.Fatalf("got %+v, %v", jobs, err)
	}
	page, err := c.Metrics(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`sidecar_init_job_runs_total{job="tick",result="succeeded"} 1`, `sidecar_init_job_runs_total{job="tock",result="failed"} 1`,
		`sidecar_init_job_last_success_timestamp_seconds{job="tock"} 0`, `sidecar_init_job_next_fire_timestamp_seconds{job="tick"} `,
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(string(page), `daemon="tick"`) {
		t.Error("a job is among the daemons")
	}
	var kinds []string
	for e, err := range c.Events(context.Background(), false) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Subject == "tock" {
			kinds = append(kinds, e.Type[strings.LastIndexByte(e.Type, '.')+1:]+" "+e.Data.Trigger)
		}
	}
	if got := strings.Join(kinds, ", "); got != "started schedule, failed schedule" {
		t.Errorf("the events are %s", got)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestJobHTTP: what a client without a library sees.
func TestJobHTTP(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("web", "block")) + "jobs:\n" + job("a", "print up; exit 4", "triggers: { manual: true }")})
	waitReady(t, client.New(path))
	h := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	post := func(path, body string) *http.Response {
		t.Helper()
		resp, err := h.Post("http://x"+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	resp := post("/v1/jobs/a/run", "")
	var all []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var v struct {
			Run  *client.Run
			Line string
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if v.Run != nil {
			all = append(all, v.Run.Result)
		} else {
			all = append(all, v.Line)
		}
	}
	if got := strings.Join(all, " "); got != "waiting up failed" && got != "running up failed" {
		t.Errorf("got %s", got)
	}
	for body, status := range map[string]int{
		`{"args":["x"],"detach":true}`: http.StatusAccepted, `{"argv":["x"]}`: http.StatusBadRequest, `[]`: http.StatusBadRequest, "{} {}": http.StatusBadRequest,
	} {
		if resp := post("/v1/jobs/a/run", body); resp.StatusCode != status {
			t.Errorf("%s: got %s", body, resp.Status)
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}
