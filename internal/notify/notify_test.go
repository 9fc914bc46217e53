package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
)

// A fixture is a hub and a notifier with one sink whose tries the test answers, in virtual time.
type fixture struct {
	t     *testing.T
	hub   *events.Hub
	n     *Notifier
	start time.Time
	ended time.Duration // when Run has returned

	mu    sync.Mutex
	lines []string
	tries []string // the time of each, and the reason in the event
}

// run calls do with a running notifier whose sink is send, then ends it, and checks that the counts add up.
func run(t *testing.T, send func(f *fixture, ctx context.Context, try int) error, do func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{t: t, hub: events.New(events.Options{}), start: time.Now()}
		var err error
		f.n, err = New(Options{
			Events: f.hub, Sinks: []bundle.Sink{{URL: "http://sink/secret?token=secret"}},
			Printf: func(format string, a ...any) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.lines = append(f.lines, fmt.Sprintf(format, a...))
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.n.sinks[0].send = func(ctx context.Context, event []byte) error {
			f.mu.Lock()
			f.tries = append(f.tries, fmt.Sprint(time.Since(f.start), " ", reason(event)))
			try := len(f.tries)
			f.mu.Unlock()
			return send(f, ctx, try)
		}
		go f.hub.Run()
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.n.Run()
			f.ended = time.Since(f.start)
		}()
		do(f)
		f.hub.Close()
		f.n.Finish(time.Now().Add(time.Second))
		f.n.Finish(time.Now().Add(time.Hour))
		<-done
		s := f.n.Stats()[0]
		if made := f.hub.Stats().Events; s.Delivered+s.Dropped != made {
			t.Errorf("%d delivered and %d dropped are not %d events", s.Delivered, s.Dropped, made)
		}
		if strings.Contains(strings.Join(f.lines, "\n"), "secret") {
			t.Errorf("a line has a secret: %q", f.lines)
		}
	})
}

func reason(event []byte) string {
	_, rest, _ := strings.Cut(string(event), `"reason":"`)
	r, _, _ := strings.Cut(rest, `"`)
	return r
}

// event makes something happen.
func (f *fixture) event(reason string) {
	f.hub.Observe(child.Event{Time: time.Now(), Kind: child.EventUnhealthy, Daemon: "web", Reason: reason}, nil)
	synctest.Wait()
}

// check compares what was tried and what was printed, and the counters.
func (f *fixture) check(delivered, dropped uint64, tries, lines []string) {
	f.t.Helper()
	if s := f.n.Stats()[0]; s.Delivered != delivered || s.Dropped != dropped {
		f.t.Errorf("%d delivered and %d dropped, want %d and %d", s.Delivered, s.Dropped, delivered, dropped)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if tries != nil && !slices.Equal(f.tries, tries) {
		f.t.Errorf("tries\n%s\nwant\n%s", strings.Join(f.tries, "\n"), strings.Join(tries, "\n"))
	}
	if !slices.Equal(f.lines, lines) {
		f.t.Errorf("lines\n%s\nwant\n%s", strings.Join(f.lines, "\n"), strings.Join(lines, "\n"))
	}
}

// hang is a try that ends when it must.
func hang(_ *fixture, ctx context.Context, _ int) error {
	<-ctx.Done()
	return errors.New("no answer in time")
}

func TestDelivered(t *testing.T) {
	run(t, func(*fixture, context.Context, int) error { return nil }, func(f *fixture) {
		f.event("a")
		f.event("b")
		f.check(2, 0, []string{"0s a", "0s b"}, nil)
	})
}

// TestForeignText: what a sink answers cannot do anything to the log.
func TestForeignText(t *testing.T) {
	answer := "it answers 400 \x1b[2J\r\u202e" + strings.Repeat("x", 15<<10)
	want := ": it answers 400  [2J  " + strings.Repeat("x", 174) + "…"
	run(t, func(_ *fixture, _ context.Context, try int) error {
		if try == 1 {
			return errors.New(answer)
		}
		return refusal{errors.New(answer)}
	}, func(f *fixture) {
		f.event("a")
		time.Sleep(time.Minute)
		f.check(0, 1, nil, []string{
			"cannot send events to http://sink" + want + "; it is tried again",
			"1 events for http://sink were dropped" + want,
		})
	})
}

func TestRetry(t *testing.T) {
	run(t, func(_ *fixture, _ context.Context, try int) error {
		if try <= 8 {
			return errors.New("it answers 500")
		}
		return nil
	}, func(f *fixture) {
		f.event("a")
		f.event("b")
		time.Sleep(5 * time.Minute)
		f.check(2, 0, []string{
			"0s a", "500ms a", "1.5s a", "3.5s a", "7.5s a", "15.5s a", "31.5s a", "1m1.5s a", "1m31.5s a", "1m31.5s b",
		}, []string{
			"cannot send events to http://sink: it answers 500; it is tried again",
			"http://sink takes events again",
		})
	})
}

// TestGiveUp: a sink that is down for long gets what is not too old.
func TestGiveUp(t *testing.T) {
	run(t, func(f *fixture, _ context.Context, _ int) error {
		if time.Since(f.start) < 20*time.Minute {
			return errors.New("connection refused")
		}
		return nil
	}, func(f *fixture) {
		f.event("a")
		f.event("b")
		time.Sleep(15 * time.Minute)
		f.event("c")
		f.check(0, 2, nil, []string{
			"cannot send events to http://sink: connection refused; it is tried again",
			"1 events for http://sink were dropped: connection refused", // the next line would come within a minute
		})
		time.Sleep(10 * time.Minute)
		f.check(1, 2, nil, []string{
			"cannot send events to http://sink: connection refused; it is tried again",
			"1 events for http://sink were dropped: connection refused",
			"http://sink takes events again",
			"1 events for http://sink were dropped: connection refused",
		})
	})
}

func TestRefused(t *testing.T) {
	run(t, func(_ *fixture, _ context.Context, try int) error {
		if try == 1 {
			return refusal{errors.New("it answers 404")}
		}
		return nil
	}, func(f *fixture) {
		f.event("a")
		f.event("b")
		f.check(1, 1, []string{"0s a", "0s b"}, []string{"1 events for http://sink were dropped: it answers 404"})
	})
}

// TestOverflow: more happens than can be kept while the sink hangs.
func TestOverflow(t *testing.T) {
	const total = 3000
	run(t, func(f *fixture, ctx context.Context, _ int) error {
		if time.Since(f.start) < time.Minute {
			return hang(f, ctx, 0)
		}
		return nil
	}, func(f *fixture) {
		for i := range total {
			f.event(fmt.Sprint(i))
		}
		// What is gone counts as soon as it is, and not when the try ends that hangs.
		if s := f.n.Stats()[0]; s.Delivered != 0 || s.Dropped < total/2 {
			t.Errorf("while it hangs: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		s := f.n.Stats()[0]
		if s.Delivered+s.Dropped != total || s.Dropped < total/2 || s.Delivered < 100 {
			t.Errorf("%+v", s)
		}
	})
}

// TestLongTry: a try ends when its time is over.
func TestLongTry(t *testing.T) {
	run(t, hang, func(f *fixture) {
		f.event("a")
		time.Sleep(time.Minute)
		f.check(0, 0, []string{"0s a", "5.5s a", "11.5s a", "18.5s a", "27.5s a", "40.5s a"},
			[]string{"cannot send events to http://sink: no answer in time; it is tried again"})
	})
}

// TestEnd: what is left at the end gets a chance, which is short for a sink that does not deserve one.
func TestEnd(t *testing.T) {
	slow := func(d time.Duration) func(*fixture, context.Context, int) error {
		return func(_ *fixture, ctx context.Context, _ int) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return errors.New("no answer in time")
			}
		}
	}
	deaf := func(f *fixture, _ context.Context, _ int) error {
		<-f.t.Context().Done() // does not even hear that its time is over
		return nil
	}
	for _, tt := range []struct {
		name      string
		send      func(*fixture, context.Context, int) error
		age       time.Duration // of the events at the end
		n         int
		delivered uint64
		took      time.Duration
	}{
		{"nothing left", slow(0), time.Second, 3, 3, 0},
		{"healthy", slow(100 * time.Millisecond), 0, 5, 5, 500 * time.Millisecond},
		{"healthy, and too much", slow(100 * time.Millisecond), 0, 50, 9, time.Second},
		{"hanging since just now", hang, 0, 5, 0, lastTime},
		{"hanging for a while", hang, time.Second, 5, 0, 0},
		{"failing", hang, 5100 * time.Millisecond, 5, 0, lastRetry},
		{"gone for good", deaf, 0, 5, 0, time.Second + lastRetry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, tt.send, func(f *fixture) {
				for range tt.n {
					f.event("a")
				}
				time.Sleep(tt.age)
				t.Cleanup(func() {
					if s := f.n.Stats()[0]; s.Delivered < tt.delivered || s.Delivered > tt.delivered+1 {
						t.Errorf("%d of %d delivered, want %d", s.Delivered, tt.n, tt.delivered)
					}
					if took := f.ended - tt.age; took != tt.took {
						t.Errorf("the end took %s, want %s", took, tt.took)
					}
				})
			})
		})
	}
}
