package root_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// TestExit is when a bundle ends, and with which code.
// TestExitCodeOfTheDead: the exit code of a daemon that has ended counts, although another of its group outlives SIGKILL.
func TestExitCodeOfTheDead(t *testing.T) {
	ends := testproc.Life{
		On:   testproc.Reactions{syscall.SIGTERM: {Exit: child.Exit{Code: 3}}},
		Fork: []testproc.Life{undead},
	}
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a"}}, Grace: s}, lives{"a": {ends}}, func(l *lab) {
		l.signal(s, syscall.SIGTERM)
	})
	if l.code != 3 || l.err == nil {
		t.Errorf("Run: got %d, %v, want 3 and an error", l.code, l.err)
	}
}

func TestExit(t *testing.T) {
	always := child.RestartPolicy{Policy: child.RestartAlways}
	once := child.RestartPolicy{Policy: child.RestartOnFailure, Max: 1}
	second := child.Backoff{Initial: s, Fixed: true}
	dies := func(d time.Duration, sig syscall.Signal) testproc.Life {
		return testproc.Life{ExitAfter: d, Exit: child.Exit{Signal: sig}}
	}
	quits := func(code int) testproc.Life { // on SIGTERM
		return testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {Exit: child.Exit{Code: code}}}}
	}
	for _, tt := range []struct {
		name  string
		specs []child.Spec
		from  string
		lives lives
		term  time.Duration // when SIGTERM comes, if it does
		code  int
		took  time.Duration
		event string // that of the shutdown
	}{
		{name: "no daemons"},
		{name: "all end by themselves", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {ends(s, 0)}, "b": {ends(3*s, 0)}}, took: 3 * s},
		{name: "the largest code", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {ends(s, 5)}, "b": {ends(3*s, 2)}}, code: 5, took: 3 * s},
		{name: "a signal", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {dies(s, syscall.SIGSEGV)}, "b": {ends(3*s, 2)}}, code: 139, took: 3 * s},
		{name: "SIGTERM that nobody of us has sent", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {dies(s, syscall.SIGTERM)}}, code: 143, took: s},
		{name: "cannot be started", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {notFound}, "b": {ends(s, 2)}}, code: 127, took: s},
		{name: "never started", specs: []child.Spec{{Name: "a", Readiness: true}, {Name: "b", After: after("a", child.ServiceHealthy)}}, term: s, code: 0, took: s},
		{name: "its condition cannot hold", specs: []child.Spec{{Name: "a", Readiness: true}, {Name: "b", After: after("a", child.ServiceHealthy)}}, lives: lives{"a": {ends(s, 0)}}, code: 1, took: s},
		{
			name: "the last death counts", specs: []child.Spec{{Name: "a", Restart: once, Backoff: second}}, lives: lives{"a": {ends(s, 5), ends(s, 0)}}, took: 3 * s,
		},
		{
			name: "given up", specs: []child.Spec{{Name: "a", Restart: once, Backoff: second}}, lives: lives{"a": {ends(s, 9), ends(s, 5)}}, code: 5, took: 3 * s,
		},
		{name: "restarts go on", specs: []child.Spec{{Name: "a", Restart: always, Backoff: second}}, lives: lives{"a": {ends(s, 5)}}, term: 100*s + ms, code: 0, took: 100*s + ms},
		{name: "shutdown", specs: []child.Spec{{Name: "a"}}, term: s, code: 0, took: s},
		{name: "shutdown, 143", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {quits(143)}}, term: s, code: 0, took: s},
		{name: "shutdown, 3", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {quits(3)}}, term: s, code: 3, took: s},
		{name: "shutdown, SIGKILL", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {deaf}}, term: s, code: 0, took: 9 * s},
		{name: "shutdown after a crash", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {ends(s, 4)}}, term: 2 * s, code: 4, took: 2 * s},
		{name: "from one", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, from: "b", lives: lives{"a": {ends(s, 5)}, "b": {ends(3*s, 2)}}, code: 2, took: 3 * s},
		{
			name: "from a service", specs: []child.Spec{{Name: "a"}, {Name: "b-1", Service: "b"}, {Name: "b-2", Service: "b"}}, from: "b",
			lives: lives{"a": {ends(s, 5)}, "b-1": {ends(s, 2)}, "b-2": {ends(s, 3)}}, code: 3, took: s,
		},
		{
			name: "critical", specs: []child.Spec{{Name: "a", Critical: true}, {Name: "b"}}, lives: lives{"a": {ends(s, 5)}, "b": {quits(9)}}, code: 5, took: s,
			event: "1s a shutdown: a is critical and has ended",
		},
		{
			name: "critical, with 0", specs: []child.Spec{{Name: "a", Critical: true}, {Name: "b"}}, lives: lives{"a": {ends(s, 0)}, "b": {quits(9)}}, code: 0, took: s,
			event: "1s a shutdown: a is critical and has ended",
		},
		{
			name: "critical, and is restarted", specs: []child.Spec{{Name: "a", Critical: true, Restart: once, Backoff: second}, {Name: "b"}},
			lives: lives{"a": {ends(s, 5), ends(s, 6)}, "b": {slow(s)}}, code: 6, took: 4 * s, event: "3s a shutdown: a is critical and has ended",
		},
		{
			name: "critical, and cannot be started", specs: []child.Spec{{Name: "a", Critical: true}, {Name: "b"}}, lives: lives{"a": {notFound}}, code: 127,
			event: "0s a shutdown: a is critical and has ended",
		},
		{
			name: "critical, and its condition cannot hold", specs: []child.Spec{{Name: "a", Critical: true, After: after("b", child.ServiceHealthy)}, {Name: "b", Readiness: true}, {Name: "c"}},
			lives: lives{"b": {ends(s, 0)}}, code: 1, took: s, event: "1s a shutdown: a is critical and has ended",
		},
		{
			name: "critical goes before the code of another", specs: []child.Spec{{Name: "a", Critical: true}, {Name: "b"}}, from: "b",
			lives: lives{"a": {ends(s, 5)}}, code: 5, took: s, event: "1s a shutdown: a is critical and has ended",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, root.Config{Specs: tt.specs, ExitCodeFrom: tt.from}, tt.lives, func(l *lab) {
				if tt.term > 0 {
					l.signal(tt.term, syscall.SIGTERM)
				}
			})
			l.wantEnd(t, tt.code, tt.took)
			if tt.term == 0 {
				want(t, "shutdown", l.picked("shutdown"), tt.event)
			}
		})
	}
}

// TestCriticalStopped: a critical daemon that is stopped or restarted by hand ends nothing.
func TestCriticalStopped(t *testing.T) {
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a", Critical: true}}}, nil, func(l *lab) {
		l.at(s, root.Do{Name: "a", Msg: child.Restart{}})
		l.at(2*s, root.Do{Name: "a", Msg: child.Terminate{}})
		l.at(10*s, root.Do{Name: "a", Msg: child.Start{}})
		l.at(20*s, root.Do{Name: "a", Msg: child.Signal{Sig: syscall.SIGHUP}}) // which it dies of
	})
	l.wantEnd(t, 129, 20*s)
}

// TestFinish: the bundle does not end by itself while a start is on its way to a daemon that root still takes for dead.
func TestFinish(t *testing.T) {
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a"}, {Name: "b"}}}, lives{"a": {ends(s, 0), ends(10*s, 3)}}, func(l *lab) {
		l.until(2 * s)
		held := false
		l.tell(root.Await{Until: func([]child.Status) bool {
			if !held { // hold root up, so that both have come when it goes on: the command first, then that b is dead
				held = true
				l.tell(root.Do{Name: "a", Msg: child.Start{}})
				l.fake.End("b", child.Exit{})
				time.Sleep(s)
			}
			return true
		}})
	})
	l.wantEnd(t, 3, 13*s)
}

// TestStatuses: after the end they tell of it.
func TestStatuses(t *testing.T) {
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a"}, {Name: "b"}}}, lives{"a": {ends(s, 5)}, "b": {ends(s, 0)}}, nil)
	if got, want := states(l.root.Statuses()), "a=exited b=exited"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := l.root.Statuses()[0].Result; got != 5 {
		t.Errorf("result: got %d, want 5", got)
	}
}

// panics is a Spawner that panics for one daemon.
type panics struct {
	child.Spawner
	name string
}

func (p panics) Spawn(spec *child.Spec) (child.Process, error) {
	if spec.Name == p.name {
		panic("no way")
	}
	return p.Spawner.Spawn(spec)
}

// TestSpawnerPanics: that is a failed start of one daemon; the others do not notice.
func TestSpawnerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &testproc.Fake{Lives: lives{"b": {ends(5*s, 2)}}}
		specs := []child.Spec{{Name: "a", Program: child.Program{Argv: []string{"/bin/a"}}}, {Name: "b", Program: child.Program{Argv: []string{"/bin/b"}}}}
		r, err := root.New(root.Config{Specs: specs, Spawner: panics{f, "a"}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		code, err := r.Run()
		if took := time.Since(begin); code != 126 || err != nil || took != 5*s {
			t.Errorf("Run: got %d, %v after %v, want 126, nil after 5s", code, err, took)
		}
		if got := r.Statuses()[0].Reason; !strings.Contains(got, "no way") {
			t.Errorf("reason: got %q, want the panic", got)
		}
		f.Check(t)
	})
}

// TestObservePanics: a panic of Observe ends the bundle with 70, wherever it comes. The others are stopped in order, if
// anybody is left to do so, and no process stays behind.
func TestObservePanics(t *testing.T) {
	for _, tt := range []struct {
		kind   child.Kind
		always bool
		took   time.Duration
	}{
		// On the goroutine of a child: the rest is stopped as by SIGTERM, and the deaf one killed at the deadline.
		{kind: child.EventStarting, took: 8 * s},
		{kind: child.EventStarted, took: 8 * s},
		{kind: child.EventForwarded, took: 9 * s},
		{kind: child.EventExited, took: 10 * s},
		// On the goroutine of root: nobody decides any more, and all are killed.
		{kind: root.EventIgnored, took: 3 * s},
		{kind: root.EventShutdown, took: 4 * s},
		{kind: root.EventDeadline, took: 12 * s},
		// Whatever happens.
		{always: true, took: 0},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &testproc.Fake{Lives: lives{"a": {ends(2*s, 0)}, "deaf": {deaf}}}
				specs := []child.Spec{{Name: "deaf", Program: child.Program{Argv: []string{"/bin/deaf"}}}, {Name: "a", Program: child.Program{Argv: []string{"/bin/a"}}}, {Name: "b", Program: child.Program{Argv: []string{"/bin/b"}}}}
				r, err := root.New(root.Config{
					Specs: specs, Spawner: f, Routes: map[syscall.Signal]root.Route{syscall.SIGWINCH: {Forward: []string{"a"}}},
					Observe: func(e child.Event) {
						if tt.always || e.Kind == tt.kind && e.Daemon != "deaf" {
							panic("not mine")
						}
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				for at, sig := range map[time.Duration]syscall.Signal{s: syscall.SIGWINCH, 3 * s: syscall.SIGUSR2, 4 * s: syscall.SIGTERM} {
					time.AfterFunc(at, func() { _ = r.Ref().Tell(root.Signal{Sig: sig}) })
				}
				begin := time.Now()
				code, err := r.Run()
				var panicked *actor.PanicError
				if took := time.Since(begin); code != 70 || !errors.As(err, &panicked) || took != tt.took {
					t.Errorf("Run: got %d, %v after %v, want 70 and a panic after %v", code, err, took, tt.took)
				}
				synctest.Wait() // the waiter of a process that was left without an owner
				f.Check(t)
			})
		})
	}
}

// TestPanicIsBounded: a panic of root is not held up by a process that cannot be killed.
func TestPanicIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &testproc.Fake{Lives: lives{"a": {undead}}}
		r, err := root.New(root.Config{
			Specs: []child.Spec{{Name: "a", Program: child.Program{Argv: []string{"/bin/a"}}}}, Spawner: f,
			Observe: func(e child.Event) {
				if e.Kind == root.EventIgnored {
					panic("not mine")
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(s, func() { _ = r.Ref().Tell(root.Signal{Sig: syscall.SIGUSR2}) })
		begin := time.Now()
		if code, err := r.Run(); code != 70 || err == nil || time.Since(begin) != s+150*ms {
			t.Errorf("Run: got %d, %v after %v, want 70 and a panic after %v", code, err, time.Since(begin), s+150*ms)
		}
		time.Sleep(time.Hour)
		f.Check(t)
	})
}
