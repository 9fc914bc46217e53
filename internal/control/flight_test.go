package control

import (
	"bufio"
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
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// fill fills what is kept of a daemon's lines with empty ones: that is the most of them.
func (b *fixture) fill(name string) (lines int) {
	b.t.Helper()
	stream := b.streams[name]
	f := stream.Follow(0)
	for range 3 {
		b.write(name, strings.Repeat("\n", 30_000))
	}
	b.write(name, "the last\n")
	for {
		lines, _, err := f.Next(ctx(b.t))
		if err != nil {
			b.t.Fatal(err)
		}
		if n := len(lines); n > 0 && len(lines[n-1].Text) > 0 {
			return len(stream.Tail(-1))
		}
	}
}

// body asks, and returns the answer once its header has come.
func (b *fixture) body(conn net.Conn) io.Reader {
	b.t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		b.t.Fatalf("got %+v, %v", resp, err)
	}
	return resp.Body
}

// lineCounter counts lines, and keeps none.
type lineCounter int

func (c *lineCounter) Write(b []byte) (int, error) {
	*c += lineCounter(bytes.Count(b, newline))
	return len(b), nil
}

// TestLogsMemory: the last lines of daemons cost no more than what they are written in, however many they are.
func TestLogsMemory(t *testing.T) {
	var specs []child.Spec
	for i := range 5 {
		specs = append(specs, spec(fmt.Sprint("d", i)))
	}
	b := start(t, &testproc.Fake{}, specs...)
	want := 0
	for i := range specs {
		want += b.fill(specs[i].Name)
	}
	if want < 5*30_000 {
		t.Fatalf("only %d lines are kept", want)
	}
	var before, after runtime.MemStats
	body := b.body(b.raw("GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n"))
	runtime.ReadMemStats(&before)
	var got lineCounter
	if _, err := io.Copy(&got, body); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d bytes allocated for %d lines", after.TotalAlloc-before.TotalAlloc, got)
	if int(got) != want {
		t.Errorf("got %d lines, want %d", got, want)
	}
	// Not what is in use at the end, but all that was allocated meanwhile: the peak is below that. With the race detector
	// sync.Pool forgets a part of what it is given.
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 && !raceEnabled {
		t.Errorf("%d bytes for %d lines, want at most 2 MB", got, want)
	}
}

// TestLogsOrder: lines of many daemons come in the order in which they were written.
func TestLogsOrder(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("a"), spec("b"), spec("c"))
	const total = 300
	for i := range total {
		b.line([]string{"a", "b", "c", "b"}[i*7%4], fmt.Sprint(i, strings.Repeat("x", 400)))
	}
	i := 0
	for l, err := range b.client.Logs(ctx(t), client.LogOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(i, "x"); !strings.HasPrefix(l.Line, want) || l.Lost != 0 {
			t.Fatalf("got %.10q, %d lost, want line %s", l.Line, l.Lost, want)
		}
		i++
	}
	if i != total {
		t.Errorf("got %d lines, want %d", i, total)
	}
}

// TestNobodyReads: clients that do not read hold next to nothing, and keep nobody from reading.
func TestNobodyReads(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	lines := b.fill("web")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const clients = 250
	for i := range clients {
		path := []string{"/v1/logs", "/v1/logs?follow", "/v1/daemons/web/logs?lines=60000"}[i%3]
		b.body(b.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	for range 2 {
		var got lineCounter
		if _, err := io.Copy(&got, b.body(b.raw("GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n"))); err != nil || int(got) != lines {
			t.Fatalf("who reads gets %d lines, %v, want %d", got, err, lines)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.server.flight.mu.Lock()
	used := b.server.flight.used
	b.server.flight.mu.Unlock()
	t.Logf("%d bytes in use for %d clients", int64(after.HeapAlloc)-int64(before.HeapAlloc), clients)
	// Of that 8 KiB each are the buffers of net/http, and 4 KiB those of this test.
	if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > maxFlight || got > 8<<20 {
		t.Errorf("%d clients that do not read: %d bytes are on their way, %d in use", clients, used, got)
	}
}

// TestNotRead: a client that does not read what it has asked for loses its connection, which is said, and nobody waits for it.
func TestNotRead(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	b.fill("web")
	for range 1000 {
		b.hub.Observe(child.Event{Time: time.Now(), Kind: child.EventUnhealthy, Daemon: "web", Reason: strings.Repeat("x", 500)}, nil)
	}
	o := b.opts
	o.Paths = []string{filepath.Join(shortDir(t), "s")}
	o.writeTime = 20 * time.Millisecond
	said := make(chan string)
	o.Printf = func(format string, a ...any) { said <- fmt.Sprintf(format, a...) }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Run() }()
	for _, path := range []string{"/v1/logs", "/v1/logs?follow", "/v1/events?follow"} {
		conn, err := net.Dial("unix", o.Paths[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		if got, want := <-said, "a client of the control socket has read nothing for 20ms; its connection is closed"; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection lives on", path)
		}
	}
	s.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFlight: what is on its way is bounded; something that is larger than all waits until it is alone, and who leaves does
// not wait.
func TestFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flight
		if err := f.take(t.Context(), maxFlight); err != nil {
			t.Fatal(err)
		}
		if err := f.take(t.Context(), freeSize); err != nil { // is nothing
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.take(short, freeSize+1); err != context.DeadlineExceeded {
			t.Errorf("full: got %v", err)
		}
		got := make(chan int, 3)
		for _, n := range []int{maxFlight / 2, maxFlight/2 + 1, 2 * maxFlight} {
			go func() {
				if f.take(t.Context(), n) == nil {
					got <- n
				}
			}()
		}
		f.give(freeSize)
		synctest.Wait()
		if len(got) > 0 {
			t.Errorf("%d has been taken of nothing", <-got)
		}
		f.give(maxFlight)
		for range 3 { // one at a time
			synctest.Wait()
			if len(got) != 1 {
				t.Fatalf("%d have been taken at the same time", len(got))
			}
			f.give(<-got)
		}
	})
}
