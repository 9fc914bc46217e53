package root_test

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// daemons makes the daemons of an Update, as experiment makes those of a Config.
func daemons(specs ...child.Spec) (all []root.Daemon) {
	for _, spec := range specs {
		spec.Argv = []string{"/bin/" + spec.Name}
		all = append(all, root.Daemon{Spec: spec})
	}
	return all
}

// update changes the bundle, and returns the answer.
func (l *lab) update(u root.Update) root.Updated {
	l.t.Helper()
	done, err := l.root.Update(l.t.Context(), u)
	if err != nil && done.Err == nil {
		l.t.Errorf("Update: got %v, want nil", err)
	}
	return done
}

// summary is an answer in one line.
func summary(u root.Updated) string {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", u.Added}, {"removed", u.Removed}, {"restarted", u.Restarted}, {"revised", u.Revised}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ","))
		}
	}
	if u.Err != nil {
		parts = append(parts, u.Err.Error())
	}
	return strings.Join(parts, "; ")
}

// stamped is spec as another program.
func stamped(spec child.Spec) child.Spec {
	spec.Stamp += "+"
	return spec
}

func TestUpdate(t *testing.T) {
	web, db, log := child.Spec{Name: "web", After: after("db", "")}, child.Spec{Name: "db"}, child.Spec{Name: "log"}
	strict := db
	strict.StopGrace = 3 * s
	tests := []struct {
		name   string
		specs  []child.Spec
		lives  lives
		before func(l *lab) // until 10 s
		update []child.Spec // at 10 s
		done   string
		events string // from 10 s until 59 s
		states string // at 59 s; that somebody answers says that the bundle has not ended
		code   int

		pending string // has its old definition still
	}{
		{
			name: "nothing changes", specs: []child.Spec{db, web}, update: []child.Spec{db, web},
			states: "db=running web=running",
		},
		{
			name: "another order", specs: []child.Spec{db, web, log}, update: []child.Spec{log, db, web},
			states: "log=running db=running web=running",
		},
		{
			name: "one more", specs: []child.Spec{db}, update: []child.Spec{db, web},
			done: "added web", events: "10s web added\n10s web starting\n10s web started", states: "db=running web=running",
		},
		{
			name: "dependents go first", specs: []child.Spec{db, web, log}, lives: lives{"web": {slow(2 * s)}}, update: []child.Spec{log},
			done: "removed db,web", states: "log=running",
			events: "12s web exited code -15 (SIGTERM)\n12s web stopped\n12s web removed\n12s db exited code -15 (SIGTERM)\n12s db stopped\n12s db removed",
		},
		{
			name: "a deaf one goes too", specs: []child.Spec{db, log}, lives: lives{"db": {deaf}}, update: []child.Spec{log},
			done: "removed db", states: "log=running",
			events: "15s db killed\n15s db exited code -9 (SIGKILL)\n15s db stopped\n15s db removed",
		},
		{
			name: "first what goes, then restarts, then starts", specs: []child.Spec{db, log}, lives: lives{"log": {slow(2 * s)}, "db": {slow(s)}},
			update: []child.Spec{stamped(db), web}, done: "added web; removed log; restarted db", states: "db=running web=running",
			events: "10s db revised\n10s web added\n12s log exited code -15 (SIGTERM)\n12s log stopped\n12s log removed\n" +
				"12s db restarting\n13s db exited code -15 (SIGTERM)\n13s db started in place\n13s web starting\n13s web started",
		},
		{
			name: "restarts by dependency", specs: []child.Spec{db, web}, lives: lives{"db": {slow(s)}, "web": {slow(s)}},
			update: []child.Spec{stamped(web), stamped(db)}, done: "restarted web,db", states: "web=running db=running",
			events: "10s web revised\n10s db revised\n10s db restarting\n11s db exited code -15 (SIGTERM)\n11s db started in place\n" +
				"11s web restarting\n12s web exited code -15 (SIGTERM)\n12s web started in place",
		},
		{
			name: "the process is not touched", specs: []child.Spec{db}, update: []child.Spec{strict},
			done: "revised db", events: "10s db revised", states: "db=running",
		},
		{
			name: "a stopped one stays so", specs: []child.Spec{db, log}, update: []child.Spec{stamped(db), log},
			before: func(l *lab) { l.do("db", child.Terminate{}) },
			done:   "restarted db", events: "10s db revised", states: "db=stopped log=running",
		},
		{
			name: "an ended one stays so", specs: []child.Spec{db, log}, lives: lives{"db": {ends(s, 0)}}, update: []child.Spec{db, log},
			states: "db=exited log=running",
		},
		{
			name: "a changed one that has ended is started", specs: []child.Spec{db, log}, lives: lives{"db": {ends(s, 3), {}}},
			update: []child.Spec{stamped(db), log}, done: "restarted db",
			events: "10s db revised\n10s db starting\n10s db started", states: "db=running log=running",
		},
		{
			name:  "a changed one in backoff is started",
			specs: []child.Spec{{Name: "db", Restart: child.RestartPolicy{Policy: child.RestartAlways}, Backoff: child.Backoff{Initial: 20 * s, Fixed: true}}, log}, lives: lives{"db": {ends(s, 3), {}}},
			update: []child.Spec{{Name: "db", Restart: child.RestartPolicy{Policy: child.RestartAlways}, Program: child.Program{Stamp: "+"}}, log}, done: "restarted db",
			events: "10s db revised\n10s db starting\n10s db started", states: "db=running log=running",
		},
		{
			name: "the last living one leaves", specs: []child.Spec{db, log}, lives: lives{"db": {ends(s, 0)}}, update: []child.Spec{db},
			done: "removed log", events: "10s log exited code -15 (SIGTERM)\n10s log stopped\n10s log removed", states: "db=exited",
		},
		{
			name: "what has left does not count", specs: []child.Spec{db, log}, lives: lives{"db": {ends(s, 3)}}, update: []child.Spec{log},
			done: "removed db", events: "10s db removed", states: "log=running",
		},
		{
			name: "what waits for one that leaves and one that comes", specs: []child.Spec{{Name: "db", Readiness: true}, {Name: "web", After: after("db", child.ServiceHealthy)}},
			update: []child.Spec{{Name: "web", After: after("log", "")}, log}, done: "added log; removed db; revised web",
			events: "10s web revised\n10s log added\n10s db exited code -15 (SIGTERM)\n10s db stopped\n10s db removed\n" +
				"10s log starting\n10s log started\n10s web starting\n10s web started",
			states: "web=running log=running",
		},
		{
			name: "after one that was stopped by hand", specs: []child.Spec{{Name: "db"}, {Name: "web", After: after("db", child.ServiceHealthy)}},
			before: func(l *lab) { l.do("db", child.Terminate{}) },
			update: []child.Spec{{Name: "db"}, stamped(child.Spec{Name: "web", After: after("db", child.ServiceHealthy)})},
			done:   "restarted web", states: "db=stopped web=running",
			events: "10s web revised\n10s web restarting\n10s web exited code -15 (SIGTERM)\n10s web started in place",
		},
		{
			name:  "what waits for one that is to be started, and waits itself",
			specs: []child.Spec{{Name: "db", Readiness: true}, {Name: "api"}}, lives: lives{"api": {ends(s, 3), {}}},
			update: []child.Spec{
				{Name: "db", Readiness: true},
				stamped(child.Spec{Name: "api", After: after("db", child.ServiceHealthy)}),
				{Name: "web", After: after("api", child.ServiceHealthy)},
			},
			done: "added web; restarted api", events: "10s api revised\n10s web added", states: "db=starting api=exited web=waiting", code: 3, pending: "api",
		},
		{
			name: "one that has ended becomes critical", specs: []child.Spec{db, log}, lives: lives{"db": {ends(s, 3)}},
			update: []child.Spec{{Name: "db", Critical: true}, log}, done: "revised db", events: "10s db revised", states: "db=exited log=running", code: 3,
		},
		{
			name: "no more readiness", specs: []child.Spec{{Name: "db", Readiness: true}}, update: []child.Spec{db},
			done: "revised db", events: "10s db revised", states: "db=running",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, root.Config{Specs: tt.specs}, tt.lives, func(l *lab) {
				l.until(9 * s)
				if tt.before != nil {
					tt.before(l)
				}
				l.until(10 * s)
				if got := summary(l.update(root.Update{Daemons: daemons(tt.update...)})); got != tt.done {
					t.Errorf("Update: got %q, want %q", got, tt.done)
				}
				l.until(59 * s)
				all := l.list()
				if got := states(all); got != tt.states {
					t.Errorf("states: got %q, want %q", got, tt.states)
				}
				for i, spec := range daemons(tt.update...) {
					if got, want := *all[i].Spec, spec.Spec; all[i].Name != tt.pending && want.Compare(&got) != child.SameSpec {
						t.Errorf("the definition of %s: got %+v, want %+v", all[i].Name, got, want)
					}
				}
				l.signal(60*s, syscall.SIGTERM)
			})
			var events []string
			for _, e := range l.events {
				at, _, _ := strings.Cut(e, " ")
				if d, err := time.ParseDuration(at); err == nil && d >= 10*s && d < 59*s {
					events = append(events, e)
				}
			}
			wantSorted(t, "events", events, tt.events)
			if l.code != tt.code || l.err != nil {
				t.Errorf("Run: got %d, %v, want %d, nil", l.code, l.err, tt.code)
			}
		})
	}
}

// One that leaves comes back before it is gone.
func TestUpdateComesBack(t *testing.T) {
	db, web, log := child.Spec{Name: "db"}, child.Spec{Name: "web", After: after("db", "")}, child.Spec{Name: "log"}
	closed := 0
	l := experiment(t, root.Config{Specs: []child.Spec{db, web, log}}, lives{"db": {slow(3 * s)}, "web": {slow(3 * s)}}, func(l *lab) {
		l.until(s)
		l.update(root.Update{Daemons: daemons(log)})
		l.until(2 * s) // web is being stopped, db is still to be
		back := daemons(db, web, log)
		for i := range back {
			back[i].Close = func() { closed++ }
		}
		if got, want := summary(l.update(root.Update{Daemons: back})), "restarted web"; got != want {
			t.Errorf("Update: got %q, want %q", got, want)
		}
		l.until(20 * s)
		if got, want := states(l.list()), "db=running web=running log=running"; got != want {
			t.Errorf("states: got %q, want %q", got, want)
		}
		if closed != 3 {
			t.Errorf("%d of what belongs to 3 daemons that the bundle has were closed", closed)
		}
		l.signal(20*s, syscall.SIGTERM)
	})
	want(t, "web and db", l.picked("web", "db"), `0s db starting
		0s db started
		0s web starting
		0s web started
		2s web revised
		2s web restarting
		4s web exited code -15 (SIGTERM)
		4s web started in place
		23s web exited code -15 (SIGTERM)
		26s db exited code -15 (SIGTERM)`)
}

// An Update that comes before the one before is done takes its place: who was still to be restarted, and is now to be as it is,
// does not notice.
func TestUpdateTakenBack(t *testing.T) {
	db, web := child.Spec{Name: "db"}, child.Spec{Name: "web", After: after("db", "")}
	l := experiment(t, root.Config{Specs: []child.Spec{db, web}}, lives{"db": {slow(3 * s)}}, func(l *lab) {
		l.until(s)
		l.update(root.Update{Daemons: daemons(stamped(db), stamped(web))})
		l.until(2 * s) // db is being stopped, web waits for it
		if got, want := summary(l.update(root.Update{Daemons: daemons(stamped(db), web)})), "revised web"; got != want {
			t.Errorf("Update: got %q, want %q", got, want)
		}
		l.until(20 * s)
		if got := l.list()[1]; got.Spec.Stamp != "" || got.Starts != 1 {
			t.Errorf("web: got %q and %d starts, want the old definition and 1", got.Spec.Stamp, got.Starts)
		}
		l.signal(20*s, syscall.SIGTERM)
	})
	want(t, "restarts", l.picked("in place"), "4s db started in place")
}

// One that leaves, comes back and leaves again, each before the Update before is done, and comes back at last: it runs.
func TestUpdateComesBackTwice(t *testing.T) {
	log, web, cli, old := child.Spec{Name: "log"}, child.Spec{Name: "web"}, child.Spec{Name: "cli", After: after("web", "")}, child.Spec{Name: "old"}
	lives := lives{"web": {slow(2 * s)}, "cli": {slow(4 * s)}, "old": {slow(4 * s)}}
	l := experiment(t, root.Config{Specs: []child.Spec{log, web, old}}, lives, func(l *lab) {
		l.until(s)
		l.update(root.Update{Daemons: daemons(log, old, child.Spec{Name: "cli"})}) // web is being stopped
		l.until(4 * s)
		l.update(root.Update{Daemons: daemons(log, old, child.Spec{Name: "cli"}, web)})
		l.until(10 * s)
		l.update(root.Update{Daemons: daemons(log, old, child.Spec{Name: "cli"})}) // and again
		l.until(11 * s)
		l.update(root.Update{Daemons: daemons(log, web, cli)}) // it is to be started when old has left
		l.until(12 * s)
		l.update(root.Update{Daemons: daemons(log)}) // web is to leave after cli
		l.until(13 * s)
		if got, want := summary(l.update(root.Update{Daemons: daemons(log, web, cli)})), "restarted web,cli"; got != want {
			t.Errorf("Update: got %q, want %q", got, want)
		}
		l.until(40 * s)
		if got, want := states(l.list()), "log=running web=running cli=running"; got != want {
			t.Errorf("states: got %q, want %q", got, want)
		}
		l.signal(40*s, syscall.SIGTERM)
	})
	if l.code != 0 || l.err != nil {
		t.Errorf("Run: got %d, %v, want 0, nil", l.code, l.err)
	}
}

// releases is a Spawner whose processes call f when they are released, which is the last that their actor does.
type releases struct {
	*testproc.Fake
	f func()
}

func (r releases) Spawn(spec *child.Spec) (child.Process, error) {
	p, err := r.Fake.Spawn(spec)
	return released{p, r.f}, err
}

type released struct {
	child.Process
	f func()
}

func (p released) Release(kill bool) {
	p.Process.Release(kill)
	p.f()
}

// One comes back when its actor has been told to end, and root does not know yet that it has.
func TestUpdateComesBackLate(t *testing.T) {
	db, log := child.Spec{Name: "db"}, child.Spec{Name: "log"}
	again := false
	l := experiment(t, root.Config{Specs: []child.Spec{log}}, nil, func(l *lab) {
		l.until(s)
		d := daemons(log, db)
		d[1].Spawner = releases{l.fake, func() {
			if !again {
				again = true
				l.tell(root.Update{Daemons: daemons(log, db)})
			}
		}}
		l.update(root.Update{Daemons: d})
		l.until(2 * s)
		l.update(root.Update{Daemons: daemons(log)})
		l.until(3 * s)
		if got, want := states(l.list()), "log=running db=running"; got != want {
			t.Errorf("states: got %q, want %q", got, want)
		}
		l.signal(4*s, syscall.SIGTERM)
	})
	if !again {
		t.Error("nothing was released")
	}
	want(t, "db", l.picked("db"), `1s db added
		1s db starting
		1s db started
		2s db exited code -15 (SIGTERM)
		2s db stopped
		2s db removed
		2s db added
		2s db starting
		2s db started
		4s db exited code -15 (SIGTERM)`)
}

// An Update that is wrong has all of its mistakes in the answer, and changes nothing.
func TestUpdateRefused(t *testing.T) {
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "web"}}}, nil, func(l *lab) {
		l.until(s)
		closed := false
		wrong := daemons(child.Spec{Name: "web", After: after("db", "soon")}, child.Spec{Name: "api", Restart: child.RestartPolicy{Policy: "often"}, Program: child.Program{Env: []string{"NOEQUALS"}}})
		wrong[1].Close = func() { closed = true }
		done := l.update(root.Update{Daemons: wrong, Grace: -s, ExitCodeFrom: "db", Routes: map[syscall.Signal]root.Route{syscall.SIGHUP: {Forward: []string{"db"}}}})
		list, _ := done.Err.(interface{ Unwrap() []error })
		if list == nil {
			t.Fatalf("Update: got %v, want a list of errors", done.Err)
		}
		var fields []string
		for _, err := range list.Unwrap() {
			var mistake *root.ConfigError
			if !errors.As(err, &mistake) {
				t.Fatalf("got %T, want a *ConfigError", err)
			}
			fields = append(fields, strings.TrimSpace(mistake.Daemon+" "+mistake.Field))
		}
		if want := []string{"Grace", "web After", "api Env", "api Restart", "Routes", "ExitCodeFrom"}; !slices.Equal(fields, want) {
			t.Errorf("mistakes: got %q, want %q", fields, want)
		}
		if done := l.update(root.Update{}); done.Err == nil {
			t.Errorf("an Update without daemons was taken")
		}
		if !closed {
			t.Errorf("what was made for a daemon that does not come was not closed")
		}
		if got := states(l.list()); got != "web=running" {
			t.Errorf("states: got %q", got)
		}
		l.signal(2*s, syscall.SIGTERM)
	})
	want(t, "events", l.picked("web"), "0s web starting\n0s web started\n2s web exited code -15 (SIGTERM)")
	l.wantEnd(t, 0, 2*s)
}

// A shutdown comes while some leave, and others are to be restarted and started.
func TestUpdateAndShutdown(t *testing.T) {
	specs := []child.Spec{{Name: "db"}, {Name: "web"}, {Name: "old"}}
	for _, at := range []time.Duration{1, 2 * s, 4*s + 1} {
		refused := false
		l := experiment(t, root.Config{Specs: specs}, lives{"old": {slow(4 * s)}, "db": {deaf, deaf}}, func(l *lab) {
			l.until(s)
			l.update(root.Update{Grace: 6 * s, Daemons: daemons(stamped(specs[0]), specs[1], child.Spec{Name: "new"})})
			l.until(s + at)
			l.tell(root.Signal{Sig: syscall.SIGTERM})
			refused = errors.Is(l.update(root.Update{Daemons: daemons(specs...)}).Err, root.ErrShuttingDown)
		})
		if !refused {
			t.Errorf("an Update during the shutdown was not refused")
		}
		if want := s + at + 6*s; l.took != want || l.err != nil {
			t.Errorf("shutdown after %v: got %v after %v, want nil after %v", at, l.err, l.took, want)
		}
		if n := len(l.picked("new started")); at < 4*s && n > 0 {
			t.Errorf("shutdown after %v: new was started", at)
		}
	}
}

// What belongs to a daemon is told its events and facts, and closed once, when the daemon has left.
func TestDaemon(t *testing.T) {
	var told []string
	var tell func(child.Fact)
	closed := 0
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a"}}}, nil, func(l *lab) {
		l.until(s)
		own := &testproc.Fake{}
		d := daemons(child.Spec{Name: "b", Readiness: true})[0]
		d.Spawner, d.Data = own, "mine"
		d.Observe = func(e child.Event) { told = append(told, string(e.Kind)) }
		d.Attach = func(f func(child.Fact)) { tell = f }
		d.Close = func() { closed++ }
		l.update(root.Update{Daemons: append(daemons(child.Spec{Name: "a"}), d)})
		l.until(2 * s)
		tell(child.Ready{Gen: 1})
		l.until(3 * s)
		if got := l.list()[1]; got.State != child.StateReady || got.Data != "mine" {
			t.Errorf("got %s with %v, want ready with mine", got.State, got.Data)
		}
		l.update(root.Update{Daemons: daemons(child.Spec{Name: "a"})})
		l.until(4 * s)
		if closed != 1 || own.Lived("b") != 1 || own.Alive("b") != 0 {
			t.Errorf("closed %d times, %d lives, %d alive; want 1, 1, 0", closed, own.Lived("b"), own.Alive("b"))
		}
		l.signal(5*s, syscall.SIGTERM)
	})
	l.wantEnd(t, 0, 5*s)
	if want := []string{"starting", "started", "ready", "exited", "stopped"}; !slices.Equal(told, want) {
		t.Errorf("told: got %q, want %q", told, want)
	}
}

// TestUpdateMayEnd: where what stays has ended, an Update that may end the bundle does, also after one that may not.
func TestUpdateMayEnd(t *testing.T) {
	a, dev := child.Spec{Name: "a"}, child.Spec{Name: "dev"}
	for mayEnd, took := range map[bool]time.Duration{true: 7 * s, false: 20 * s} {
		l := experiment(t, root.Config{Specs: []child.Spec{a, dev}}, lives{"a": {ends(s, 3)}, "dev": {slow(2 * s)}}, func(l *lab) {
			l.until(5 * s)
			l.update(root.Update{Daemons: daemons(a, dev)})
			l.update(root.Update{Daemons: daemons(a), MayEnd: mayEnd})
			l.signal(20*s, syscall.SIGTERM)
		})
		l.wantEnd(t, 3, took)
	}
}

// TestUpdateOfTheCritical: a critical daemon that has died ends the bundle, although an Update that does not concern it comes before a
// command that was on its way to it has been answered.
func TestUpdateOfTheCritical(t *testing.T) {
	a, b := child.Spec{Name: "a", Critical: true}, child.Spec{Name: "b"}
	l := experiment(t, root.Config{Specs: []child.Spec{a, b}}, nil, func(l *lab) {
		l.until(2 * s)
		held := false
		l.tell(root.Await{Until: func([]child.Status) bool {
			if !held { // hold root up, as in TestFinish
				held = true
				l.tell(root.Do{Name: "a", Msg: child.Signal{Sig: syscall.SIGHUP}})
				l.fake.End("a", child.Exit{Code: 5})
				time.Sleep(s)
				l.tell(root.Update{Daemons: daemons(a, b)})
			}
			return true
		}})
		l.signal(20*s, syscall.SIGTERM)
	})
	l.wantEnd(t, 5, 3*s)
}
