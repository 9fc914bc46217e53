package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
)

func TestSinks(t *testing.T) {
	for _, tt := range []struct {
		sink bundle.Sink
		name string
		err  string
	}{
		{bundle.Sink{URL: "http://user:secret@host:1/path?token=secret"}, "http://host:1", ""},
		{bundle.Sink{URL: "https://host/secret"}, "https://host", ""},
		{bundle.Sink{URL: "unix:///run/x.sock"}, "unix:///run/x.sock", ""},
		{bundle.Sink{URL: "exec:/bin/notify"}, "exec:/bin/notify", ""},
		{bundle.Sink{Exec: []string{"notify", "--token", "secret"}}, "exec:notify", ""},
		{bundle.Sink{URL: "ftp://secret"}, "", "not ftp"},
		{bundle.Sink{URL: "http:///secret"}, "", "no host"},
		{bundle.Sink{URL: "unix://host/x"}, "", "not unix"},
		{bundle.Sink{URL: "exec:notify"}, "", "not exec"},
		{bundle.Sink{URL: "http://secret\x00"}, "", "malformed"},
		{bundle.Sink{}, "", "not "},
	} {
		_, name, err := newSender(tt.sink, nil)
		if name != tt.name || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: got %q, %v, want %q, %q", tt.sink, name, err, tt.name, tt.err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has a secret: %v", err)
		}
	}
}

// A server answers the connections of one sink.
func server(t *testing.T, network string, serve func(conn net.Conn)) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		dir, err := os.MkdirTemp("", "ntf")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		address = filepath.Join(dir, "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				_, _ = conn.Read(make([]byte, 4096)) // net/http does not like an answer that comes before the request
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func TestPost(t *testing.T) {
	requests := make(chan string, 10)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), body)
		if code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/")); err == nil {
			w.Header().Set("Location", "/200")
			w.WriteHeader(code)
		}
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	go http.Serve(tcp, handler)
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("the name of the temporary directory is too long for a socket")
	}
	defer unix.Close()
	go http.Serve(unix, handler)

	base := "http://" + tcp.Addr().String()
	for _, tt := range []struct {
		name, url string
		want      string // of the error
		refused   bool
	}{
		{"ok", base + "/events?x=1", "", false},
		{"unix", "unix://" + path, "", false},
		{"no content", base + "/204", "", false},
		{"moved", base + "/307", "it answers 307", true},
		{"not found", base + "/404", "it answers 404", true},
		{"too many", base + "/429", "it answers 429", false},
		{"server error", base + "/500", "it answers 500", false},
		{"nobody there", "unix:///nonexistent/s", "no such file", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send, _, err := newSender(bundle.Sink{URL: tt.url}, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = send(t.Context(), []byte(`{"a":1}`))
			var refused refusal
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || errors.As(err, &refused) != tt.refused {
				t.Errorf("got %v", err)
			}
			if tt.name == "nobody there" {
				return
			}
			u := strings.TrimPrefix(tt.url, base)
			if tt.name == "unix" {
				u = "/"
			}
			if got, want := <-requests, "POST "+u+` application/cloudevents+json {"a":1}`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestBadServers: whatever the other side does, a try ends when its time is over.
func TestBadServers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		want  string
	}{
		{"never answers", func(net.Conn) {}, "no answer in time"},
		{"closes at once", func(c net.Conn) { c.Close() }, ""},
		{"slow header", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ") }, "no answer in time"},
		{"endless header", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, ""},
		{"not HTTP", func(c net.Conn) { io.WriteString(c, "220 hello\r\n\r\n") }, ""},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(tt.name+" "+network, func(t *testing.T) {
				target := map[string]string{"tcp": "http://", "unix": "unix://"}[network] + server(t, network, tt.serve)
				send, _, err := newSender(bundle.Sink{URL: target}, nil)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				begin := time.Now()
				if err := send(ctx, bytes.Repeat([]byte("x"), 1<<20)); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v", err)
				}
				if d := time.Since(begin); d > 5*time.Second {
					t.Errorf("took %s", d)
				}
			})
		}
	}
	// An endless body is nobody's business.
	target := server(t, "tcp", func(c net.Conn) {
		buf := make([]byte, 4096)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	})
	send, _, _ := newSender(bundle.Sink{URL: "http://" + target}, nil)
	if err := send(t.Context(), []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestProgram(t *testing.T) {
	t.Setenv("SECRET", "secret")
	dir := t.TempDir()
	script := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	out := filepath.Join(dir, "out")
	big := bytes.Repeat([]byte("x"), 200<<10) // more than a pipe holds
	for _, tt := range []struct {
		name  string
		argv  []string
		event []byte
		want  string // of the error
		out   string
	}{
		{"reads", []string{script("reads", "cat >"+out)}, []byte(`{"a":1}`), "", `{"a":1}`},
		{"arguments and environment", []string{script("args", `echo "$1 $PUBLIC ${SECRET-none}" >`+out), "x y"}, []byte("1"), "", "x y yes none\n"},
		{"reads much", []string{script("much", "wc -c >"+out)}, big, "", fmt.Sprintln(len(big))},
		{"reads nothing", []string{script("nothing", "exit 0")}, big, "", ""},
		{"fails", []string{script("fails", "exit 3")}, []byte("1"), "it ended with code 3", ""},
		{"dies", []string{script("dies", "kill -9 $$")}, []byte("1"), "it ended with code -9 (SIGKILL)", ""},
		{"not found", []string{filepath.Join(dir, "none")}, []byte("1"), "no such file", ""},
		{"not executable", []string{out}, []byte("1"), "permission denied", ""},
		// What the program has started shall be killed with it, and what holds its pipes shall not be waited for.
		{"hangs", []string{script("hangs", "sleep 1000 & echo $! >"+out+"; wait; wait")}, big, "it took too long and was killed", "dead"},
		{"leaves something behind", []string{script("leaves", "sleep 1000 & echo $! >"+out)}, []byte("1"), "", "dead"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(out, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			limit := 20 * time.Second
			if strings.Contains(tt.want, "too long") {
				limit = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			send, _, err := newSender(bundle.Sink{Exec: tt.argv}, []string{"PATH=" + os.Getenv("PATH"), "PUBLIC=yes"})
			if err != nil {
				t.Fatal(err)
			}
			if err := send(ctx, tt.event); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if tt.out == "dead" {
				pid, err := strconv.Atoi(strings.TrimSpace(string(got)))
				if err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(20 * time.Second); !gone(pid); runtime.Gosched() { // it has SIGKILL, and is about to die
					if time.Now().After(deadline) {
						t.Fatalf("process %d lives on", pid)
					}
				}
			} else if string(got) != tt.out {
				t.Errorf("got %q, want %q", got, tt.out)
			}
		})
	}
}

// gone reports whether a process is dead, or a zombie that nobody has waited for yet.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// TestTwice: two sinks with the same name can be told apart.
func TestTwice(t *testing.T) {
	n, err := New(Options{Events: events.New(events.Options{}), Sinks: []bundle.Sink{{URL: "http://a/1"}, {URL: "http://a/2"}}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range n.Stats() {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"http://a", "http://a#2"}) {
		t.Errorf("got %q", names)
	}
}
