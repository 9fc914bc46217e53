package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)

// collect runs a hub over these events and returns what it made of them.
func collect(t *testing.T, o Options, tail Tail, in ...child.Event) []client.Event {
	t.Helper()
	h := New(o)
	for _, e := range in {
		h.Observe(e, tail)
	}
	h.Close()
	if err := h.Run(); err != nil {
		t.Fatal(err)
	}
	var out []client.Event
	for r := h.Read(); ; {
		rec, lost, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		var e client.Event
		if err := json.Unmarshal(rec.JSON, &e); err != nil || lost != 0 {
			t.Fatalf("%s: %v, %d lost", rec.JSON, err, lost)
		}
		out = append(out, e)
	}
}

func TestConvert(t *testing.T) {
	crash := child.Event{
		Time: noon, Kind: child.EventExited, Daemon: "web", PID: 7, Uptime: 1500 * time.Millisecond,
		Exit: child.Exit{Code: 3, CPU: 250 * time.Millisecond, MaxRSS: 1 << 20},
	}
	with := func(change func(*child.Event)) child.Event {
		e := crash
		change(&e)
		return e
	}
	const exited = `{"pid":7,"code":3,"signal":null,"cause":"unexpected","uptime":1.5,"attempt":0,"next_delay":null,"max_rss":1048576,"cpu_time":0.25,"oom":false}`
	tests := []struct {
		name string
		in   child.Event
		want []string // type without its prefix, and data
	}{
		{
			"started",
			child.Event{Kind: child.EventStarted, Daemon: "web", PID: 7},
			[]string{`started {"pid":7,"code":null,"signal":null,"uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false}`},
		},
		{
			"ready",
			child.Event{Kind: child.EventReady, Daemon: "web", PID: 7, Uptime: time.Second},
			[]string{`ready {"pid":7,"code":null,"signal":null,"uptime":1,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false}`},
		},
		{
			"unhealthy",
			child.Event{Kind: child.EventUnhealthy, Daemon: "web", PID: 7, Reason: "no answer"},
			[]string{`unhealthy {"pid":7,"code":null,"signal":null,"uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false,"reason":"no answer"}`},
		},
		{"crash", crash, []string{"exited " + exited}},
		{
			"signal", with(func(e *child.Event) { e.Exit = child.Exit{Signal: syscall.SIGSEGV} }),
			[]string{`exited {"pid":7,"code":null,"signal":"SIGSEGV","cause":"unexpected","uptime":1.5,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false}`},
		},
		{
			"stop", with(func(e *child.Event) { e.Requested = true }),
			[]string{"exited " + strings.Replace(exited, "unexpected", "requested", 1)},
		},
		{
			"crash and restart", with(func(e *child.Event) { e.Next, e.Attempt, e.Delay = child.NextRestart, 2, time.Second }),
			[]string{
				"exited " + strings.Replace(exited, `"attempt":0,"next_delay":null`, `"attempt":2,"next_delay":1`, 1),
				"restarting " + strings.Replace(exited, `"attempt":0,"next_delay":null`, `"attempt":2,"next_delay":1`, 1),
			},
		},
		{
			"gave up", with(func(e *child.Event) { e.Next, e.Attempt = child.NextGiveUp, 5 }),
			[]string{
				"exited " + strings.Replace(exited, `"attempt":0`, `"attempt":5`, 1),
				"gave-up " + strings.Replace(exited, `"attempt":0`, `"attempt":5`, 1),
			},
		},
		{
			"cannot be executed",
			child.Event{Kind: child.EventFailed, Daemon: "web", Exit: child.Exit{Code: 127, Err: errors.New("x")}, Reason: "x: not found"},
			[]string{`exited {"pid":0,"code":127,"signal":null,"cause":"unexpected","uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false,"reason":"x: not found"}`},
		},
		{
			"not started",
			child.Event{Kind: child.EventNotStarted, Daemon: "web", Exit: child.Exit{Code: 1}, Reason: "db ended with code 1"},
			[]string{`exited {"pid":0,"code":1,"signal":null,"cause":"unexpected","uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false,"reason":"db ended with code 1"}`},
		},
		{
			"restart in place",
			child.Event{Kind: child.EventRestarting, Daemon: "web"},
			[]string{`restarting {"pid":0,"code":null,"signal":null,"cause":"requested","uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false}`},
		},
		{
			"stopped",
			child.Event{Kind: child.EventStopped, Daemon: "web"},
			[]string{`stopped {"pid":0,"code":null,"signal":null,"cause":"requested","uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false}`},
		},
		{
			"forwarded",
			child.Event{Kind: child.EventForwarded, Daemon: "web", PID: 7, Signal: syscall.SIGHUP},
			[]string{`signalled {"pid":7,"code":null,"signal":"SIGHUP","uptime":0,"attempt":0,"next_delay":null,"max_rss":0,"cpu_time":0,"oom":false}`},
		},
		{"shutdown", child.Event{Kind: root.EventShutdown}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Time = noon
			var got []string
			ids := map[string]bool{}
			for _, e := range collect(t, Options{Source: "/shop"}, nil, tt.in) {
				data, err := json.Marshal(e.Data)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.TrimPrefix(e.Type, "dev.sidecar-init.daemon.")+" "+string(data))
				if e.SpecVersion != "1.0" || e.Source != "/shop" || e.Subject != "web" || e.DataContentType != "application/json" ||
					!e.Time.Equal(noon.Truncate(time.Microsecond)) || e.ID == "" || ids[e.ID] {
					t.Errorf("the context is wrong: %+v", e)
				}
				ids[e.ID] = true
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// TestSignals: each signal to each daemon is told, and one that is sent in a loop once a second.
func TestSignals(t *testing.T) {
	var in []child.Event
	for i := range 2500 {
		for _, daemon := range []string{"web", "db"} {
			in = append(in, child.Event{Time: noon.Add(time.Duration(i) * time.Millisecond), Kind: child.EventForwarded, Daemon: daemon, PID: 7, Signal: syscall.SIGHUP})
		}
	}
	in = append(in, child.Event{Time: noon.Add(2500 * time.Millisecond), Kind: child.EventForwarded, Daemon: "web", PID: 7, Signal: syscall.SIGUSR1})
	got := map[string]int{}
	for _, e := range collect(t, Options{}, nil, in[:4000]...) {
		if e.Type != client.EventSignalled {
			t.Fatalf("got %s", e.Type)
		}
		got[e.Subject+" "+*e.Data.Signal]++
	}
	if got["web SIGHUP"] != 2 || got["db SIGHUP"] != 2 {
		t.Errorf("in two seconds: got %v, want 2 of each", got)
	}
	if all := collect(t, Options{}, nil, in[4990:]...); len(all) != 3 || *all[2].Data.Signal != "SIGUSR1" {
		t.Errorf("another signal: got %d events", len(all))
	}
}

func TestLogLines(t *testing.T) {
	end := child.Event{Time: noon, Kind: child.EventExited, Daemon: "web", Exit: child.Exit{Code: 1}}
	asked := end
	asked.Requested = true
	tail := func(texts ...string) Tail {
		return func(n int) []log.Line {
			lines := []log.Line{}
			for _, text := range texts {
				lines = append(lines, log.Line{Time: noon.Add(-time.Second), Text: []byte(text), Partial: text == "part"})
			}
			return append(lines[max(0, len(lines)-n):], log.Line{Time: noon.Add(1), Text: []byte("of the next life")})
		}
	}
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint("line ", i))
	}
	long := strings.Repeat("ä", maxLine)
	tests := []struct {
		name string
		in   child.Event
		tail []string
		want []string
	}{
		{"unexpected", end, []string{"a", "b\r", ""}, []string{"a", "b\r", ""}},
		{"requested", asked, []string{"a"}, nil},
		{"a part", end, []string{"part", "a"}, []string{`part \`, "a"}},
		{"no line", end, nil, nil},
		{"more than 20", end, many, many[10:]},
		{"not UTF-8", end, []string{"a\xffb\xc3"}, []string{"a\uFFFDb\uFFFD"}},
		{"long", end, []string{long}, []string{long[:maxLine] + "…"}},
		{"long, cut within a character", end, []string{"a" + long}, []string{("a" + long)[:maxLine-1] + "…"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := collect(t, Options{}, tail(tt.tail...), tt.in)[0].Data.Log
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %.100q, want %.100q", got, tt.want)
			}
			for _, line := range got {
				if !utf8.ValidString(line) {
					t.Errorf("%q is not UTF-8", line)
				}
			}
		})
	}
}

// TestReader: a reader gets each event once and in order, waits for the next, and ends with the hub.
func TestReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		go h.Run()
		r := h.Read()
		if r.Ready() {
			t.Error("ready before there is an event")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next without an event: %v", err)
		}
		time.AfterFunc(time.Minute, func() {
			for i := range 3 {
				h.Observe(child.Event{Kind: child.EventStarted, Daemon: fmt.Sprint(i)}, nil)
			}
		})
		for i := range 3 {
			rec, lost, err := r.Next(t.Context())
			if err != nil || lost != 0 || !strings.Contains(string(rec.JSON), fmt.Sprintf(`"subject":"%d"`, i)) {
				t.Errorf("Next %d: %s, %d lost, %v", i, rec.JSON, lost, err)
			}
		}
		time.AfterFunc(time.Minute, func() {
			h.Observe(child.Event{Kind: child.EventStopped}, nil)
			h.Close()
		})
		if rec, _, err := r.Next(t.Context()); err != nil || !strings.Contains(string(rec.JSON), "stopped") {
			t.Errorf("what was observed before Close: %s, %v", rec.JSON, err)
		}
		for range 2 {
			if _, _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
				t.Errorf("after Close: %v", err)
			}
		}
		h.Close()
		h.Observe(child.Event{Kind: child.EventStarted}, nil)
		if got := h.Stats(); got.Events != 4 || got.Dropped != 1 {
			t.Errorf("stats %+v", got)
		}
	})
}

// TestBounds: whatever is observed and whoever does not read, memory is bounded, and what is missing is counted.
func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		daemons int
		n       int
		line    string
		kept    int // at least
	}{
		{"many", 1, 2000, "", 50},
		{"large", 1, 30, strings.Repeat("x", maxLine), 5},
		{"many daemons", 1000, 20000, "", 5000},
		{"large of many", 200, 2000, strings.Repeat("x", maxLine), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tail := func(n int) []log.Line { return slices.Repeat([]log.Line{{Text: []byte(tt.line)}}, n) }
				h := New(Options{})
				go h.Run()
				slow := h.Read()
				for i := range tt.n {
					h.Observe(child.Event{Kind: child.EventExited, Daemon: fmt.Sprint(i % tt.daemons), Exit: child.Exit{Code: 1}, Attempt: i / tt.daemons}, tail)
					if i%1000 == 0 {
						synctest.Wait()
					}
				}
				h.Close()
				synctest.Wait()
				kept, bytes, each := 0, 0, map[string]int{}
				h.mu.Lock()
				for _, r := range h.kept.all {
					if r != nil {
						kept, bytes = kept+1, bytes+len(r.JSON)
						each[r.subject] += len(r.JSON)
					}
				}
				if bytes != h.kept.bytes {
					t.Errorf("%d bytes are kept, and %d counted", bytes, h.kept.bytes)
				}
				h.mu.Unlock()
				for name, n := range each {
					if n > maxDaemon {
						t.Errorf("%d bytes are kept of %s", n, name)
					}
				}
				if kept < tt.kept || bytes > maxBytes {
					t.Errorf("%d events with %d bytes are kept", kept, bytes)
				}
				got := 0
				for {
					_, lost, err := slow.Next(t.Context())
					if err != nil {
						break
					}
					got += 1 + lost
				}
				if got != tt.n {
					t.Errorf("a slow reader knows of %d events, want %d", got, tt.n)
				}
				if n := h.Read().Rest(); n != kept {
					t.Errorf("a new reader has %d events, want %d", n, kept)
				}
			})
		})
	}
}

// TestCrashLoop: a daemon that crashes for hours pushes out nobody's events but its own; its first failure stays, with its log, and
// counts those that are gone.
func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tail := func(n int) []log.Line { return []log.Line{{Text: []byte("it broke")}} }
		h := New(Options{})
		go h.Run()
		at := time.Now()
		fail := func(daemon string, attempt int) {
			h.Observe(child.Event{Time: at, Kind: child.EventExited, Daemon: daemon, Exit: child.Exit{Code: 3}, Attempt: attempt, Next: child.NextRestart, Delay: time.Second}, tail)
			h.Observe(child.Event{Time: at, Kind: child.EventStarted, Daemon: daemon}, nil)
		}
		fail("quiet", 1)
		const loops = 1500
		for i := range loops {
			fail("loud", i+1)
			at = at.Add(30 * time.Second)
			synctest.Wait()
		}
		h.Close()
		synctest.Wait()
		var ends []client.Event
		quiet := 0
		for r := h.Read(); ; {
			rec, lost, err := r.Next(t.Context())
			if err != nil {
				break
			}
			var e client.Event
			if err := json.Unmarshal(rec.JSON, &e); err != nil || lost != 0 {
				t.Fatalf("%v, %d lost", err, lost)
			}
			switch {
			case e.Subject == "quiet":
				quiet++
			case e.Type == client.EventExited:
				ends = append(ends, e)
			}
		}
		if quiet != 3 {
			t.Errorf("%d events of another daemon are kept, want 3", quiet)
		}
		if len(ends) < 20 || ends[0].Data.Attempt != 1 || !slices.Equal(ends[0].Data.Log, []string{"it broke"}) || ends[0].Data.Repeats+len(ends) != loops {
			t.Errorf("%d ends are kept, the first is %+v", len(ends), ends[0].Data)
		}
		if last := ends[len(ends)-1].Data; last.Attempt != loops || len(last.Log) != 1 {
			t.Errorf("the last is %+v", last)
		}
		if h.Since().IsZero() {
			t.Error("nothing is said to be gone")
		}
	})
}

// TestObserveDoesNotBlock: nobody runs the hub.
func TestObserveDoesNotBlock(t *testing.T) {
	h := New(Options{})
	for range queueLimit + 10 {
		h.Observe(child.Event{Kind: child.EventStarted}, nil)
	}
	h.Close()
	h.Run()
	if got := h.Stats(); got.Dropped != 10 || got.Events != queueLimit || got.QueueHighWater != queueLimit {
		t.Errorf("stats %+v", got)
	}
	if n := h.Read().Rest(); n == 0 || n > queueLimit {
		t.Errorf("%d events are kept", n)
	}
}
