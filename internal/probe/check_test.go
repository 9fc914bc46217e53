package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// freeAddr is an address where nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := TCP(ln.Addr().String())(t.Context()); err != nil {
		t.Errorf("somebody listens: got %v", err)
	}
	// The port is one of those that clients get: with some hundred tries a socket would connect to itself.
	addr := freeAddr(t)
	for range 200 {
		if TCP(addr)(t.Context()) == nil {
			t.Fatal("nobody listens: got nil")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := TCP(ln.Addr().String())(ctx); err == nil {
		t.Error("the life is over: got nil")
	}
}

func TestHTTP(t *testing.T) {
	for _, tt := range []struct {
		status int
		want   string
	}{
		{200, ""},
		{204, ""},
		{301, ""},
		{399, ""},
		{400, "it answered 400 Bad Request"},
		{404, "it answered 404 Not Found"},
		{503, "it answered 503 Service Unavailable"},
	} {
		closed := make(chan struct{})
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if agent := r.Header.Get("User-Agent"); agent != "sidecar-init" {
				t.Errorf("User-Agent: got %q", agent)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
		}))
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				close(closed)
			}
		}
		server.Start()
		err := HTTP(server.URL)(t.Context())
		if got := text(err); got != tt.want {
			t.Errorf("%d: got %q, want %q", tt.status, got, tt.want)
		}
		<-closed // no connection is kept
		server.Close()
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	if err := HTTP(server.URL)(t.Context()); err != nil {
		t.Errorf("a certificate of its own making: got %v", err)
	}
}

// TestHTTPFailure: it ends in time, and a password in the URL is not told.
func TestHTTPFailure(t *testing.T) {
	err := HTTP("http://user:secret@" + freeAddr(t) + "/secret")(t.Context())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody listens: got %v", err)
	}
	err = HTTP("http://user:secret@[::1")(t.Context())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no URL: got %v", err)
	}

	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := HTTP(server.URL)(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the life is over: got %v", err)
	}
}

// TestAttempt: the timeout belongs to the check, and is told by its length.
func TestAttempt(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // never accepts, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	err = try(t.Context(), 10*time.Millisecond, HTTP("http://"+ln.Addr().String()))
	if got, want := text(err), "it took longer than 10ms"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// try is attempt where time does not stand still.
func try(ctx context.Context, timeout time.Duration, check Check) error {
	_, err := attempt(ctx, timeout, check)
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
