package root_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/mailbox"
	"github.com/bot-bottle/sidecar-init/root"
)

var service = []child.Spec{{Name: "web-1", Service: "web"}, {Name: "web-2", Service: "web"}, {Name: "db"}}

// TestDo is what a command is answered, at once, and what it does.
func TestDo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target string
		msg    child.Command
		seen   string // the daemons in the answer
		err    string
		states string // a second later
	}{
		{name: "restart", target: "db", msg: child.Restart{}, seen: "db", states: "web-1=running web-2=running db=running"},
		{name: "stop", target: "db", msg: child.Terminate{}, seen: "db", states: "web-1=running web-2=running db=stopped"},
		{name: "stop a service", target: "web", msg: child.Terminate{}, seen: "web-1 web-2", states: "web-1=stopped web-2=stopped db=running"},
		{name: "stop one of a service", target: "web-2", msg: child.Terminate{}, seen: "web-2", states: "web-1=running web-2=stopped db=running"},
		{name: "start what runs", target: "db", msg: child.Start{}, seen: "db", states: "web-1=running web-2=running db=running"},
		{name: "signal", target: "db", msg: child.Signal{Sig: syscall.SIGWINCH}, seen: "db", states: "web-1=running web-2=running db=running"},
		{name: "signal that kills", target: "web", msg: child.Signal{Sig: syscall.SIGHUP}, seen: "web-1 web-2", states: "web-1=exited web-2=exited db=running"},
		{name: "unknown", target: "api", msg: child.Restart{}, err: `no daemon "api"`, states: "web-1=running web-2=running db=running"},
		{name: "final", target: "db", msg: child.Terminate{Final: true}, err: "not for one daemon", states: "web-1=running web-2=running db=running"},
		{name: "nothing", target: "db", err: "not a command", states: "web-1=running web-2=running db=running"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			experiment(t, root.Config{Specs: service}, nil, func(l *lab) {
				l.until(s)
				a := l.do(tt.target, tt.msg)
				if got := strings.Join(slices.Sorted(maps.Keys(a.Seen)), " "); got != sorted(tt.seen) {
					l.t.Errorf("seen: got %q, want %q", got, tt.seen)
				}
				if (a.Err == nil) != (tt.err == "") || a.Err != nil && !strings.Contains(a.Err.Error(), tt.err) {
					l.t.Errorf("error: got %v, want %q", a.Err, tt.err)
				}
				l.until(2 * s)
				all := l.list()
				if got := states(all); got != tt.states {
					l.t.Errorf("states: got %s, want %s", got, tt.states)
				}
				for _, status := range all {
					if seen := a.Seen[status.Name]; status.Seen < seen {
						l.t.Errorf("%s has seen %d commands, want %d", status.Name, status.Seen, seen)
					}
				}
				l.tell(root.Signal{Sig: syscall.SIGTERM})
			})
		})
	}
}

func sorted(words string) string {
	list := strings.Fields(words)
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestDoInShutdown: a command that comes too late is refused, and the unknown is unknown then, too.
func TestDoInShutdown(t *testing.T) {
	l := experiment(t, root.Config{Specs: service}, lives{"db": {slow(5 * s)}}, func(l *lab) {
		l.signal(s, syscall.SIGTERM)
		l.until(2 * s)
		for _, m := range []child.Command{child.Start{}, child.Restart{}, child.Terminate{}, child.Signal{Sig: syscall.SIGHUP}} {
			if got := l.do("web", m).Err; !errors.Is(got, root.ErrShuttingDown) {
				l.t.Errorf("%T: got %v, want %v", m, got, root.ErrShuttingDown)
			}
		}
		var unknown *root.UnknownError
		if got := l.do("api", child.Start{}).Err; !errors.As(got, &unknown) || unknown.Name != "api" {
			l.t.Errorf("got %v, want that api is unknown", got)
		}
		if got, want := states(l.list()), "web-1=exited web-2=exited db=stopping"; got != want {
			l.t.Errorf("states: got %s, want %s", got, want)
		}
	})
	want(t, "skipped", l.picked("skipped"), "2s web-1 skipped\n2s web-2 skipped")
}

// TestStopAndStart: a daemon that was stopped by hand keeps the bundle alive, and can be started again.
func TestStopAndStart(t *testing.T) {
	always := child.RestartPolicy{Policy: child.RestartAlways}
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a", Restart: always, Backoff: child.Backoff{Fixed: true}}, {Name: "b"}}}, lives{"a": {{}, ends(s, 4)}, "b": {ends(s, 0)}}, func(l *lab) {
		l.at(2*s, root.Do{Name: "a", Msg: child.Terminate{}})
		l.until(3600 * s)
		if got, want := states(l.list()), "a=stopped b=exited"; got != want {
			l.t.Errorf("after an hour: got %s, want %s", got, want)
		}
		l.do("a", child.Start{})
		l.until(3602 * s) // it has failed, and will be restarted
		l.do("a", child.Terminate{})
		l.until(3700 * s)
		l.tell(root.Shutdown{Reason: "enough"})
	})
	l.wantEnd(t, 0, 3700*s)
	want(t, "a", l.picked(" a "), `
		0s a starting
		0s a started
		2s a exited code -15 (SIGTERM)
		2s a stopped
		1h0m0s a starting
		1h0m0s a started
		1h0m1s a exited code 4, restart
		1h0m1.5s a starting
		1h0m1.5s a started
		1h0m2s a exited code -15 (SIGTERM)
		1h0m2s a stopped`)
}

// TestWaitingByHand: a daemon that waits for its dependencies can be started all the same, and be stopped.
func TestWaitingByHand(t *testing.T) {
	specs := []child.Spec{{Name: "web", After: after("db", child.ServiceHealthy)}, {Name: "api", After: after("db", child.ServiceHealthy)}, {Name: "db", Readiness: true}}
	l := experiment(t, root.Config{Specs: specs}, lives{"db": {{ReadyAfter: 10 * s}}}, func(l *lab) {
		l.until(s)
		l.do("web", child.Start{})
		l.do("api", child.Terminate{})
		l.until(2 * s)
		if got, want := states(l.list()), "web=running api=stopped db=starting"; got != want {
			l.t.Errorf("got %s, want %s", got, want)
		}
		l.signal(20*s, syscall.SIGTERM)
	})
	want(t, "starts", l.picked("starting"), "0s db starting\n1s web starting")
}

// TestFact: facts are handed on, and what is none, or about nobody, does nothing.
func TestFact(t *testing.T) {
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a", Readiness: true}, {Name: "b"}, {Name: "c"}}}, lives{"b": {deaf}, "c": {deaf}}, func(l *lab) {
		l.at(s, root.Fact{Name: "nobody", Msg: child.Ready{Gen: 1}})
		l.at(2*s, root.Fact{Name: "a", Msg: child.Ready{Gen: 7}})
		l.at(4*s, root.Fact{Name: "a", Msg: child.Ready{Gen: 1}})
		l.at(5*s, root.Fact{Name: "a", Msg: child.Unhealthy{Gen: 1, Reason: "no answer"}})
		l.at(6*s, root.Fact{Name: "a", Msg: child.Ready{Gen: 1}})
		l.at(10*s, root.Do{Name: "b", Msg: child.Terminate{}})
		l.at(30*s, root.Fact{Name: "c", Msg: child.Stopping{Gen: 1}})
		l.at(11*s, root.Fact{Name: "b", Msg: child.Extend{Gen: 1, By: 9 * s}})
		l.signal(60*s, syscall.SIGTERM)
	})
	want(t, "events", l.picked("ready", "unhealthy", "killed"), `
		4s a ready
		5s a unhealthy
		6s a ready
		20s b killed
		35s c killed`)
}

// TestAwait: an Await is answered as soon as it holds: at once, later, or, when the bundle has ended, by an error.
func TestAwait(t *testing.T) {
	experiment(t, root.Config{Specs: []child.Spec{{Name: "web", Readiness: true}}}, lives{"web": {readySoon}}, func(l *lab) {
		in := func(state child.State) func([]child.Status) bool {
			return func(all []child.Status) bool { return all[0].State == state }
		}
		for _, tt := range []struct {
			state child.State
			at    time.Duration
		}{{child.StateStarting, 0}, {child.StateReady, s}, {child.StateReady, s}} {
			all, err := l.await(l.t.Context(), in(tt.state))
			if err != nil || all[0].State != tt.state || time.Since(l.begin) != tt.at {
				l.t.Errorf("got %v, %v at %v, want %s at %v", states(all), err, time.Since(l.begin), tt.state, tt.at)
			}
		}
		ctx, cancel := context.WithTimeout(l.t.Context(), s)
		defer cancel()
		if _, err := l.await(ctx, in(child.StateBackoff)); !errors.Is(err, context.DeadlineExceeded) {
			l.t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		l.signal(10*s, syscall.SIGTERM)
		if _, err := l.await(l.t.Context(), in(child.StateBackoff)); !errors.Is(err, actor.ErrEnded) || time.Since(l.begin) != 10*s {
			l.t.Errorf("got %v at %v, want %v at the end", err, time.Since(l.begin), actor.ErrEnded)
		}
		if _, err := l.await(l.t.Context(), in(child.StateExited)); !errors.Is(err, mailbox.ErrClosed) {
			l.t.Errorf("after the end: got %v, want %v", err, mailbox.ErrClosed)
		}
	})
}

// TestAwaitCommand: Accepted.Seen and Await together tell when a command has been obeyed.
func TestAwaitCommand(t *testing.T) {
	experiment(t, root.Config{Specs: []child.Spec{{Name: "web"}}}, lives{"web": {slow(3 * s), {StartDelay: s}}}, func(l *lab) {
		l.until(s)
		seen := l.do("web", child.Restart{}).Seen["web"]
		all, err := l.await(l.t.Context(), func(all []child.Status) bool {
			return all[0].Seen >= seen && all[0].State == child.StateRunning
		})
		if err != nil || all[0].Starts != 2 || time.Since(l.begin) != 5*s {
			l.t.Errorf("got %+v, %v at %v, want the second life at 5s", all, err, time.Since(l.begin))
		}
		l.tell(root.Signal{Sig: syscall.SIGTERM})
	})
}

// TestBusy: outsiders are refused when root is behind, and root does not grow; what it must hear it hears.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := root.New(root.Config{})
		if err != nil {
			t.Fatal(err)
		}
		full := 0
		for range 1000 {
			if errors.Is(r.Ref().Offer(root.List{}), mailbox.ErrFull) {
				full++
			}
		}
		if full == 0 {
			t.Error("got 1000 messages accepted before Run, want a limit")
		}
		if err := r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM}); err != nil {
			t.Errorf("Tell: got %v, want nil", err)
		}
		if code, err := r.Run(); code != 0 || err != nil {
			t.Errorf("Run: got %d, %v, want 0, nil", code, err)
		}
	})
}

// TestRefused: a command that is queued behind the end is answered.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := root.New(root.Config{})
		if err != nil {
			t.Fatal(err)
		}
		reply := actor.NewReply[root.Accepted]()
		_ = r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM}) // ends it, since it has no daemons
		_ = r.Ref().Tell(root.Do{Name: "web", Msg: child.Start{}, Reply: reply})
		_ = r.Ref().Tell(root.List{})
		if _, err := r.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if got := (<-reply.C()).Err; !errors.Is(got, root.ErrShuttingDown) {
			t.Errorf("got %v, want %v", got, root.ErrShuttingDown)
		}
	})
}
