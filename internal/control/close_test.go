package control

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// raw opens a connection and writes something to it.
func (b *fixture) raw(text string) net.Conn {
	b.t.Helper()
	conn, err := net.Dial("unix", b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte(text)); err != nil && text != "" {
		b.t.Fatal(err)
	}
	return conn
}

// TestClose: with clients in every state the end comes at once, and nothing is left of the socket.
func TestClose(t *testing.T) {
	fake := &testproc.Fake{Lives: map[string][]testproc.Life{"deaf": {{On: testproc.Reactions{syscall.SIGTERM: {Ignore: true}}}}}}
	b := start(t, fake, spec("deaf", func(s *child.Spec) { s.StopGrace = time.Minute }), spec("chatty"))
	b.await("deaf", client.StateRunning)
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" }
	conns := []net.Conn{
		b.raw(""),
		b.raw("GET /v1"),
		b.raw(get("/v1/daemons")),
		b.raw(get("/v1/daemons") + "\r\n"), // answered, not read, kept alive
		b.raw("POST /v1/daemons/deaf/signal HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"),
		b.raw("POST /v1/daemons/deaf/stop HTTP/1.1\r\nHost: x\r\n\r\n"),
		b.raw(get("/v1/wait?for=exited") + "\r\n"),
		b.raw(get("/v1/events?follow") + "\r\n"),
		b.raw(get("/v1/logs?follow") + "\r\n"), // does not read, and there is more than the socket holds
	}
	b.await("deaf", client.StateStopping)
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		for i := range 5000 {
			b.write("chatty", fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 200)))
		}
	}()
	<-stuck
	b.server.conns.mu.Lock()
	open := len(b.server.conns.all)
	b.server.conns.mu.Unlock()
	if open < len(conns) {
		t.Errorf("there are %d connections, want %d", open, len(conns))
	}
	begin := time.Now()
	b.server.Close()
	<-b.ended
	if d := time.Since(begin); d > 500*time.Millisecond {
		t.Errorf("the end took %s", d)
	}
	for i, c := range conns {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(c)
		for {
			if _, err := r.ReadByte(); err != nil {
				if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
					t.Errorf("connection %d lives on", i)
				}
				break
			}
		}
	}
	left, err := os.ReadDir(filepath.Dir(b.path))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	b.server.Close()
	_ = fake.End("deaf", child.Exit{})
}

// TestCloseBeforeRun is what happens when another part of the program ends at once.
func TestCloseBeforeRun(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	o := b.opts
	o.Paths = []string{filepath.Join(shortDir(t), "s")}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Run(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(o.Paths[0]); !os.IsNotExist(err) {
		t.Errorf("the socket: %v", err)
	}
}
