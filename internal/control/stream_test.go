package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// line writes a line to a daemon's log, and waits until it has been read.
func (b *fixture) line(name, text string) {
	b.t.Helper()
	f := b.streams[name].Follow(0)
	b.write(name, text+"\n")
	if _, _, err := f.Next(ctx(b.t)); err != nil {
		b.t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("a-1", func(s *child.Spec) { s.Service = "a" }), spec("a-2", func(s *child.Spec) { s.Service = "a" }), spec("b"))
	b.line("a-1", "one")
	b.line("a-2", "two <&>")
	b.line("a-1", "three\xff")
	b.line("a-1", "four")
	for _, tt := range []struct {
		name  string
		o     client.LogOptions
		names []string
		want  []string
	}{
		{"all", client.LogOptions{}, nil, []string{"a-1 one", "a-2 two <&>", "a-1 three\xff", "a-1 four"}},
		{"one", client.LogOptions{}, []string{"a-2"}, []string{"a-2 two <&>"}},
		{"the last of each of a service", client.LogOptions{Lines: 1}, []string{"a"}, []string{"a-2 two <&>", "a-1 four"}},
		{"none", client.LogOptions{Lines: client.NoLines}, nil, nil},
		{"of a silent one", client.LogOptions{}, []string{"b"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for l, err := range b.client.Logs(ctx(t), tt.o, tt.names...) {
				if err != nil {
					t.Fatal(err)
				}
				if l.Time.IsZero() || l.Lost != 0 {
					t.Errorf("the line is %+v", l)
				}
				got = append(got, l.Daemon+" "+string(l.Raw()))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	resp := b.request("GET", "/v1/daemons/a-2/logs", "")
	if resp.status != 200 || resp.header.Get("Content-Type") != "application/x-ndjson" || !strings.Contains(resp.body, `"line":"two <&>"`) {
		t.Errorf("got %+v", resp)
	}
	for _, bad := range []string{"/v1/logs?lines=x", "/v1/logs?follow=maybe", "/v1/events?follow=maybe"} {
		if resp := b.request("GET", bad, ""); resp.status != 400 {
			t.Errorf("%s: %d %s", bad, resp.status, resp.body)
		}
	}
	if resp := b.request("GET", "/v1/daemons/x/logs", ""); resp.status != 404 || resp.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %+v", resp)
	}
	if resp := b.request("HEAD", "/v1/logs?follow", ""); resp.status != 200 || resp.body != "" {
		t.Errorf("got %+v", resp)
	}
}

// TestLogsFollow: lines come as they are written, to every client, until the server ends; what came last is not cut off.
func TestLogsFollow(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("a"), spec("b"))
	b.line("a", "before")
	next, stop := iter.Pull2(b.client.Logs(ctx(t), client.LogOptions{Lines: 10, Follow: true}))
	defer stop()
	want := func(text string) {
		t.Helper()
		l, err, ok := next()
		if !ok || err != nil || l.Daemon+" "+l.Line != text {
			t.Fatalf("got %+v, %v, %v, want %q", l, err, ok, text)
		}
	}
	want("a before")
	for i := range 20 {
		for _, name := range []string{"a", "b"} {
			b.write(name, fmt.Sprintf("line %d\n", i))
			want(fmt.Sprintf("%s line %d", name, i))
		}
	}
	b.line("b", "the last")
	b.server.Close()
	want("b the last")
	if l, err, ok := next(); ok {
		t.Errorf("after the end: %+v, %v", l, err)
	}
}

// TestLogsFlood: a client that is too slow learns how many lines it has missed.
func TestLogsFlood(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("a"))
	next, stop := iter.Pull2(b.client.Logs(ctx(t), client.LogOptions{Lines: client.NoLines, Follow: true}))
	defer stop()
	first := make(chan client.LogLine)
	go func() {
		l, _, _ := next()
		first <- l
	}()
	// The request is on its way: write until the first thing comes. It may be the notice that lines were lost already.
	n := 0
	pad := strings.Repeat("x", 200)
	var line client.LogLine
	for began := false; !began; {
		b.write("a", fmt.Sprintln(n, pad))
		n++
		select {
		case line = <-first:
			began = true
		default:
		}
	}
	total := max(5000, n)
	for ; n < total; n++ {
		b.write("a", fmt.Sprintln(n, pad)) // does not wait for the client
	}
	b.write("a", "end\n")
	// at is the line that must come next. Where the client began is known from the first line that it gets: lines are
	// counted as lost from there, not from the beginning.
	at, lost := -1, 0
	for l := line; ; {
		switch {
		case l.Lost > 0 && at < 0:
		case l.Lost > 0:
			lost += l.Lost
			at += l.Lost
		case l.Line != "end":
			if at < 0 {
				fmt.Sscan(l.Line, &at)
			}
			if l.Line != fmt.Sprint(at, " ", pad) {
				t.Fatalf("got line %q, want %d", l.Line, at)
			}
			at++
		}
		if l.Line == "end" {
			break
		}
		var err error
		var ok bool
		if l, err, ok = next(); !ok || err != nil {
			t.Fatalf("the stream ends at %d: %v", at, err)
		}
	}
	t.Logf("%d of %d lines lost", lost, total)
	if at != total {
		t.Errorf("the lines that came, and those that are said to be lost, are %d, want %d", at, total)
	}
}

func TestEvents(t *testing.T) {
	fake := &testproc.Fake{}
	b := start(t, fake, spec("web"), spec("other"))
	b.await("web", client.StateRunning)
	b.line("web", "last words")
	next, stop := iter.Pull2(b.client.Events(ctx(t), true))
	defer stop()
	want := func(kind string) client.Event {
		t.Helper()
		for {
			e, err, ok := next()
			if !ok || err != nil {
				t.Fatalf("the stream ends before %s: %v", kind, err)
			}
			if e.Subject == "other" {
				continue
			}
			if e.Type != "dev.sidecar-init.daemon."+kind || e.Source != "/shop" || e.Lost() != 0 {
				t.Fatalf("got %+v, want %s", e, kind)
			}
			return e
		}
	}
	want("started")
	fake.End("web", child.Exit{Code: 3})
	if e := want("exited"); *e.Data.Code != 3 || !slices.Equal(e.Data.Log, []string{"last words"}) {
		t.Errorf("got %+v", e)
	}
	if _, err := b.client.Start(ctx(t), "web"); err != nil {
		t.Fatal(err)
	}
	want("started")
	b.shutdown()
	want("exited")
	b.hub.Close()
	if e, err, ok := next(); ok && e.Subject != "other" {
		t.Errorf("after the end: %+v, %v", e, err)
	}

	kinds := []string{}
	for e, err := range b.client.Events(ctx(t), false) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Subject == "web" {
			kinds = append(kinds, strings.TrimPrefix(e.Type, "dev.sidecar-init.daemon."))
		}
	}
	if !slices.Equal(kinds, []string{"started", "exited", "started", "exited"}) {
		t.Errorf("what is kept: %v", kinds)
	}
}

// TestEventsLost: a reader that comes too late for some events is told.
func TestEventsLost(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"))
	b.await("web", client.StateRunning)
	short, cancel := context.WithCancel(ctx(t))
	defer cancel()
	const total = 3000
	n, lost := 0, 0
	for e, err := range b.client.Events(short, true) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		lost += e.Lost()
		if n == 1 { // this client reads nothing for a while, in which more happens than can be kept
			pad := strings.Repeat("x", 1000)
			made := b.hub.Read()
			for i := range total {
				b.hub.Observe(child.Event{Time: time.Now(), Kind: child.EventUnhealthy, Daemon: "web", Reason: fmt.Sprint(pad, i)}, nil)
				if _, _, err := made.Next(short); err != nil {
					t.Fatal(err)
				}
			}
		}
		if strings.HasSuffix(e.Data.Reason, fmt.Sprint("x", total-1)) {
			cancel()
		}
		if e.Lost() > 0 {
			n-- // it is no event of a daemon
		}
	}
	if lost == 0 || n+lost != total+1 {
		t.Errorf("%d events came, %d are said to be lost; together it should be %d", n, lost, total+1)
	}
}

// TestSameWords: the states of package client are those of package child.
func TestSameWords(t *testing.T) {
	for _, s := range []client.State{
		client.StateWaiting, client.StateStarting, client.StateRunning, client.StateReady, client.StateUnhealthy,
		client.StateStopping, client.StateBackoff, client.StateExited, client.StateStopped, client.StateGaveUp,
	} {
		c := child.State(s)
		if !c.Alive() && !c.Up() && !c.Final() && c != child.StateWaiting && c != child.StateBackoff {
			t.Errorf("package child has no state %q", s)
		}
	}
	if b, err := json.Marshal(client.Daemon{}); err != nil || strings.Contains(string(b), "Name") {
		t.Errorf("%s, %v", b, err)
	}
}
