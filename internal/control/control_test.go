package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// A fixture is a bundle that runs under test, with daemons that exist only in memory, and a real control socket.
type fixture struct {
	t      *testing.T
	fake   *testproc.Fake
	root   *root.Root
	hub    *events.Hub
	log    *log.Log
	server *Server
	path   string
	client *client.Client
	opts   Options

	mu    sync.Mutex
	lines []string
	ended chan struct{} // the server has
	over  chan struct{} // the bundle has
	// writers are the write ends of the daemons' logs.
	writers map[string]*os.File
	streams map[string]*log.Stream
}

// spec is a daemon named name; change may change it.
func spec(name string, change ...func(*child.Spec)) child.Spec {
	s := child.Spec{Name: name, Service: name, Program: child.Program{Argv: []string{name}}}
	for _, c := range change {
		c(&s)
	}
	return s
}

// start runs a bundle until the test ends.
func start(t *testing.T, fake *testproc.Fake, specs ...child.Spec) *fixture {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := &fixture{
		t: t, fake: fake, log: log.New(null, log.Options{}), path: filepath.Join(shortDir(t), "s.sock"),
		ended: make(chan struct{}), over: make(chan struct{}), writers: map[string]*os.File{},
	}
	streams := map[string]*log.Stream{}
	b.hub = events.New(events.Options{Source: "/shop"})
	cfg := root.Config{Spawner: fake, Grace: 2 * time.Second}
	for i := range specs {
		s := specs[i]
		s.Labels = map[string]string{"tier": "front"}
		stream := b.log.Stream(s.Name, log.StreamOptions{})
		stdout, _, _, err := stream.Open(-1, -1)
		if err != nil {
			t.Fatal(err)
		}
		b.writers[s.Name], streams[s.Name] = stdout, stream
		cfg.Daemons = append(cfg.Daemons, root.Daemon{
			Spec: s, Data: stream, Observe: func(e child.Event) { b.hub.Observe(e, stream.Tail) },
		})
	}
	cfg.Observe = func(e child.Event) {
		if e.Daemon == "" {
			b.hub.Observe(e, nil)
		}
	}
	b.streams = streams
	if b.root, err = root.New(cfg); err != nil {
		t.Fatal(err)
	}
	b.opts = Options{
		Paths: []string{b.path}, Root: b.root.Ref(), Events: b.hub, Source: "/shop",
		Reloader: reloads{},
		Logs:     func(s *child.Status) []*log.Stream { return []*log.Stream{s.Data.(*log.Stream)} },
		Metrics:  func(w io.Writer, all []child.Status) { fmt.Fprintf(w, "daemons %d\n", len(all)) },
		Printf: func(format string, a ...any) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lines = append(b.lines, fmt.Sprintf(format, a...))
		},
	}
	if b.server, err = New(b.opts); err != nil {
		t.Fatal(err)
	}
	b.client = client.New(b.path)
	go b.hub.Run()
	go func() {
		defer close(b.over)
		if _, err := b.root.Run(); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		defer close(b.ended)
		if err := b.server.Run(); err != nil {
			t.Errorf("the server: %v", err)
		}
	}()
	t.Cleanup(func() {
		b.shutdown()
		b.hub.Close()
		b.server.Close()
		<-b.ended
		for _, w := range b.writers {
			w.Close()
		}
		b.log.Close(time.Now())
		null.Close()
	})
	return b
}

// reloads is a Reloader with an answer for each of the ways to ask.
type reloads struct{}

func (reloads) Reload(ctx context.Context, o client.ReloadOptions) (client.Reload, error) {
	answer := client.Reload{Steps: []client.ReloadStep{{Name: "web", Action: "restart", Causes: []string{"command"}}}, Unchanged: 2, Notes: []string{"log"}}
	deadline, limited := ctx.Deadline()
	switch {
	case o.DryRun:
		return answer, nil
	case o.Rollback:
		answer.Applied, answer.Failed, answer.RolledBack = true, []string{"web", "job"}, true
		return answer, nil
	case limited && time.Until(deadline) > time.Minute:
		err := &bundle.Errors{Problems: []bundle.Problem{{File: "b.yaml", Line: 3, Col: 5, Message: "no command"}}}
		return client.Reload{Steps: []client.ReloadStep{}, Problems: []string{err.Error()}}, err
	}
	<-ctx.Done()
	return client.Reload{}, ctx.Err()
}

func (reloads) Start(context.Context, string) error { return nil }

func (reloads) Add(_ context.Context, name string, o client.Transient) error {
	if len(o.Command) == 0 {
		return Refuse(400, "%s has no command", name)
	}
	return nil
}

func (reloads) Remove(_ context.Context, name string) error {
	if name == "job" {
		return Refuse(409, "%s is in the bundle's file", name)
	}
	return nil
}

func (reloads) Roll(context.Context, string) (bool, error) { return false, nil }

func (reloads) Bundle() client.Bundle {
	return client.Bundle{Name: "shop", Files: []string{"b.yaml"}, Changed: true, LastReload: time.Unix(0, 0)}
}

// shutdown ends the bundle and waits for it.
func (b *fixture) shutdown() {
	_ = b.root.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
	<-b.over
}

// shortDir is a temporary directory whose name leaves room for a socket's.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// ctx is a context that ends a test which hangs.
func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

// await waits until a daemon is in a state.
func (b *fixture) await(name string, state client.State) client.Daemon {
	b.t.Helper()
	for c := ctx(b.t); ; {
		all, err := b.client.Daemons(c, name)
		if err != nil {
			b.t.Fatal(err)
		}
		if all[0].State == state {
			return all[0]
		}
	}
}

// write writes to the log of a daemon.
func (b *fixture) write(name, text string) {
	b.t.Helper()
	if _, err := b.writers[name].WriteString(text); err != nil {
		b.t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, status int, part string) *client.Error {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Message, part) {
		t.Errorf("got the error %#v (%v), want status %d and %q", err, err, status, part)
		return &client.Error{}
	}
	return e
}

func names(all []client.Daemon) []string {
	var list []string
	for _, d := range all {
		list = append(list, d.Name)
	}
	return list
}

func TestDaemons(t *testing.T) {
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{"job": {{ExitAfter: testproc.AtOnce, Exit: child.Exit{Code: 3, CPU: time.Second, MaxRSS: 7}}}}}
	b := start(t, fake, spec("web-1", func(s *child.Spec) { s.Service = "web" }), spec("job"), spec("web-2", func(s *child.Spec) { s.Service = "web" }))
	b.await("job", client.StateExited)
	b.await("web-2", client.StateRunning)
	for _, tt := range []struct {
		name string
		ask  []string
		want []string
	}{
		{"all", nil, []string{"web-1", "job", "web-2"}},
		{"one", []string{"job"}, []string{"job"}},
		{"a service", []string{"web"}, []string{"web-1", "web-2"}},
		{"several, in the order of the file", []string{"web-2", "job", "web-2"}, []string{"job", "web-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := b.client.Daemons(ctx(t), tt.ask...)
			if got := names(all); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
	all, err := b.client.Daemons(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := all[0]; d.Service != "web" || !d.Ready || d.PID == 0 || d.Starts != 1 || d.Restarts != 0 || d.LastExit != nil ||
		d.Labels["tier"] != "front" || time.Since(d.Since) > time.Minute || d.Uptime <= 0 {
		t.Errorf("web-1 is %+v", d)
	}
	if d := all[1]; d.Ready || d.PID != 0 || d.Uptime != 0 || d.LastExit == nil || *d.LastExit.Code != 3 || d.LastExit.Signal != nil ||
		d.LastExit.CPUTime != 1 || d.LastExit.MaxRSS != 7 {
		t.Errorf("job is %+v, %+v", d, d.LastExit)
	}
	_, err = b.client.Daemons(ctx(t), "jib")
	if e := wantError(t, err, 404, `unknown daemon "jib"; did you mean "job"?`); e.Nearest != "job" {
		t.Errorf("the nearest is %q", e.Nearest)
	}
}

func TestActions(t *testing.T) {
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{
		"slow": {{StartDelay: 100 * time.Millisecond, On: testproc.Reactions{syscall.SIGTERM: {After: 100 * time.Millisecond, Exit: child.Exit{Code: 1}}}}},
		"gone": {{}, {StartError: &child.StartError{Reason: "/bin/gone: not found", Code: 127}}},
	}}
	b := start(t, fake, spec("slow"), spec("gone"), spec("r-1", func(s *child.Spec) { s.Service = "r" }), spec("r-2", func(s *child.Spec) { s.Service = "r" }))
	slow := b.await("slow", client.StateRunning)
	b.await("gone", client.StateRunning)
	b.await("r-2", client.StateRunning)

	all, err := b.client.Restart(ctx(t), "slow")
	if err != nil || len(all) != 1 || all[0].State != client.StateRunning || all[0].PID == slow.PID || all[0].Restarts != 1 {
		t.Errorf("restart: %+v, %v", all, err)
	}
	if all, err = b.client.Start(ctx(t), "slow"); err != nil || all[0].Restarts != 1 {
		t.Errorf("start of what runs: %+v, %v", all, err)
	}
	if all, err = b.client.Stop(ctx(t), "slow"); err != nil || all[0].State != client.StateStopped || *all[0].LastExit.Code != 1 {
		t.Errorf("stop: %+v, %v", all, err)
	}
	if all, err = b.client.Stop(ctx(t), "slow"); err != nil || all[0].State != client.StateStopped {
		t.Errorf("stop of what is stopped: %+v, %v", all, err)
	}
	_, err = b.client.Signal(ctx(t), "slow", "HUP")
	if e := wantError(t, err, 409, "slow has not got SIGHUP: it has ended with code 1"); len(e.Daemons) != 1 || e.Daemons[0].State != client.StateStopped {
		t.Errorf("the daemons are %+v", e.Daemons)
	}
	if all, err = b.client.Start(ctx(t), "slow"); err != nil || all[0].State != client.StateRunning || all[0].Restarts != 2 {
		t.Errorf("start: %+v, %v", all, err)
	}
	if all, err = b.client.Restart(ctx(t), "r"); err != nil || !slices.Equal(names(all), []string{"r-1", "r-2"}) || all[1].Restarts != 1 {
		t.Errorf("restart of a service: %+v, %v", all, err)
	}
	_, err = b.client.Restart(ctx(t), "gone")
	if e := wantError(t, err, 500, "gone cannot be started: /bin/gone: not found"); len(e.Daemons) != 1 || *e.Daemons[0].LastExit.Code != 127 {
		t.Errorf("the daemons are %+v", e.Daemons)
	}
	for _, action := range []func(context.Context, string) ([]client.Daemon, error){b.client.Start, b.client.Stop, b.client.Restart} {
		_, err := action(ctx(t), "../daemons/slow?x=%2F")
		wantError(t, err, 404, "unknown daemon")
	}

	// The signal is there before the answer is.
	if _, err = b.client.Signal(ctx(t), "r-1", "usr1"); err != nil {
		t.Error(err)
	}
	if trace := fake.Trace("r-1"); !slices.Contains(trace, "r-1/2 SIGUSR1") {
		t.Errorf("r-1: %v", trace)
	}
	b.await("r-1", client.StateExited) // it died of it
	if _, err = b.client.Signal(ctx(t), "r-2", "9"); err != nil {
		t.Errorf("a signal of which the daemon dies: %v", err)
	}
	for _, sig := range []string{"", "0", "65", "32", "-1", "NOPE", "SIG"} {
		_, err := b.client.Signal(ctx(t), "slow", sig)
		wantError(t, err, 400, "")
	}
}

// TestActionsOvertaken: who waits for what somebody else has called off is told so.
func TestActionsOvertaken(t *testing.T) {
	type action func(context.Context, string) ([]client.Daemon, error)
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{"slow": {{On: testproc.Reactions{syscall.SIGTERM: {After: 300 * time.Millisecond}}}}}}
	b := start(t, fake, spec("slow"))
	for _, tt := range []struct {
		name          string
		first, second action
		want          string
	}{
		{"stop, start", b.client.Stop, b.client.Start, "slow was started meanwhile"},
		{"stop, restart", b.client.Stop, b.client.Restart, "slow was started meanwhile"},
		{"restart, stop", b.client.Restart, b.client.Stop, "slow was stopped meanwhile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.await("slow", client.StateRunning)
			first := make(chan error, 1)
			go func() {
				_, err := tt.first(ctx(t), "slow")
				first <- err
			}()
			b.await("slow", client.StateStopping)
			if _, err := tt.second(ctx(t), "slow"); err != nil {
				t.Error(err)
			}
			wantError(t, <-first, 500, tt.want)
		})
	}
}

func TestActionsTimeOut(t *testing.T) {
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{"deaf": {{On: testproc.Reactions{syscall.SIGTERM: {Ignore: true}}}}}}
	b := start(t, fake, spec("deaf", func(s *child.Spec) { s.StopGrace = time.Minute }))
	b.await("deaf", client.StateRunning)
	resp := b.request("POST", "/v1/daemons/deaf/stop?timeout=50ms", "")
	if resp.status != http.StatusGatewayTimeout || !strings.Contains(resp.body, `"state":"stopping"`) {
		t.Errorf("got %d %s", resp.status, resp.body)
	}
	for _, bad := range []string{"x", "-1s", "0"} {
		if resp := b.request("POST", "/v1/daemons/deaf/stop?timeout="+bad, ""); resp.status != http.StatusBadRequest {
			t.Errorf("timeout=%s: got %d %s", bad, resp.status, resp.body)
		}
	}
	short, cancel := context.WithTimeout(ctx(t), 50*time.Millisecond)
	defer cancel()
	if _, err := b.client.Restart(short, "deaf"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// Those who have left are forgotten when the next message comes to root.
	for range 10 {
		if resp := b.request("GET", "/v1/wait?for=exited&timeout=10ms", ""); resp.status != http.StatusGatewayTimeout {
			t.Errorf("got %d %s", resp.status, resp.body)
		}
	}
}

// TestShutdown: commands that come during a shutdown are refused, and questions are answered to the end.
func TestShutdown(t *testing.T) {
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{"deaf": {{On: testproc.Reactions{syscall.SIGTERM: {Ignore: true}}}}}}
	b := start(t, fake, spec("deaf"))
	b.await("deaf", client.StateRunning)
	_ = b.root.Ref().Tell(root.Shutdown{})
	b.await("deaf", client.StateStopping)
	_, err := b.client.Restart(ctx(t), "deaf")
	wantError(t, err, 409, "shutting down")
	// A signal by which the daemon ends comes too late; the end by itself does not.
	if all, err := b.client.Wait(ctx(t), client.Exited); err != nil {
		t.Errorf("wait for the end: %v, %v", all, err)
	}
	<-b.over
	_, err = b.client.Daemons(ctx(t))
	wantError(t, err, 503, "ended")
	_, err = b.client.Healthy(ctx(t))
	wantError(t, err, 503, "ended")
	if all, err := b.client.Wait(ctx(t), client.Exited); err != nil || all != nil {
		t.Errorf("wait for an end that has been: %v, %v", all, err)
	}
}

func TestWait(t *testing.T) {
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{
		"job": {{ExitAfter: testproc.AtOnce}},
		"web": {{ReadyAfter: 100 * time.Millisecond}},
	}}
	var b *fixture
	fake.OnReady = func(daemon string, _, _ int) {
		_ = b.root.Ref().Tell(root.Fact{Name: daemon, Msg: child.Ready{Gen: 1}})
	}
	ready := make(chan struct{})
	fakeReady := fake.OnReady
	fake.OnReady = func(d string, life, pid int) { <-ready; fakeReady(d, life, pid) }
	b = start(t, fake, spec("job"), spec("web", func(s *child.Spec) { s.Readiness = true }), spec("other"))
	if resp := b.request("GET", "/v1/wait?timeout=20ms", ""); resp.status != http.StatusGatewayTimeout || !strings.Contains(resp.body, `"starting"`) {
		t.Errorf("got %d %s", resp.status, resp.body)
	}
	if h, err := b.client.Healthy(ctx(t)); err != nil || h.Healthy || len(h.Problems) != 1 || h.Problems[0].Name != "web" || h.Problems[0].State != client.StateStarting {
		t.Errorf("health %+v, %v", h, err)
	}
	close(ready)
	all, err := b.client.Wait(ctx(t), client.Ready)
	if err != nil || len(all) != 3 || all[1].State != client.StateReady {
		t.Errorf("got %+v, %v", all, err)
	}
	if h, err := b.client.Healthy(ctx(t)); err != nil || !h.Healthy || h.Problems == nil {
		t.Errorf("health %+v, %v", h, err)
	}
	if _, err = b.client.Wait(ctx(t), client.Exited, "job"); err != nil {
		t.Error(err)
	}
	if _, err = b.client.Wait(ctx(t), "better"); err == nil {
		t.Error("waiting for something strange succeeds")
	}
	fake.End("web", child.Exit{Code: 4})
	b.await("web", client.StateExited)
	if resp := b.request("GET", "/v1/healthy", ""); resp.status != 503 ||
		resp.body != `{"healthy":false,"problems":[{"name":"web","state":"exited","reason":"ended with code 4"}]}`+"\n" {
		t.Errorf("health %d %s", resp.status, resp.body)
	}
}

// TestHealth is what is said of those that are not well.
func TestHealth(t *testing.T) {
	now := time.Now()
	crash := &child.Exit{Code: 3}
	for _, tt := range []struct {
		status child.Status
		want   string
	}{
		{child.Status{State: child.StateRunning}, ""},
		{child.Status{State: child.StateWaiting, Reason: "db is not ready"}, "waiting: db is not ready"},
		{child.Status{State: child.StateStarting, Last: crash}, "starting: "},
		{child.Status{State: child.StateBackoff, Last: crash}, "backoff: ended with code 3"},
		{child.Status{State: child.StateUnhealthy, Reason: "HTTP\x1b[2J 500"}, "unhealthy: HTTP [2J 500"},
		{child.Status{State: child.StateStopping, Reason: "no answer"}, "stopping: no answer"},
		{
			child.Status{State: child.StateReady, Reason: "fine", Last: crash, Started: now.Add(-4 * time.Second), Proven: now.Add(6 * time.Second)},
			"ready: it was restarted 4s ago, after it had ended with code 3",
		},
	} {
		h := health([]child.Status{tt.status}, now)
		got := ""
		for _, p := range h.Problems {
			got += string(p.State) + ": " + p.Reason
		}
		if got != tt.want || h.Healthy != (tt.want == "") {
			t.Errorf("%+v: got %q, %v, want %q", tt.status, got, h.Healthy, tt.want)
		}
	}
}

// A response of the server.
type response struct {
	status int
	header http.Header
	body   string
}

// request sends a request that package client would not send.
func (b *fixture) request(method, path, body string) response {
	b.t.Helper()
	resp, err := b.try(method, path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *fixture) try(method, path, body string) (response, error) {
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.path)
		},
	}}
	req, err := http.NewRequest(method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	var text strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			return response{resp.StatusCode, resp.Header, text.String()}, nil
		}
	}
}
