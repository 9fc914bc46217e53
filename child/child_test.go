package child_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// deaf is a daemon that only SIGKILL ends.
var deaf = testproc.Reactions{syscall.SIGTERM: {Ignore: true}}

// A lab has a Child with processes in memory, inside a bubble of testing/synctest.
type lab struct {
	t     *testing.T
	fake  *testproc.Fake
	child *child.Child
	begin time.Time
	done  chan error

	mu       sync.Mutex
	events   []string
	statuses []child.Status
}

// experiment starts a Child in a bubble, lets do speak to it, and waits for its end. A goroutine that is left fails the
// test, since a bubble ends when all of its goroutines do.
func experiment(t *testing.T, spec child.Spec, lives map[string][]testproc.Life, do func(l *lab)) *lab {
	t.Helper()
	l := &lab{fake: &testproc.Fake{Lives: lives}}
	synctest.Test(t, func(t *testing.T) {
		l.t, l.begin, l.done = t, time.Now(), make(chan error, 1)
		if spec.Name == "" {
			spec.Name = "web"
		}
		l.child = child.New(&spec, l.fake, child.Hooks{Event: l.event, Status: l.status})
		l.fake.OnReady = func(string, int, int) { l.tell(child.Ready{Gen: l.last().Gen}) }
		go func() { l.done <- l.child.Run() }()
		do(l)
		if err := <-l.done; err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		l.fake.Check(t)
	})
	return l
}

func (l *lab) event(e child.Event) {
	s := fmt.Sprintf("%v %s", time.Since(l.begin), e.Kind)
	switch e.Kind {
	case child.EventExited:
		s += " with " + e.Exit.String()
		if e.Next != child.NextNothing {
			s += fmt.Sprintf(", %s %d in %v", e.Next, e.Attempt, e.Delay)
		}
		if e.Requested {
			s += ", as requested"
		}
	case child.EventFailed, child.EventUnhealthy, child.EventStepFailed, child.EventNotStarted:
		s += ": " + e.Reason
	case child.EventStarted:
		if e.Restart {
			s += " in place"
		}
	case child.EventKilled:
		s += fmt.Sprintf(" after %v of %s", e.Delay, child.SignalName(e.Signal))
	case child.EventForwarded, child.EventDropped:
		s += " " + child.SignalName(e.Signal)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, s)
}

func (l *lab) status(s child.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses = append(l.statuses, s)
}

// last is the last status.
func (l *lab) last() child.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.statuses) == 0 {
		return child.Status{State: child.StateWaiting}
	}
	return l.statuses[len(l.statuses)-1]
}

func (l *lab) tell(m child.Msg) { _ = l.child.Ref().Tell(m) }

// at tells the Child something at a time.
func (l *lab) at(d time.Duration, m child.Msg) {
	time.AfterFunc(time.Until(l.begin.Add(d)), func() { l.tell(m) })
}

// until lets time pass.
func (l *lab) until(d time.Duration) {
	time.Sleep(time.Until(l.begin.Add(d)))
	synctest.Wait()
}

// want compares lists line by line.
func want(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if w := lines(want); !slices.Equal(got, w) {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(w, "\n\t"))
	}
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// TestLife is what happens to a daemon, and what the log is told of it, at exactly which time.
func TestLife(t *testing.T) {
	const s = time.Second
	always := child.RestartPolicy{Policy: child.RestartAlways}
	fixed := child.Backoff{Initial: s, Fixed: true}
	type at struct {
		when time.Duration
		what child.Msg
	}
	final := child.Terminate{Final: true, Half: 4 * s}
	for _, tt := range []struct {
		name   string
		spec   child.Spec
		lives  []testproc.Life
		told   []at
		events string
		trace  string // what was done to the processes that were there to hear it; empty: it is not looked at
	}{
		{
			name: "stop at the end", told: []at{{0, child.Start{}}, {s, final}},
			events: `
				0s starting
				0s started
				1s exited with code -15 (SIGTERM), as requested`,
			trace: `
				web/1 spawning
				web/1 spawned
				web/1 SIGTERM group
				web/1 ended code -15 (SIGTERM)
				web/1 waited
				web/1 released`,
		},
		{
			name: "restart in place", told: []at{{0, child.Start{}}, {s, child.Restart{}}, {2 * s, final}},
			events: `
				0s starting
				0s started
				1s restarting
				1s exited with code -15 (SIGTERM), as requested
				1s started in place
				2s exited with code -15 (SIGTERM), as requested`,
			trace: `
				web/1 spawning
				web/1 spawned
				web/1 SIGTERM group
				web/1 ended code -15 (SIGTERM)
				web/1 waited
				web/1 released kill
				web/2 spawning
				web/2 spawned
				web/2 SIGTERM group
				web/2 ended code -15 (SIGTERM)
				web/2 waited
				web/2 released`,
		},
		{
			name: "restart of a stubborn daemon", lives: []testproc.Life{{On: deaf}, {}},
			told: []at{{0, child.Start{}}, {s, child.Restart{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s restarting
				6s killed after 5s of SIGTERM
				6s exited with code -9 (SIGKILL), as requested
				6s started in place
				9s exited with code -15 (SIGTERM), as requested`,
			trace: `
				web/1 spawning
				web/1 spawned
				web/1 SIGTERM group
				web/1 SIGCONT group
				web/1 SIGKILL group
				web/1 ended code -9 (SIGKILL)
				web/1 waited
				web/1 released kill
				web/2 spawning
				web/2 spawned
				web/2 SIGTERM group
				web/2 ended code -15 (SIGTERM)
				web/2 waited
				web/2 released`,
		},
		{
			name: "restarts coalesce while it is being stopped", lives: []testproc.Life{{On: deaf}, {}},
			told: []at{{0, child.Start{}}, {s, child.Restart{}}, {2 * s, child.Restart{}}, {3 * s, child.Restart{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s restarting
				6s killed after 5s of SIGTERM
				6s exited with code -9 (SIGKILL), as requested
				6s started in place
				9s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "restart while it is being executed", lives: []testproc.Life{{StartDelay: 3 * s}},
			told: []at{{0, child.Start{}}, {s, child.Restart{}}, {2 * s, child.Restart{}}, {9 * s, final}},
			events: `
				0s starting
				3s started
				3s restarting
				3s exited with code -15 (SIGTERM), as requested
				6s started in place
				9s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "terminate during a slow spawn", lives: []testproc.Life{{StartDelay: 3 * s}},
			told: []at{{0, child.Start{}}, {s, final}},
			events: `
				0s starting
				3s started
				3s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "kill during a slow spawn", lives: []testproc.Life{{StartDelay: 3 * s, On: deaf}},
			told: []at{{0, child.Start{}}, {s, child.Kill{}}},
			events: `
				0s starting
				3s started
				3s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "terminate during a spawn that fails", lives: []testproc.Life{{StartDelay: 3 * s, StartError: &child.StartError{Reason: "no such file", Code: 127}}},
			told: []at{{0, child.Start{}}, {s, final}},
			events: `
				0s starting
				3s failed: no such file`,
			trace: `
				web/1 spawning
				web/1 failed: no such file`,
		},
		{
			name: "backoff", spec: child.Spec{Restart: always, Backoff: fixed},
			lives: []testproc.Life{{ExitAfter: 2 * s, Exit: child.Exit{Code: 3}}, {ExitAfter: testproc.AtOnce}, {}},
			told:  []at{{0, child.Start{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				2s exited with code 3, restart 1 in 1s
				3s starting
				3s started
				3s exited with code 0, restart 2 in 1s
				4s starting
				4s started
				9s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "terminate during backoff", spec: child.Spec{Restart: always, Backoff: child.Backoff{Initial: 9 * s, Fixed: true}},
			lives: []testproc.Life{{ExitAfter: s}}, told: []at{{0, child.Start{}}, {2 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0, restart 1 in 9s`,
		},
		{
			name: "stop by hand during backoff, then start", spec: child.Spec{Restart: always, Backoff: child.Backoff{Initial: 9 * s, Fixed: true}},
			lives: []testproc.Life{{ExitAfter: s}, {}},
			told:  []at{{0, child.Start{}}, {2 * s, child.Terminate{}}, {20 * s, child.Start{}}, {21 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0, restart 1 in 9s
				2s stopped
				20s starting
				20s started
				21s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "stop by hand, deaf", lives: []testproc.Life{{On: deaf}}, spec: child.Spec{StopGrace: 2 * s},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				3s killed after 2s of SIGTERM
				3s exited with code -9 (SIGKILL), as requested
				3s stopped`,
		},
		{
			name: "the end comes while it is being stopped: only Kill ends it", lives: []testproc.Life{{On: deaf}},
			told: []at{{0, child.Start{}}, {s, child.Restart{}}, {2 * s, final}, {10 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s restarting
				10s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "retired, it lives on until it is told to end", spec: child.Spec{Restart: always},
			told: []at{{0, child.Start{}}, {s, child.Retire{}}, {2 * s, final}},
			events: `
				0s starting
				0s started
				2s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "signals wait until it is ready", spec: child.Spec{Readiness: true}, lives: []testproc.Life{{ReadyAfter: 3 * s, On: testproc.Reactions{syscall.SIGHUP: {Ignore: true}}}},
			told: []at{
				{0, child.Start{}},
				{s, child.Signal{Sig: syscall.SIGHUP, Wait: true}},
				{2 * s, child.Signal{Sig: syscall.SIGHUP, Wait: true}},
				{4 * s, child.Signal{Sig: syscall.SIGHUP, Wait: true}},
				{9 * s, final},
			},
			events: `
				0s starting
				0s started
				3s ready
				3s forwarded SIGHUP
				4s forwarded SIGHUP
				9s exited with code -15 (SIGTERM), as requested`,
			trace: `
				web/1 spawning
				web/1 spawned
				web/1 ready
				web/1 SIGHUP
				web/1 SIGHUP
				web/1 SIGTERM group
				web/1 ended code -15 (SIGTERM)
				web/1 waited
				web/1 released`,
		},
		{
			name: "a daemon without readiness gets signals right after its start, and may die of them", lives: []testproc.Life{{StartDelay: s}},
			told: []at{{0, child.Start{}}, {s / 2, child.Signal{Sig: syscall.SIGHUP, Wait: true}}, {2 * s, child.Signal{Sig: syscall.SIGHUP, Wait: true}}, {3 * s, final}},
			events: `
				0s starting
				1s started
				1s forwarded SIGHUP
				1s exited with code -1 (SIGHUP)
				2s dropped SIGHUP`,
		},
		{
			name: "skip", told: []at{{0, child.Skip{Reason: "db is dead"}}, {s, final}},
			events: `
				0s notstarted: db is dead`,
		},
		{
			name: "a process that is stopped hears the stop signal", told: []at{{0, child.Start{}}, {s, child.Signal{Sig: syscall.SIGSTOP}}, {2 * s, final}},
			events: `
				0s starting
				0s started
				1s forwarded SIGSTOP
				2s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "grandchildren of one life are killed before the next", spec: child.Spec{Restart: always, Backoff: fixed},
			lives: []testproc.Life{{ExitAfter: s, Fork: []testproc.Life{{KillDelay: s / 2}}}, {}},
			told:  []at{{0, child.Start{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0, restart 1 in 1s
				2s starting
				2.5s started
				9s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "of kill_mode process they are not", spec: child.Spec{Restart: always, Backoff: fixed, KillMode: child.KillProcess},
			lives: []testproc.Life{{ExitAfter: s, Fork: []testproc.Life{{ExitAfter: 5 * s}}}, {}},
			told:  []at{{0, child.Start{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s exited with code 0, restart 1 in 1s
				2s starting
				2s started
				9s exited with code -15 (SIGTERM), as requested`,
			trace: `
				web/1 spawning
				web/1 spawned
				web/1 ended code 0
				web/1 waited
				web/1 released
				web/2 spawning
				web/2 spawned
				web/2 SIGTERM
				web/2 ended code -15 (SIGTERM)
				web/2 waited
				web/2 released`,
		},
		{
			name: "more time is granted", lives: []testproc.Life{{On: deaf}},
			told: []at{{0, child.Start{}}, {s, child.Terminate{}}, {2 * s, child.Extend{Gen: 1, By: 9 * s}}, {20 * s, final}},
			events: `
				0s starting
				0s started
				11s killed after 10s of SIGTERM
				11s exited with code -9 (SIGKILL), as requested
				11s stopped`,
		},
		{
			name: "unhealthy", spec: child.Spec{Restart: child.RestartPolicy{Policy: child.RestartOnFailure}, Backoff: fixed},
			lives: []testproc.Life{{On: testproc.Reactions{syscall.SIGTERM: {After: s}}}, {}},
			told:  []at{{0, child.Start{}}, {s, child.Unhealthy{Gen: 1, Reason: "no answer"}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s unhealthy: no answer
				2s exited with code 0, restart 1 in 1s
				3s starting
				3s started
				9s exited with code -15 (SIGTERM), as requested`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, tt.spec, map[string][]testproc.Life{"web": tt.lives}, func(l *lab) {
				for _, told := range tt.told {
					l.at(told.when, told.what)
				}
			})
			want(t, "events", l.events, tt.events)
			if tt.trace != "" {
				trace := slices.DeleteFunc(l.fake.Trace(), func(s string) bool { return strings.HasSuffix(s, "missed") })
				want(t, "trace", trace, tt.trace)
			}
		})
	}
}

// TestStatuses: after each message there is a status, after the events that it tells of; and it counts the commands.
func TestStatuses(t *testing.T) {
	l := experiment(t, child.Spec{}, nil, func(l *lab) {
		l.tell(child.Start{})
		l.until(time.Second)
		s := l.last()
		if s.Name != "web" || s.State != child.StateRunning || s.PID != 1001 || s.Seen != 1 || s.Starts != 1 || !s.Started.Equal(l.begin) {
			l.t.Errorf("got %+v, want a running daemon", s)
		}
		l.tell(child.Ready{Gen: 7})
		l.tell(child.Signal{Sig: syscall.SIGWINCH})
		l.until(2 * time.Second)
		if s := l.last(); s.State != child.StateRunning || s.Seen != 2 {
			l.t.Errorf("got %+v, want running after 2 commands", s)
		}
		l.tell(child.Terminate{Final: true})
	})
	if s := l.last(); s.State != child.StateExited || s.Seen != 3 || s.PID != 0 || s.Last == nil || s.Last.Signal != syscall.SIGTERM || s.Result != 0 {
		t.Errorf("got %+v, want exited after 3 commands, with result 0", s)
	}
	var states []string
	for _, s := range l.statuses {
		states = append(states, string(s.State))
	}
	want(t, "states", slices.Compact(states), "starting\nrunning\nstopping\nexited")
}

// TestNoHooks: both hooks may be missing.
func TestNoHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := child.New(&child.Spec{Name: "web"}, new(testproc.Fake), child.Hooks{})
		_ = c.Ref().Tell(child.Start{})
		time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Terminate{Final: true}) })
		if err := c.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
	})
}

// TestHookOrder: the hooks are called on one goroutine, events before the status that follows from them.
func TestHookOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string // no lock: the race detector would see a second goroutine
		c := child.New(&child.Spec{Name: "web"}, new(testproc.Fake), child.Hooks{
			Event:  func(e child.Event) { calls = append(calls, string(e.Kind)) },
			Status: func(s child.Status) { calls = append(calls, "status "+string(s.State)) },
		})
		for _, m := range []child.Msg{child.Start{}, child.Signal{Sig: syscall.SIGHUP, Wait: true}} {
			_ = c.Ref().Tell(m)
		}
		time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Kill{}) })
		if err := c.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		want(t, "calls", calls, `
			starting
			status starting
			status starting
			started
			forwarded
			status running
			exited
			status exited
			status exited`)
	})
}

// A denier spawns processes that may not be signalled.
type denier struct{ child.Spawner }

type denied struct{ child.Process }

func (d denier) Spawn(spec *child.Spec) (child.Process, error) {
	p, err := d.Spawner.Spawn(spec)
	return denied{p}, err
}

func (denied) Signal(syscall.Signal, bool) error { return syscall.EPERM }

// TestSignal: one that is not to wait is sent at once or not at all, and the sender learns which.
func TestSignal(t *testing.T) {
	const s = time.Second
	signal := func(l *lab, wait bool) (answer string) {
		reply := actor.NewReply[error]()
		l.tell(child.Signal{Sig: syscall.SIGWINCH, Wait: wait, Reply: reply})
		synctest.Wait()
		return fmt.Sprint(<-reply.C())
	}
	spec := child.Spec{Readiness: true}
	l := experiment(t, spec, map[string][]testproc.Life{"web": {{StartDelay: s, ReadyAfter: 2 * s, ExitAfter: 3 * s, Exit: child.Exit{Code: 3}}}}, func(l *lab) {
		for _, tt := range []struct {
			at   time.Duration
			wait bool
			want string
		}{
			{0, false, "it is about to be started"},
			{s + s/2, false, "<nil>"},
			{s + s/2, true, "<nil>"},
			{5 * s, false, "it has ended with code 3"},
		} {
			if tt.at > 0 {
				l.until(tt.at)
			} else {
				l.tell(child.Start{})
			}
			if got := signal(l, tt.wait); got != tt.want {
				l.t.Errorf("at %v: got %s, want %s", tt.at, got, tt.want)
			}
		}
		l.tell(child.Terminate{Final: true})
	})
	want(t, "events", l.events, `
		0s starting
		0s dropped SIGWINCH
		1s started
		1.5s forwarded SIGWINCH
		3s ready
		3s forwarded SIGWINCH
		4s exited with code 3
		5s dropped SIGWINCH`)
}

// TestSignalDenied: what the system does not let us send is told, and is not told to have been sent.
func TestSignalDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []string
		fake := &testproc.Fake{Lives: map[string][]testproc.Life{"web": {{ExitAfter: 2 * time.Second}}}}
		c := child.New(&child.Spec{Name: "web"}, denier{fake}, child.Hooks{
			Event: func(e child.Event) {
				events = append(events, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, child.SignalName(e.Signal), e.Reason)))
			},
		})
		reply := actor.NewReply[error]()
		_ = c.Ref().Tell(child.Start{})
		time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Signal{Sig: syscall.SIGHUP, Reply: reply}) })
		time.AfterFunc(1500*time.Millisecond, func() { _ = c.Ref().Tell(child.Terminate{Final: true}) })
		if err := c.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if err := <-reply.C(); !errors.Is(err, syscall.EPERM) {
			t.Errorf("got %v, want EPERM", err)
		}
		want(t, "events", events, `
			starting signal 0 
			started signal 0 
			unsent SIGHUP operation not permitted
			unsent SIGTERM operation not permitted
			exited signal 0 `)
	})
}
