package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve answers at a socket, and returns its path.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return path
}

func TestRequests(t *testing.T) {
	var got string
	path := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.RequestURI() + " " + string(body)
		switch {
		case r.URL.Path == "/metrics":
			io.WriteString(w, "up 1\n")
		case r.URL.Path == "/v1/healthy":
			w.WriteHeader(503)
			io.WriteString(w, `{"healthy":false,"problems":[{"name":"web","state":"backoff"}]}`)
		case r.Method == "POST":
			io.WriteString(w, `{"name":"web","state":"running"}`) // one daemon
		default:
			io.WriteString(w, `[{"name":"web","state":"running"},{"name":"db"}]`)
		}
	})
	c := New(path)
	ctx := context.Background()
	one, two := []string{"web"}, []string{"web", "db"}
	list := func(all []Daemon, err error) ([]string, error) {
		var names []string
		for _, d := range all {
			names = append(names, d.Name)
		}
		return names, err
	}
	for _, tt := range []struct {
		name, want string
		call       func() ([]string, error)
		answer     []string
	}{
		{"all", "GET /v1/daemons ", func() ([]string, error) { return list(c.Daemons(ctx)) }, two},
		{"some", "GET /v1/daemons?name=web&name=db ", func() ([]string, error) { return list(c.Daemons(ctx, "web", "db")) }, two},
		{"start", "POST /v1/daemons/web/start ", func() ([]string, error) { return list(c.Start(ctx, "web")) }, one},
		{"stop", "POST /v1/daemons/web/stop ", func() ([]string, error) { return list(c.Stop(ctx, "web")) }, one},
		{"restart", "POST /v1/daemons/web/restart ", func() ([]string, error) { return list(c.Restart(ctx, "web")) }, one},
		{"signal", `POST /v1/daemons/web/signal {"signal":"HUP"}`, func() ([]string, error) { return list(c.Signal(ctx, "web", "HUP")) }, one},
		{"strange name", "POST /v1/daemons/..%2F%3Fx/start ", func() ([]string, error) { return list(c.Start(ctx, "../?x")) }, one},
		{"wait", "GET /v1/wait?for=ready&name=web ", func() ([]string, error) { return list(c.Wait(ctx, Ready, "web")) }, two},
		{"metrics", "GET /metrics ", func() ([]string, error) {
			b, err := c.Metrics(ctx)
			return []string{string(b)}, err
		}, []string{"up 1\n"}},
		{"healthy", "GET /v1/healthy ", func() ([]string, error) {
			h, err := c.Healthy(ctx)
			return []string{fmt.Sprint(h.Healthy, h.Problems)}, err
		}, []string{"false [{web backoff }]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, err := tt.call()
			if err != nil || !slices.Equal(answer, tt.answer) {
				t.Errorf("got %q, %v, want %q", answer, err, tt.answer)
			}
			if got != tt.want {
				t.Errorf("asked %q, want %q", got, tt.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   Error
	}{
		{"ours", 404, `{"error":"unknown daemon \"wbe\"","nearest":"web"}`, Error{Status: 404, Message: `unknown daemon "wbe"`, Nearest: "web"}},
		{"with daemons", 500, `{"error":"x","daemons":[{"name":"web"}]}`, Error{Status: 500, Message: "x", Daemons: []Daemon{{Name: "web"}}}},
		{"text", 400, "400 Bad Request\n", Error{Status: 400, Message: "400 Bad Request"}},
		{"nothing", 502, "", Error{Status: 502, Message: "502 Bad Gateway"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := New(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}))
			_, err := c.Daemons(context.Background())
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			got, _ := json.Marshal(e)
			want, _ := json.Marshal(tt.want)
			if string(got) != string(want) || err.Error() != tt.want.Message {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	// What is no answer of a supervisor.
	c := New(serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	if _, err := c.Daemons(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot read the supervisor's answer") {
		t.Errorf("got %v", err)
	}
}

func TestNoSupervisor(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Skip("the name of the temporary directory is too long for a socket")
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, tt := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"not there", []string{filepath.Join(dir, "none")}, "no such file"},
		{"stale", []string{stale}, "connection refused"},
		{"the first is stale, the second not there", []string{stale, filepath.Join(dir, "none")}, "connection refused"},
		{"the other way round", []string{filepath.Join(dir, "none"), stale}, "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := New("x")
			c.paths = tt.paths
			_, err := c.Daemons(context.Background())
			if !errors.Is(err, ErrNoSupervisor) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(stale).Daemons(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// TestOrder: the first socket where one answers is used.
func TestOrder(t *testing.T) {
	answer := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `[{"name":%q}]`, name) }
	}
	first, second := serve(t, answer("first")), serve(t, answer("second"))
	for _, tt := range []struct {
		paths []string
		want  string
	}{
		{[]string{first, second}, "first"},
		{[]string{"/nonexistent", second}, "second"},
	} {
		c := New("x")
		c.paths = tt.paths
		all, err := c.Daemons(context.Background())
		if err != nil || all[0].Name != tt.want {
			t.Errorf("%v: got %v, %v, want %s", tt.paths, all, err, tt.want)
		}
	}
	paths := DefaultSockets()
	if paths[0] != "/run/sidecar-init.sock" || New("").paths != nil {
		t.Errorf("the default is %v", paths)
	}
	if ns := PIDNamespace(); ns != 0 && paths[1] != fmt.Sprintf("/dev/shm/sidecar-init-%d-%d.sock", os.Geteuid(), ns) {
		t.Errorf("the default is %v", paths)
	}
}

// TestSpareSocket: what somebody else has put into /dev/shm hides no supervisor.
func TestSpareSocket(t *testing.T) {
	spare := SpareSocket()
	if spare == "" {
		t.Skip("the pid namespace is not known")
	}
	if another := SpareSocket(); another == spare {
		t.Errorf("twice %s", spare)
	}
	l, err := net.Listen("unix", spare)
	if err != nil {
		t.Skip("cannot make a socket in /dev/shm: ", err)
	}
	defer l.Close()
	if !slices.Contains(DefaultSockets(), spare) {
		t.Errorf("%v lack %s", DefaultSockets(), spare)
	}
	if err := os.Chown(spare, 54321, -1); err != nil {
		t.Skip("cannot give it to another user: ", err)
	}
	if slices.Contains(DefaultSockets(), spare) {
		t.Errorf("%v have %s of another user", DefaultSockets(), spare)
	}
}

// TestEnded: a supervisor that ends before it answers is no mere EOF to whoever asked.
func TestEnded(t *testing.T) {
	c := New(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
	}))
	if _, err := c.Daemons(context.Background()); err == nil || !strings.HasPrefix(err.Error(), "the supervisor has ended") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Wait(context.Background(), Exited); err != nil {
		t.Errorf("all have exited then: %v", err)
	}
}

func TestStreams(t *testing.T) {
	const line = `{"time":"2026-05-01T12:00:00Z","daemon":"web","line":"a\ufffd","bytes":"Yf8="}` + "\n"
	stopped := make(chan struct{})
	hijack := func(w http.ResponseWriter, end string) { // ends in the middle
		conn, buf, _ := w.(http.Hijacker).Hijack()
		fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s%s", len(line), line, end)
		buf.Flush()
		conn.Close()
	}
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
		lines int
		want  string // of the error
	}{
		{"ends", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, line+line) }, 2, ""},
		{"is cut", func(w http.ResponseWriter, _ *http.Request) { hijack(w, "\r\n") }, 1, ""},
		{"is cut within a line", func(w http.ResponseWriter, _ *http.Request) { hijack(w, "\r\n20\r\n{") }, 1, ""},
		{"is no JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, line+"oops\n") }, 1, "cannot read"},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 0, "404"},
		{"left", func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, line); err != nil {
					break
				}
				w.(http.Flusher).Flush()
			}
			close(stopped)
		}, 3, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := New(serve(t, tt.serve))
			n := 0
			var failed error
			for l, err := range c.Logs(context.Background(), LogOptions{Lines: 5, Follow: true}) {
				if err != nil {
					failed = err
					break
				}
				if string(l.Raw()) != "a\xff" || l.Daemon != "web" {
					t.Errorf("got %+v", l)
				}
				if n++; n == 3 {
					break
				}
			}
			if n != tt.lines || (failed == nil) != (tt.want == "") || failed != nil && !strings.Contains(failed.Error(), tt.want) {
				t.Errorf("got %d lines and %v, want %d and %q", n, failed, tt.lines, tt.want)
			}
			if tt.name == "left" {
				select {
				case <-stopped: // the server has noticed
				case <-time.After(20 * time.Second):
					t.Error("the connection lives on")
				}
			}
		})
	}
	// The end of the context is an error, and the last thing.
	c := New(serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	n := 0
	for _, err := range c.Events(ctx, true) {
		if n++; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	if n != 1 {
		t.Errorf("got %d values", n)
	}
}

// TestWaitForTheEnd: a supervisor that has ended has no daemon that lives.
func TestWaitForTheEnd(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		},
		"ended": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			io.WriteString(w, `{"error":"the supervisor has ended"}`)
		},
	} {
		c := New(serve(t, h))
		if all, err := c.Wait(context.Background(), Exited); err != nil || all != nil {
			t.Errorf("%s: for the end: %v, %v", name, all, err)
		}
		if _, err := c.Wait(context.Background(), Ready); err == nil {
			t.Errorf("%s: for readiness: no error", name)
		}
	}
	if _, err := New("/nonexistent").Wait(context.Background(), Exited); !errors.Is(err, ErrNoSupervisor) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestExit(t *testing.T) {
	code, signal := 3, "SIGKILL"
	for want, e := range map[string]*Exit{"-": nil, "3": {Code: &code}, "SIGKILL": {Signal: &signal}, "?": {}} {
		if got := e.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if e := (&Event{Type: EventExited, Data: EventData{Lost: 3}}); e.Lost() != 0 {
		t.Error("an exit says that events are lost")
	}
	if e := (&Event{Type: EventLost, Data: EventData{Lost: 3}}); e.Lost() != 3 {
		t.Error("it does not say that events are lost")
	}
	if got := better(syscall.ENOENT, syscall.EACCES); got != syscall.EACCES {
		t.Errorf("got %v", got)
	}
}
