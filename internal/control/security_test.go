package control

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

func TestSocketMode(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	info, err := os.Lstat(b.path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	left, _ := os.ReadDir(filepath.Dir(b.path))
	if len(left) != 1 {
		t.Errorf("beside the socket there is %v", left)
	}
}

// TestStrangers: another user is refused even where the mode of the file would let it in.
func TestStrangers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	b := start(t, &testproc.Fake{}, spec("web"))
	dial := func() (string, error) {
		var text []byte
		err := as(65534, func() error {
			conn, err := net.Dial("unix", b.path)
			if err != nil {
				return err
			}
			defer conn.Close()
			// A client's request is waited for, but not for long: this one makes none, and is answered all the same.
			text, err = io.ReadAll(conn)
			return err
		})
		return string(text), err
	}
	if err := os.Chmod(filepath.Dir(b.path), 0o755); err != nil {
		t.Fatal(err)
	}
	if text, err := dial(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("with the mode that it has: %q, %v", text, err)
	}
	if err := os.Chmod(b.path, 0o666); err != nil {
		t.Fatal(err)
	}
	text, err := dial()
	resp, parseErr := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
	if err != nil || parseErr != nil {
		t.Fatalf("%q, %v, %v", text, err, parseErr)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 403 || !strings.Contains(string(body), `"error":"only root`) || err != nil {
		t.Errorf("got %d %s, %v", resp.StatusCode, body, err)
	}
	if resp := b.request("GET", "/v1/daemons", ""); resp.status != 200 {
		t.Errorf("root gets %d", resp.status)
	}
}

// as calls f as another user: credentials belong to a thread, and this one ends with the goroutine.
func as(uid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- errno
			return
		}
		done <- f()
	}()
	return <-done
}

func TestSocketFile(t *testing.T) {
	live := start(t, &testproc.Fake{}, spec("web"))
	try := func(paths ...string) (*Server, error) {
		o := live.opts
		o.Paths = paths
		return New(o)
	}
	stop := func(s *Server) {
		s.Close()
		if err := s.Run(); err != nil {
			t.Error(err)
		}
	}

	t.Run("stale", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		s, err := try(path)
		if err != nil {
			t.Fatal(err)
		}
		stop(s)
	})
	t.Run("live", func(t *testing.T) {
		if _, err := try(live.path); err == nil || !strings.Contains(err.Error(), live.path+": another supervisor answers there") {
			t.Errorf("got %v", err)
		}
		if _, err := live.client.Daemons(ctx(t)); err != nil {
			t.Errorf("the live one: %v", err)
		}
	})
	t.Run("the first is live", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		s, err := try(live.path, path)
		if err != nil || s.Addr() == live.path {
			t.Fatalf("got %v, %v", s, err)
		}
		stop(s)
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the second: %v", err)
		}
	})
	t.Run("no directory, and a file", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := try("/nonexistent/s", path); err == nil || !strings.Contains(err.Error(), "a file that is no socket") {
			t.Errorf("got %v", err)
		}
		if text, _ := os.ReadFile(path); string(text) != "precious" {
			t.Errorf("the file has %q", text)
		}
	})
	t.Run("a symbolic link", func(t *testing.T) {
		dir := shortDir(t)
		path := filepath.Join(dir, "s")
		if err := os.Symlink(filepath.Join(dir, "elsewhere"), path); err != nil {
			t.Fatal(err)
		}
		if _, err := try(path); err == nil {
			t.Error("it is followed")
		}
	})
	t.Run("spare", func(t *testing.T) {
		dir := shortDir(t)
		taken, spare := filepath.Join(dir, "s"), filepath.Join(dir, "spare")
		if err := os.WriteFile(taken, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		o := live.opts
		o.Paths, o.Spare = []string{"/nonexistent/s", taken}, spare
		s, err := New(o)
		if err != nil || s.Addr() == taken {
			t.Fatalf("got %v, %v", s, err)
		}
		if _, err := os.Lstat(spare); err != nil {
			t.Error(err)
		}
		stop(s)
		o.Paths = []string{taken, live.path}
		if _, err := New(o); !errors.Is(err, errLive) {
			t.Errorf("beside another supervisor: got %v", err)
		}
	})
	t.Run("too long", func(t *testing.T) {
		if _, err := try(filepath.Join(shortDir(t), strings.Repeat("x", 200))); err == nil {
			t.Error("it is made")
		}
	})
	t.Run("taken over", func(t *testing.T) { // what is there at the end is not ours
		path := filepath.Join(shortDir(t), "s")
		s, err := try(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		stop(s)
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	})
}

// TestTricks: strange requests get an answer that is no success, and JSON where the server can speak at all.
func TestTricks(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	b.await("web", client.StateRunning)
	host := " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	for _, tt := range []struct {
		name, text string
		status     int
	}{
		{"unknown path", "GET /v2/daemons" + host + "\r\n", 404},
		{"parent directory", "GET /v1/daemons/../../etc/passwd" + host + "\r\n", 307},
		{"escaped parent directory", "GET /v1/daemons/%2e%2e%2f%2e%2e%2fetc%2fpasswd" + host + "\r\n", 404},
		{"escaped slash", "POST /v1/daemons/web%2fstop/start" + host + "Content-Length: 0\r\n\r\n", 404},
		{"double slash", "GET //v1//daemons" + host + "\r\n", 307},
		{"null", "GET /v1/daemons/web%00" + host + "\r\n", 404},
		{"empty name", "GET /v1/daemons//logs" + host + "\r\n", 307},
		{"long name", "GET /v1/daemons/" + strings.Repeat("w", 4000) + host + "\r\n", 404},
		{"proxy request", "GET http://169.254.169.254/v1/daemons/x" + host + "\r\n", 404},
		{"wrong method", "PATCH /v1/daemons/web" + host + "\r\n", 405},
		{"GET of an action", "GET /v1/daemons/web/stop" + host + "\r\n", 405},
		{"huge body", "POST /v1/daemons/web/signal" + host + "Content-Length: 100000000\r\n\r\n" + strings.Repeat("x", 100000), 413},
		{"huge chunked body", "POST /v1/daemons/web/stop" + host + "Transfer-Encoding: chunked\r\n\r\n2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n", 413},
		{"body of a GET", "GET /v1/daemons" + host + "Content-Length: 5\r\n\r\nhello", 200},
		{"huge header", "GET /v1/daemons" + host + "X: " + strings.Repeat("x", 20000) + "\r\n\r\n", 431},
		{"many headers", "GET /v1/daemons" + host + strings.Repeat("A: b\r\n", 5000) + "\r\n", 431},
		{"no JSON", "POST /v1/daemons/web/signal" + host + "Content-Length: 3\r\n\r\nHUP", 400},
		{"no signal", "POST /v1/daemons/web/signal" + host + "Content-Length: 2\r\n\r\n{}", 400},
		{"something more", "POST /v1/daemons/web/signal" + host + "Content-Length: 27\r\n\r\n" + `{"signal":"HUP","force":1} `, 400},
		{"more than a daemon", "PUT /v1/daemons/x" + host + "Content-Length: 38\r\n\r\n" + `{"command":["a"]} {"command":["b"]}    `, 400},
		{"huge daemon", "PUT /v1/daemons/x" + host + "Content-Length: 70000\r\n\r\n" + strings.Repeat(" ", 70000), 413},
		{"no HTTP", "status\r\n\r\n", 400},
		{"no host", "GET /v1/daemons HTTP/1.1\r\n\r\n", 400},
		{"smuggled", "POST /v1/daemons/web/start" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /", 200},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"HTTP/9", "GET /v1/daemons HTTP/9.9\r\nHost: x\r\n\r\n", 505},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := b.raw("")
			_, _ = io.WriteString(conn, tt.text) // the server may have had enough before the end
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, tt.status)
			}
			ours := tt.status == 404 || tt.status == 405 || tt.status == 413
			if ours && (resp.Header.Get("Content-Type") != "application/json" || !bytes.HasPrefix(body, []byte(`{"error":"`))) {
				t.Errorf("the answer is %q", body)
			}
		})
	}
	if d := b.await("web", client.StateRunning); d.Starts != 1 {
		t.Errorf("after that web is %+v", d)
	}
	if len(b.lines) != 0 {
		t.Errorf("printed %q", b.lines)
	}
}

// TestIdleAndSlow: neither a thousand clients that say nothing nor hundreds that say it slowly keep out one that has
// something to say, and they are not kept for long.
func TestIdleAndSlow(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 4096 {
		t.Skipf("needs 4096 files, may open %d", limit.Cur)
	}
	for _, tt := range []struct {
		name string
		n    int
		text string
	}{
		{"idle", 1000, ""},
		{"slow header", 500, "GET /v1/daemons HTTP/1.1\r\nHost: "},
		{"slow body", 500, "POST /v1/daemons/web/signal HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n{"},
		{"kept alive", 500, "GET /v1/healthy HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t, &testproc.Fake{}, spec("web"))
			b.await("web", client.StateRunning)
			var conns []net.Conn
			var worst time.Duration
			for i := range tt.n {
				conn, err := net.Dial("unix", b.path)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, tt.text) // it may have made room for another already
				conns = append(conns, conn)
				if i%100 == 99 {
					begin := time.Now()
					if resp := b.request("GET", "/v1/daemons", ""); resp.status != 200 {
						t.Errorf("with %d connections: %d %s", i, resp.status, resp.body)
					}
					worst = max(worst, time.Since(begin))
				}
			}
			if worst > 3*time.Second {
				t.Errorf("a request took %s", worst)
			}
			b.server.conns.mu.Lock()
			n := len(b.server.conns.all)
			b.server.conns.mu.Unlock()
			if n > maxConns {
				t.Errorf("there are %d connections, want at most %d", n, maxConns)
			}
			// The first one has made room, or its time is over soon.
			conns[0].SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, conns[0]); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the first connection lives on")
			}
		})
	}
}

// TestFull: one who comes when all places are taken by clients that are being answered is told so, in an answer that a client
// understands, however many come, and without keeping who could be served.
func TestFull(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	b.await("web", client.StateRunning)
	for range maxLong {
		b.raw("GET /v1/wait?for=exited HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	for c := ctx(t); len(b.server.long) < maxLong; {
		if _, err := b.client.Daemons(c); err != nil {
			t.Fatal(err)
		}
	}
	// The rest of the places, by connections that look as if they were being answered. Those that have asked above must have
	// gone: one that is silent gives its place away.
	places := &b.server.conns.mu
	places.Lock()
	for len(b.server.conns.all) > maxLong {
		places.Unlock()
		time.Sleep(time.Millisecond)
		places.Lock()
	}
	for range maxConns - maxLong {
		conn := &net.UnixConn{}
		b.server.conns.all[conn] = &connInfo{conns: b.server.conns, conn: conn, working: true}
	}
	places.Unlock()
	var group sync.WaitGroup
	for range maxRefused {
		group.Go(func() {
			_, err := b.client.Daemons(ctx(t))
			wantError(t, err, 503, "too many connections")
		})
	}
	group.Wait()
	places.Lock()
	for conn, i := range b.server.conns.all {
		if i.since.IsZero() {
			delete(b.server.conns.all, conn)
		}
	}
	places.Unlock()
	if _, err := b.client.Daemons(ctx(t)); err != nil {
		t.Error(err)
	}
}

// TestTooManyWait: requests that take long have their own limit, and short ones go on.
func TestTooManyWait(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	b.await("web", client.StateRunning)
	for range maxLong + 50 {
		b.raw("GET /v1/wait?for=exited HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	for c := ctx(t); len(b.server.long) < maxLong; {
		if _, err := b.client.Daemons(c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.Wait(ctx(t), client.Ready); err != nil {
		wantError(t, err, 503, "too many")
	} else {
		t.Error("one more may wait")
	}
	if _, err := b.client.Daemons(ctx(t)); err != nil {
		t.Error(err)
	}
}
