package root_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

const ms = time.Millisecond

// chain are web, which depends on api, which depends on db.
var chain = []child.Spec{{Name: "db"}, {Name: "api", After: after("db", "")}, {Name: "web", After: after("api", "")}}

// TestStop is a shutdown: who is asked to end when, who is killed, and when Run returns.
func TestStop(t *testing.T) {
	const end = 10 * s // when the first signal comes
	type at struct {
		when time.Duration
		what root.Msg
	}
	sig := func(d time.Duration, sig syscall.Signal) at { return at{d, root.Signal{Sig: sig}} }
	term := []at{sig(end, syscall.SIGTERM)}
	always := child.RestartPolicy{Policy: child.RestartAlways}
	for _, tt := range []struct {
		name    string
		specs   []child.Spec
		lives   lives
		told    []at
		events  string // from the shutdown on, sorted
		signals string // NAME SIGNAL at its time, sorted
		code    int
		took    time.Duration // from the first signal to the end of Run
		err     string
	}{
		{
			name: "all at once without dependencies", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, told: term,
			events: `
				10s shutdown SIGTERM
				10s a exited code -15 (SIGTERM)
				10s b exited code -15 (SIGTERM)`,
			signals: `
				10s a SIGTERM
				10s b SIGTERM`,
		},
		{
			name: "dependents first", specs: chain, lives: lives{"web": {slow(s)}, "api": {slow(s)}, "db": {slow(s)}}, told: term,
			events: `
				10s shutdown SIGTERM
				11s web exited code -15 (SIGTERM)
				12s api exited code -15 (SIGTERM)
				13s db exited code -15 (SIGTERM)`,
			signals: `
				10s web SIGTERM
				10s web SIGCONT
				11s api SIGTERM
				11s api SIGCONT
				12s db SIGTERM
				12s db SIGCONT`,
			took: 3 * s,
		},
		{
			name: "half of the grace", specs: chain, lives: lives{"web": {deaf}, "api": {slow(s)}, "db": {slow(s)}}, told: term,
			events: `
				10s shutdown SIGTERM
				15s api exited code -15 (SIGTERM)
				15s db exited code -15 (SIGTERM)
				18s deadline 8s: web
				18s web exited code -9 (SIGKILL)`,
			signals: `
				10s web SIGTERM
				10s web SIGCONT
				14s api SIGTERM
				14s api SIGCONT
				14s db SIGTERM
				14s db SIGCONT
				18s web SIGKILL`,
			took: 8 * s,
		},
		{
			name: "the deadline names those that live, in file order", specs: []child.Spec{{Name: "c"}, {Name: "a"}, {Name: "dead"}, {Name: "b"}},
			lives: lives{"a": {deaf}, "b": {deaf}, "c": {deaf}, "dead": {ends(s, 0)}}, told: term,
			events: `
				10s shutdown SIGTERM
				18s deadline 8s: c, a, b
				18s a exited code -9 (SIGKILL)
				18s b exited code -9 (SIGKILL)
				18s c exited code -9 (SIGKILL)`,
			took: 8 * s,
		},
		{
			name: "own grace", specs: []child.Spec{{Name: "a", StopGrace: 2 * s}, {Name: "b", StopGrace: 20 * s}}, lives: lives{"a": {deaf}, "b": {deaf}}, told: term,
			events: `
				10s shutdown SIGTERM
				12s a exited code -9 (SIGKILL)
				12s a killed
				18s b exited code -9 (SIGKILL)
				18s deadline 8s: b`,
			took: 8 * s,
		},
		{
			name: "the kernel cannot kill it", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {undead}, "b": {deaf}}, told: term,
			events: `
				10s shutdown SIGTERM
				18s b exited code -9 (SIGKILL)
				18s deadline 8s: a, b`,
			took: 8*s + 150*ms, err: "a outlived SIGKILL",
		},
		{
			name: "it dies slowly of SIGKILL", specs: []child.Spec{{Name: "a"}}, told: term,
			lives: lives{"a": {{KillDelay: 99 * ms, On: deaf.On}}},
			events: `
				10s shutdown SIGTERM
				18s deadline 8s: a
				18.099s a exited code -9 (SIGKILL)`,
			took: 8*s + 99*ms,
		},
		{
			name: "its start hangs", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {{StartDelay: time.Hour}}}, told: term,
			events: `
				10s shutdown SIGTERM
				18s deadline 8s: a`,
			took: 8*s + 150*ms, err: "a outlived SIGKILL",
		},
		{
			name: "a repeated SIGTERM or SIGQUIT changes nothing", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {deaf}},
			told: append(slices.Clone(term), sig(11*s, syscall.SIGTERM), sig(12*s, syscall.SIGQUIT), at{13 * s, root.Shutdown{Reason: "again"}}),
			events: `
				10s shutdown SIGTERM
				18s deadline 8s: a
				18s a exited code -9 (SIGKILL)`,
			signals: `
				10s a SIGTERM
				10s a SIGCONT
				18s a SIGKILL`,
			took: 8 * s,
		},
		{
			name: "SIGQUIT", specs: []child.Spec{{Name: "a"}}, told: []at{sig(end, syscall.SIGQUIT)},
			events: `
				10s shutdown SIGQUIT
				10s a exited code -15 (SIGTERM)`,
		},
		{
			name: "by a message", specs: []child.Spec{{Name: "a"}}, told: []at{{end, root.Shutdown{Reason: "the host says so"}}},
			events: `
				10s shutdown: the host says so
				10s a exited code -15 (SIGTERM)`,
		},
		{
			name: "a second SIGINT kills at once, in file order", specs: []child.Spec{{Name: "b"}, {Name: "a"}, {Name: "quick"}}, lives: lives{"a": {deaf}, "b": {deaf}},
			told: []at{sig(end, syscall.SIGINT), sig(12*s, syscall.SIGINT), sig(12*s, syscall.SIGINT)},
			events: `
				10s quick exited code -15 (SIGTERM)
				10s shutdown SIGINT
				12s a exited code -9 (SIGKILL)
				12s b exited code -9 (SIGKILL)
				12s kill-now SIGINT: b, a`,
			took: 2 * s,
		},
		{
			name: "SIGINT after SIGTERM kills, also those that were not asked yet", specs: chain, lives: lives{"web": {deaf}},
			told: append(slices.Clone(term), sig(11*s, syscall.SIGINT)),
			events: `
				10s shutdown SIGTERM
				11s api exited code -9 (SIGKILL)
				11s db exited code -9 (SIGKILL)
				11s kill-now SIGINT: db, api, web
				11s web exited code -9 (SIGKILL)`,
			signals: `
				10s web SIGTERM
				10s web SIGCONT
				11s api SIGKILL
				11s db SIGKILL
				11s web SIGKILL`,
			took: s,
		},
		{
			name: "SIGINT does not kill what cannot be killed", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {undead}},
			told: append(slices.Clone(term), sig(11*s, syscall.SIGINT)),
			events: `
				10s shutdown SIGTERM
				11s kill-now SIGINT: a`,
			took: 8*s + 150*ms, err: "a outlived SIGKILL",
		},
		{
			name: "nothing restarts any more", specs: []child.Spec{{Name: "db", Restart: always}, {Name: "web", After: after("db", "")}},
			lives: lives{"web": {slow(3 * s)}, "db": {ends(11*s, 5)}}, told: term,
			events: `
				10s shutdown SIGTERM
				11s db exited code 5
				13s web exited code -15 (SIGTERM)`,
			code: 5, took: 3 * s,
		},
		{
			name: "what backs off stays dead", specs: []child.Spec{{Name: "a", Restart: always, Backoff: child.Backoff{Initial: 20 * s}}},
			lives: lives{"a": {ends(s, 5)}}, told: term,
			events: `
				10s shutdown SIGTERM`,
			code: 5,
		},
		{
			name: "what waits is never started", specs: []child.Spec{{Name: "web", After: after("db", child.ServiceHealthy)}, {Name: "db", Readiness: true}},
			lives: lives{"db": {{ReadyAfter: 12 * s, On: slow(4 * s).On}}}, told: term,
			events: `
				10s shutdown SIGTERM
				14s db exited code -15 (SIGTERM)`,
			took: 4 * s,
		},
		{
			name: "restarts and commands are refused", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {slow(4 * s)}},
			told: append(slices.Clone(term),
				at{11 * s, root.Do{Name: "a", Msg: child.Restart{}}}, at{12 * s, root.Do{Name: "a", Msg: child.Start{}}}, at{13 * s, root.Do{Name: "b", Msg: child.Restart{}}}),
			events: `
				10s shutdown SIGTERM
				11s a skipped
				14s a exited code -15 (SIGTERM)`,
			took: 4 * s,
		},
		{
			name: "a restart that is under way is called off", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {deaf}},
			told: append(slices.Clone(term), at{8 * s, root.Do{Name: "a", Msg: child.Restart{}}}),
			events: `
				10s shutdown SIGTERM
				18s a exited code -9 (SIGKILL)
				18s deadline 8s: a`,
			took: 8 * s,
		},
		{
			name: "a start that is under way ends with it", specs: []child.Spec{{Name: "a"}}, lives: lives{"a": {{StartDelay: 12 * s}}}, told: term,
			events: `
				10s shutdown SIGTERM
				12s a exited code -15 (SIGTERM)
				12s a started`,
			took: 2 * s,
		},
		{
			name: "one that was stopped by hand", specs: []child.Spec{{Name: "a"}, {Name: "b"}}, lives: lives{"a": {ends(s, 3)}},
			told: append(slices.Clone(term), at{2 * s, root.Do{Name: "b", Msg: child.Terminate{}}}),
			events: `
				10s shutdown SIGTERM`,
			code: 3,
		},
		{
			name: "pre_stop ends at half of the grace", specs: []child.Spec{{Name: "a", PreStop: []child.Step{{Name: "a.pre", Program: child.Program{Argv: []string{"/bin/pre"}}}}}},
			told: term,
			events: `
				10s shutdown SIGTERM
				14s a stepfailed
				14s a exited code -15 (SIGTERM)`,
			took: 4 * s,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, root.Config{Specs: tt.specs}, tt.lives, func(l *lab) {
				for _, told := range tt.told {
					l.at(told.when, told.what)
				}
			})
			shutdown := slices.IndexFunc(l.events, func(e string) bool { return strings.Contains(e, "shutdown") })
			if shutdown < 0 {
				t.Fatalf("there was no shutdown: %q", l.events)
			}
			wantSorted(t, "events", l.events[shutdown:], tt.events)
			if tt.signals != "" {
				wantSorted(t, "signals", signals(l), tt.signals)
			}
			if l.code != tt.code {
				t.Errorf("code: got %d, want %d", l.code, tt.code)
			}
			if took := l.took - end; took != tt.took {
				t.Errorf("the shutdown took %v, want %v", took, tt.took)
			}
			if (l.err == nil) != (tt.err == "") || l.err != nil && !strings.Contains(l.err.Error(), tt.err) {
				t.Errorf("error: got %v, want %q", l.err, tt.err)
			}
		})
	}
}

// signals are those that processes got.
func signals(l *lab) []string {
	var all []string
	for _, r := range l.fake.Records() {
		if r.What == testproc.Signalled {
			all = append(all, r.At.Sub(l.begin).String()+" "+r.Daemon+" "+child.SignalName(r.Signal))
		}
	}
	return all
}

// TestStopBeforeRun: a signal that came before anything was started, so that nothing is.
func TestStopBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(testproc.Fake)
		r, err := root.New(root.Config{Specs: []child.Spec{{Name: "a", Program: child.Program{Argv: []string{"/bin/a"}}}}, Spawner: f})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
		if code, err := r.Run(); code != 0 || err != nil {
			t.Errorf("Run: got %d, %v, want 0, nil", code, err)
		}
		if got := f.Trace(); len(got) != 0 {
			t.Errorf("got %q, want that nothing is started", got)
		}
	})
}

// TestGrace: Config.Grace moves the deadline and its half.
func TestGrace(t *testing.T) {
	l := experiment(t, root.Config{Specs: chain, Grace: 2 * s}, lives{"web": {deaf}, "api": {deaf}, "db": {deaf}}, func(l *lab) { l.signal(s, syscall.SIGTERM) })
	wantSorted(t, "signals", signals(l), `
		1s web SIGTERM
		1s web SIGCONT
		2s api SIGTERM
		2s api SIGCONT
		2s db SIGTERM
		2s db SIGCONT
		3s web SIGKILL
		3s api SIGKILL
		3s db SIGKILL`)
	l.wantEnd(t, 0, 3*s)
	want(t, "deadline", l.picked("deadline"), "3s deadline 2s: db, api, web")
}
