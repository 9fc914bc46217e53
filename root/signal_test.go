package root_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// TestSignals is what signals to the supervisor do while it runs.
func TestSignals(t *testing.T) {
	const hup, usr1, usr2 = syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2
	routes := map[syscall.Signal]root.Route{
		hup:  {Forward: []string{"egress"}},
		usr1: {Restart: []string{"pipelock"}},
	}
	two := []child.Spec{{Name: "egress"}, {Name: "pipelock"}}
	type at struct {
		when time.Duration
		sig  syscall.Signal
	}
	always := child.RestartPolicy{Policy: child.RestartAlways}
	for _, tt := range []struct {
		name    string
		specs   []child.Spec
		routes  map[syscall.Signal]root.Route
		lives   lives
		sent    []at
		command map[time.Duration]root.Do
		want    string // the events before the shutdown at 60s, from 1s on
		signals string // what daemons got until then
	}{
		{
			name: "forward", lives: lives{"egress": {hearsHUP}}, sent: []at{{s, hup}, {2 * s, hup}},
			want: `
				1s egress forwarded SIGHUP
				2s egress forwarded SIGHUP`,
			signals: `
				1s egress SIGHUP
				2s egress SIGHUP`,
		},
		{
			name: "restart", sent: []at{{s, usr1}},
			want: `
				1s pipelock restarting
				1s pipelock exited code -15 (SIGTERM)
				1s pipelock started in place`,
			signals: `
				1s pipelock SIGTERM`,
		},
		{
			name: "a burst of restarts is one", lives: lives{"pipelock": {deaf, {}}}, sent: []at{{s, usr1}, {2 * s, usr1}, {3 * s, usr1}, {5 * s, usr1}},
			want: `
				1s pipelock restarting
				6s pipelock killed
				6s pipelock exited code -9 (SIGKILL)
				6s pipelock started in place`,
		},
		{
			name: "after the last of a burst there is a start", lives: lives{"pipelock": {{StartDelay: 2 * s}}}, sent: []at{{3 * s, usr1}, {4 * s, usr1}},
			want: `
				2s pipelock started
				3s pipelock restarting
				3s pipelock exited code -15 (SIGTERM)
				5s pipelock started in place
				5s pipelock restarting
				5s pipelock exited code -15 (SIGTERM)
				7s pipelock started in place`,
		},
		{
			name: "restart of a dead daemon", lives: lives{"pipelock": {ends(s/2, 3), {}}}, sent: []at{{s, usr1}},
			want: `
				1s pipelock restarting
				1s pipelock started in place`,
		},
		{
			name: "restart of one that backs off", specs: []child.Spec{two[0], {Name: "pipelock", Restart: always, Backoff: child.Backoff{Initial: 20 * s}}},
			lives: lives{"pipelock": {ends(s/2, 3), {}}}, sent: []at{{s, usr1}},
			want: `
				1s pipelock restarting
				1s pipelock started in place`,
		},
		{
			name: "forward to a dead daemon", lives: lives{"egress": {ends(s/2, 3)}}, sent: []at{{s, hup}},
			want: `
				1s egress dropped SIGHUP: code 3`,
		},
		{
			name: "forward to one that a signal killed", lives: lives{"egress": {{}, {}}}, sent: []at{{s, hup}, {2 * s, hup}},
			want: `
				1s egress forwarded SIGHUP
				1s egress exited code -1 (SIGHUP)
				2s egress dropped SIGHUP: code -1 (SIGHUP)`,
		},
		{
			name: "forward to one that backs off", specs: []child.Spec{{Name: "egress", Restart: always, Backoff: child.Backoff{Initial: 90 * s}}, two[1]},
			lives: lives{"egress": {ends(s/2, 3)}}, sent: []at{{s, hup}},
			want: `
				1s egress dropped SIGHUP: code 3`,
		},
		{
			name: "forward to one that was stopped", command: map[time.Duration]root.Do{s / 2: {Name: "egress", Msg: child.Terminate{}}}, sent: []at{{s, hup}},
			want: `
				1s egress dropped SIGHUP: code -15 (SIGTERM)`,
		},
		{
			name: "forward to one that is not ready", specs: []child.Spec{{Name: "egress", Readiness: true}, two[1]},
			lives: lives{"egress": {{ReadyAfter: 5 * s, On: hearsHUP.On}}}, sent: []at{{s, hup}, {2 * s, hup}},
			want: `
				5s egress ready
				5s egress forwarded SIGHUP`,
		},
		{
			name: "both at once", routes: map[syscall.Signal]root.Route{hup: {Forward: []string{"egress"}, Restart: []string{"pipelock"}}},
			lives: lives{"egress": {hearsHUP}}, sent: []at{{s, hup}},
			want: `
				1s egress forwarded SIGHUP
				1s pipelock exited code -15 (SIGTERM)
				1s pipelock restarting
				1s pipelock started in place`,
		},
		{
			name: "a service is all of its daemons", specs: []child.Spec{{Name: "egress-1", Service: "egress"}, {Name: "egress-2", Service: "egress"}, {Name: "pipelock"}},
			lives: lives{"egress-1": {hearsHUP}, "egress-2": {hearsHUP}}, sent: []at{{s, hup}},
			want: `
				1s egress-1 forwarded SIGHUP
				1s egress-2 forwarded SIGHUP`,
		},
		{
			name: "absent", routes: map[syscall.Signal]root.Route{hup: {Absent: []string{"other"}, Forward: []string{"egress"}}}, lives: lives{"egress": {hearsHUP}},
			sent: []at{{s, hup}},
			want: `
				1s egress forwarded SIGHUP
				1s other ignored SIGHUP: other does not run in this bundle`,
		},
		{
			name: "no route", sent: []at{{s, usr2}, {2 * s, syscall.SIGALRM}, {3 * s, syscall.Signal(40)}},
			want: `
				1s ignored SIGUSR2
				2s ignored SIGALRM
				3s ignored SIGRTMIN+6`,
		},
		{
			name: "a forward beside the shutdown comes first", routes: map[syscall.Signal]root.Route{hup: {Forward: []string{"egress"}, Shutdown: true}},
			lives: lives{"egress": {hearsHUP}}, sent: []at{{s, hup}},
			want: `
				1s egress exited code -15 (SIGTERM)
				1s egress forwarded SIGHUP
				1s pipelock exited code -15 (SIGTERM)
				1s shutdown SIGHUP`,
		},
		{
			name: "everyday signals", sent: []at{{s, syscall.SIGCHLD}, {s, syscall.SIGURG}, {s, syscall.SIGWINCH}, {s, syscall.SIGCONT}, {s, syscall.SIGPIPE}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := root.Config{Specs: tt.specs, Routes: tt.routes}
			if cfg.Specs == nil {
				cfg.Specs = two
			}
			if cfg.Routes == nil {
				cfg.Routes = routes
			}
			var before []string
			l := experiment(t, cfg, tt.lives, func(l *lab) {
				for _, sent := range tt.sent {
					l.signal(sent.when, sent.sig)
				}
				for when, do := range tt.command {
					l.at(when, do)
				}
				l.until(s - ms)
				skip := len(l.sofar())
				l.until(60 * s)
				before = l.sofar()[skip:]
				l.tell(root.Signal{Sig: syscall.SIGTERM})
			})
			if len(tt.sent) > 1 {
				want(t, "events", before, tt.want)
			} else {
				wantSorted(t, "events", before, tt.want)
			}
			if tt.signals != "" {
				var got []string
				for _, r := range l.fake.Records() {
					if r.What == testproc.Signalled && r.At.Sub(l.begin) < 60*s {
						got = append(got, r.At.Sub(l.begin).String()+" "+r.Daemon+" "+child.SignalName(r.Signal))
					}
				}
				want(t, "signals", got, tt.signals)
			}
		})
	}
}

// TestSignalsInShutdown: a routed signal that comes while the bundle ends is told of, whatever has become of its daemon.
func TestSignalsInShutdown(t *testing.T) {
	routes := map[syscall.Signal]root.Route{
		syscall.SIGHUP:  {Forward: []string{"a", "b", "c", "d"}},
		syscall.SIGUSR1: {Restart: []string{"a", "b"}},
	}
	specs := []child.Spec{
		{Name: "a"}, {Name: "b", After: after("d", "")}, {Name: "c", After: after("d", child.ServiceCompletedSuccessfully)}, {Name: "d"},
	}
	l := experiment(t, root.Config{Specs: specs, Routes: routes}, lives{"b": {slow(5 * s)}, "d": {hearsHUP}}, func(l *lab) {
		l.signal(10*s, syscall.SIGTERM)
		l.signal(11*s, syscall.SIGHUP)
		l.signal(12*s, syscall.SIGUSR1)
	})
	wantSorted(t, "events", l.picked("11s", "12s"), `
		11s a dropped SIGHUP: code -15 (SIGTERM)
		11s b dropped SIGHUP: it is being stopped
		11s c dropped SIGHUP: it was not started
		11s d forwarded SIGHUP
		12s a skipped
		12s b skipped`)
	l.wantEnd(t, 0, 15*s)
}

// TestRoutedShutdown: a signal whose route says so ends the bundle as SIGTERM does, also one that is else passed over in
// silence, and a second one changes nothing.
func TestRoutedShutdown(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGALRM, 37} {
		routes := map[syscall.Signal]root.Route{sig: {Shutdown: true}}
		l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a"}}, Routes: routes}, lives{"a": {slow(3 * s)}}, func(l *lab) {
			l.signal(10*s, sig)
			l.signal(11*s, sig)
			l.signal(12*s, syscall.SIGTERM)
		})
		want(t, "events", l.picked("10s", "11s", "12s", "13s"), "10s shutdown "+child.SignalName(sig)+"\n13s a exited code -15 (SIGTERM)")
		l.wantEnd(t, 0, 13*s)
	}
}

// TestExitCodeSoFar: while the bundle ends, what is alive does not count.
func TestExitCodeSoFar(t *testing.T) {
	soFar := make(chan int, 2)
	l := experiment(t, root.Config{Specs: []child.Spec{{Name: "a"}, {Name: "b"}}}, lives{"a": {ends(s, 3)}, "b": {slow(3 * s)}}, func(l *lab) {
		l.signal(10*s, syscall.SIGTERM)
		for _, at := range []time.Duration{11 * s, 12 * s} {
			time.AfterFunc(at, func() { soFar <- l.root.ExitCode() })
		}
	})
	for range 2 {
		if code := <-soFar; code != 3 {
			t.Errorf("so far: got %d, want 3", code)
		}
	}
	l.wantEnd(t, 3, 13*s)
}

// TestFollow: those that depend on a daemon, and say so, are restarted after it has been by a command or a signal.
func TestFollow(t *testing.T) {
	edge := func(name string, c child.Condition) []child.Dependency {
		return []child.Dependency{{Name: name, Condition: c, Restart: true}}
	}
	specs := []child.Spec{
		{Name: "db", Readiness: true, Restart: child.RestartPolicy{Policy: child.RestartAlways}, Backoff: child.Backoff{Initial: s, Fixed: true}},
		{Name: "api", After: edge("db", child.ServiceHealthy)},
		{Name: "web", After: edge("api", "")},
		{Name: "other", After: after("db", "")},
		{Name: "dead", After: edge("db", "")},
	}
	l := experiment(t, root.Config{Specs: specs}, lives{"db": {readySoon}, "dead": {ends(s, 0)}}, func(l *lab) {
		l.at(10*s, root.Do{Name: "db", Msg: child.Restart{}})
		time.AfterFunc(20*s, func() { l.fake.End("db", child.Exit{Code: 1}) }) // by itself: nobody follows
		l.at(30*s, root.Do{Name: "db", Msg: child.Restart{}})
		l.at(30*s+ms, root.Do{Name: "db", Msg: child.Terminate{}}) // thought better of: nobody follows
		l.at(40*s, root.Do{Name: "db", Msg: child.Start{}})
		l.signal(60*s, syscall.SIGTERM)
	})
	want(t, "restarts", l.picked("restarting", "in place"), `
		10s db restarting
		10s db started in place
		11s api restarting
		11s api started in place
		11s web restarting
		11s web started in place
		30s db restarting
		30s db started in place`)
}
