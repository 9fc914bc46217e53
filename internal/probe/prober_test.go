package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

func TestMain(m *testing.M) {
	testproc.Main()
	os.Exit(m.Run())
}

// A record is what a Prober has told, with the time since it was made.
type record struct {
	start time.Time
	mu    sync.Mutex
	lines []string
}

func (r *record) add(format string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%v ", time.Since(r.start))+fmt.Sprintf(format, a...))
}

func (r *record) tell(daemon string, m child.Fact) {
	switch m := m.(type) {
	case child.Ready:
		r.add("%s %d ready", daemon, m.Gen)
	case child.Unhealthy:
		r.add("%s %d unhealthy: %s", daemon, m.Gen, m.Reason)
	case child.Stopping:
		r.add("%s %d stopping", daemon, m.Gen)
	case child.Extend:
		r.add("%s %d extend %s", daemon, m.Gen, m.By)
	case child.Note:
		r.add("%s %d says %s", daemon, m.Gen, m.Text)
	default:
		r.add("%s %#v", daemon, m)
	}
}

// web tells of the daemon web.
func (r *record) web(m child.Fact) { r.tell("web", m) }

func (r *record) check(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.lines, want) {
		t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(r.lines, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func newRecord() *record { return &record{start: time.Now()} }

func started(gen uint64) child.Event {
	return child.Event{Kind: child.EventStarted, Daemon: "web", Gen: gen, PID: 100 + int(gen)}
}

func exited(gen uint64) child.Event {
	return child.Event{Kind: child.EventExited, Daemon: "web", Gen: gen}
}

// A result is what one check does.
type result struct {
	err  string        // "" is success
	took time.Duration // at most the time that the check is given
}

// checks is a Check with these results, one after the other, the last one again and again. It records when each begins.
func checks(r *record, name string, results ...result) Check {
	var mu sync.Mutex
	return func(ctx context.Context) error {
		mu.Lock()
		res := results[0]
		if len(results) > 1 {
			results = results[1:]
		}
		mu.Unlock()
		r.add("%s", name)
		select {
		case <-time.After(res.took):
		case <-ctx.Done():
			return ctx.Err()
		}
		if res.err != "" {
			return errors.New(res.err)
		}
		return nil
	}
}

var (
	ok  = result{}
	bad = result{err: "no"}
)

// TestHealth is Docker's health check, by the clock.
func TestHealth(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name    string
		health  Health
		results []result
		lasts   time.Duration
		want    []string
	}{
		{
			name: "defaults", results: []result{ok}, lasts: 65 * s,
			want: []string{"30s check", "30s web 1 ready", "1m0s check"},
		},
		{
			name: "the interval begins when the check has ended", health: Health{Interval: 2 * s}, lasts: 8 * s,
			results: []result{{took: s}},
			want:    []string{"2s check", "3s web 1 ready", "5s check", "8s check"},
		},
		{
			name: "three failures in a row", health: Health{Interval: s}, lasts: 8 * s, results: []result{bad, bad, ok, bad, bad, bad, bad},
			want: []string{
				"1s check", "2s check", "3s check", "3s web 1 ready", "4s check", "5s check", "6s check",
				"6s web 1 unhealthy: its health check has failed 3 times: no", "7s check", "8s check",
			},
		},
		{
			name: "and one success", health: Health{Interval: s, Retries: 2}, lasts: 5 * s, results: []result{bad, bad, bad, ok, bad},
			want: []string{
				"1s check", "2s check", "2s web 1 unhealthy: its health check has failed 2 times: no", "3s check", "4s check",
				"4s web 1 ready", "5s check",
			},
		},
		{
			name: "unhealthy again", health: Health{Interval: s, Retries: 1}, lasts: 3 * s, results: []result{bad, ok, bad},
			want: []string{
				"1s check", "1s web 1 unhealthy: its health check has failed: no", "2s check", "2s web 1 ready",
				"3s check", "3s web 1 unhealthy: its health check has failed: no",
			},
		},
		{
			name: "failures in the start period do not count", health: Health{Interval: 4 * s, StartPeriod: 12 * s, Retries: 1},
			results: []result{bad}, lasts: 19 * s,
			want: []string{"5s check", "10s check", "15s check", "15s web 1 unhealthy: its health check has failed: no", "19s check"},
		},
		{
			name:   "start interval until the first success",
			health: Health{Interval: 4 * s, StartPeriod: 12 * s, StartInterval: s, Retries: 1}, results: []result{bad, bad, ok, bad}, lasts: 7 * s,
			want: []string{
				"1s check", "2s check", "3s check", "3s web 1 ready", "7s check", "7s web 1 unhealthy: its health check has failed: no",
			},
		},
		{
			name:   "a check counts that begins in the start period by when it began",
			health: Health{Interval: 4 * s, StartPeriod: 3 * s, StartInterval: 2 * s, Retries: 1}, results: []result{{err: "no", took: 2 * s}, bad}, lasts: 8 * s,
			want: []string{"2s check", "8s check", "8s web 1 unhealthy: its health check has failed: no"},
		},
		{
			name: "timeout", health: Health{Interval: s, Timeout: 2 * s, Retries: 1}, results: []result{{took: time.Hour}, ok}, lasts: 4 * s,
			want: []string{"1s check", "3s web 1 unhealthy: its health check has failed: it took longer than 2s", "4s check", "4s web 1 ready"},
		},
		{
			name: "the time of another", health: Health{Interval: s, Retries: 1}, lasts: s,
			results: []result{{err: "context deadline exceeded"}},
			want:    []string{"1s check", "1s web 1 unhealthy: its health check has failed: context deadline exceeded"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecord()
				tt.health.Check = checks(r, "check", tt.results...)
				p := New(Plan{Health: &tt.health}, r.web)
				p.Observe(started(1))
				time.Sleep(tt.lasts)
				synctest.Wait()
				p.Observe(exited(1))
				time.Sleep(time.Hour)
				r.check(t, tt.want...)
			})
		})
	}
}

func TestReady(t *testing.T) {
	for _, tt := range []struct {
		name string
		plan func(r *record) Plan
		do   func(l *Life) // 150 ms after the start
		want []string
	}{
		{
			name: "polled",
			plan: func(r *record) Plan { return Plan{Ready: checks(r, "ready?", bad, bad, bad, bad, ok)} },
			want: []string{"0s ready?", "10ms ready?", "30ms ready?", "70ms ready?", "150ms ready?", "150ms web 1 ready"},
		},
		{
			name: "its own time",
			plan: func(r *record) Plan {
				return Plan{Timeout: 20 * time.Millisecond, Ready: checks(r, "ready?", result{took: time.Hour}, ok)}
			},
			want: []string{"0s ready?", "30ms ready?", "30ms web 1 ready"},
		},
		{
			name: "a panic",
			plan: func(r *record) Plan {
				first := true
				return Plan{Ready: func(context.Context) error {
					if first {
						first = false
						panic("oh")
					}
					return nil
				}}
			},
			want: []string{"10ms web 1 ready"},
		},
		{
			name: "told",
			plan: func(*record) Plan { return Plan{Told: true} },
			do: func(l *Life) {
				l.Ready()
				l.Ready()
			},
			want: []string{"150ms web 1 ready"},
		},
		{
			name: "told to be unhealthy, and to be well again",
			plan: func(*record) Plan { return Plan{Told: true} },
			do: func(l *Life) {
				l.Ready()
				l.Unhealthy("silence")
				l.Unhealthy("silence still")
				l.Ready()
			},
			want: []string{"150ms web 1 ready", "150ms web 1 unhealthy: silence", "150ms web 1 ready"},
		},
		{
			name: "a check for readiness and one for health",
			plan: func(r *record) Plan {
				return Plan{Ready: checks(r, "ready?", bad, ok), Health: &Health{Check: checks(r, "check", bad, ok), Interval: time.Second, Retries: 1}}
			},
			want: []string{"0s ready?", "10ms ready?", "10ms check", "1.01s check", "1.01s web 1 ready"},
		},
		{
			name: "the latter succeeds first",
			plan: func(r *record) Plan {
				return Plan{Told: true, Health: &Health{Check: checks(r, "check", ok), Interval: 100 * time.Millisecond}}
			},
			do:   func(l *Life) { l.Ready(); l.Stopping() },
			want: []string{"100ms check", "150ms web 1 ready", "150ms web 1 stopping"},
		},
		{
			name: "both fail",
			plan: func(r *record) Plan {
				return Plan{Told: true, Health: &Health{Check: checks(r, "check", bad, ok), Interval: 200 * time.Millisecond, Retries: 2}}
			},
			do: func(l *Life) { l.Unhealthy("silence") },
			want: []string{
				"150ms web 1 unhealthy: silence", "200ms check", "400ms check", "600ms check", "800ms check", "1s check", "1.2s check",
			},
		},
		{
			name: "more time",
			plan: func(*record) Plan { return Plan{Told: true} },
			do: func(l *Life) {
				l.Stopping()
				l.Ready()
				l.Unhealthy("no")
				l.Extend(time.Minute)
				l.Note("soon")
			},
			want: []string{"150ms web 1 stopping", "150ms web 1 extend 1m0s", "150ms web 1 says soon"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecord()
				p := New(tt.plan(r), r.web)
				l := p.Begin()
				p.Observe(started(1))
				time.Sleep(150 * time.Millisecond)
				synctest.Wait()
				if tt.do != nil {
					tt.do(l)
				}
				time.Sleep(1150 * time.Millisecond)
				p.Observe(exited(1))
				time.Sleep(time.Hour)
				r.check(t, tt.want...)
			})
		})
	}
}

// TestLives: what is told about a life is told about no other one.
func TestLives(t *testing.T) {
	r := newRecord()
	r.start = r.start.Add(-time.Nanosecond)
	p := New(Plan{Told: true}, func(m child.Fact) {
		r.add("web %v", m)
		r.lines[len(r.lines)-1] = strings.SplitN(r.lines[len(r.lines)-1], " ", 2)[1]
	})
	one := p.Begin()
	one.Ready() // a fast daemon is ready before its actor knows that it was started
	one.Extend(1)
	one.Note("booting")
	if pid := one.PID(); pid != 0 {
		t.Errorf("PID before the start: got %d", pid)
	}
	r.check(t)
	p.Observe(started(7))
	if pid := one.PID(); pid != 107 {
		t.Errorf("PID: got %d, want 107", pid)
	}
	<-one.Started()
	r.check(t, "web {7}")
	p.Observe(child.Event{Kind: child.EventReady, Daemon: "web", Gen: 7})
	ends := 0
	one.AtEnd(func() { ends++ })
	p.Observe(exited(7))
	one.AtEnd(func() { ends++ })
	if ends != 2 {
		t.Errorf("AtEnd: got %d calls, want 2", ends)
	}
	one.Unhealthy("dead")
	one.Extend(1)
	one.Note("dead")
	if pid := one.PID(); pid != 0 {
		t.Errorf("PID after the end: got %d", pid)
	}

	failed := p.Begin()
	failed.Ready()
	p.Observe(child.Event{Kind: child.EventFailed, Daemon: "web", Gen: 8})
	<-failed.Started()

	two := p.Begin()
	p.Observe(started(9))
	one.Ready()
	failed.Ready()
	r.check(t, "web {7}")
	two.Ready()
	r.check(t, "web {7}", "web {9}")
}

// TestClose: after the bundle's end has begun nothing is probed, and no life that begins later is.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		p := New(Plan{Ready: checks(r, "ready?", bad), Health: &Health{Check: checks(r, "check", ok), Interval: time.Second}}, r.web)
		p.Observe(started(1))
		synctest.Wait()
		p.Close()
		time.Sleep(time.Hour)
		p.Observe(exited(1))
		p.Observe(started(2))
		time.Sleep(time.Hour)
		r.check(t, "0s ready?")
		p.Observe(exited(2))
	})
}

// TestSetPlan: another plan counts from now on, for the process that lives too.
func TestSetPlan(t *testing.T) {
	const s = time.Second
	every := func(r *record, name string, results ...result) *Health {
		return &Health{Check: checks(r, name, results...), Interval: s, Retries: 1}
	}
	for _, tt := range []struct {
		name      string
		old, next func(r *record) Plan
		want      []string
	}{
		{
			name: "another check", old: func(r *record) Plan { return Plan{Health: every(r, "old", ok)} },
			next: func(r *record) Plan { return Plan{Health: every(r, "new", ok, bad)} },
			want: []string{"1s old", "1s web 1 ready", "2s old", "3.5s new", "4.5s new", "4.5s web 1 unhealthy: its health check has failed: no"},
		},
		{
			name: "no check any more", old: func(r *record) Plan { return Plan{Health: every(r, "old", ok, bad)} },
			next: func(*record) Plan { return Plan{} },
			want: []string{"1s old", "1s web 1 ready", "2s old", "2s web 1 unhealthy: its health check has failed: no", "2.5s web 1 ready"},
		},
		{
			name: "the first check", old: func(*record) Plan { return Plan{} },
			next: func(r *record) Plan { return Plan{Health: every(r, "new", ok)} },
			want: []string{"3.5s new", "3.5s web 1 ready", "4.5s new"},
		},
		{
			name: "another readiness, before it is ready", old: func(r *record) Plan { return Plan{Ready: checks(r, "old", result{took: time.Hour})} },
			next: func(r *record) Plan { return Plan{Ready: checks(r, "new", ok)} },
			want: []string{"0s old", "2.5s new", "2.5s web 1 ready"},
		},
		{
			name: "another readiness, when it is ready", old: func(r *record) Plan { return Plan{Ready: checks(r, "old", ok)} },
			next: func(r *record) Plan { return Plan{Ready: checks(r, "new", bad)} },
			want: []string{"0s old", "0s web 1 ready"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecord()
				p := New(tt.old(r), r.web)
				p.Observe(started(1))
				time.Sleep(2500 * time.Millisecond)
				p.SetPlan(tt.next(r))
				time.Sleep(2500 * time.Millisecond)
				synctest.Wait()
				p.Observe(exited(1))
				time.Sleep(time.Hour)
				r.check(t, tt.want...)
				p.SetPlan(tt.next(r)) // of a dead one: nothing is asked
				time.Sleep(time.Hour)
				r.check(t, tt.want...)
			})
		})
	}
}

func ExampleProber() {
	told := make(chan child.Fact)
	p := New(Plan{Ready: func(context.Context) error { return nil }}, func(m child.Fact) { told <- m })

	go p.Observe(child.Event{Kind: child.EventStarted, Daemon: "web", Gen: 1, PID: 4711})
	fmt.Printf("%T\n", <-told)
	p.Observe(child.Event{Kind: child.EventExited, Daemon: "web", Gen: 1})
	// Output: child.Ready
}
