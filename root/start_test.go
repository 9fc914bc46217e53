package root_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

const s = time.Second

// TestStart is the order in which daemons start, with the times.
func TestStart(t *testing.T) {
	const started, healthy, completed = child.ServiceStarted, child.ServiceHealthy, child.ServiceCompletedSuccessfully
	onFailure := child.RestartPolicy{Policy: child.RestartOnFailure}
	optional := func(d []child.Dependency) []child.Dependency { d[0].Optional = true; return d }
	for _, tt := range []struct {
		name  string
		specs []child.Spec
		lives lives
		want  string // the events about starts, and about those that do not come
	}{
		{
			name:  "file order",
			specs: []child.Spec{{Name: "c"}, {Name: "a"}, {Name: "b"}},
			want: `
				0s c starting
				0s c started
				0s a starting
				0s a started
				0s b starting
				0s b started`,
		},
		{
			name:  "a slow one holds up the others for 100ms only",
			specs: []child.Spec{{Name: "a"}, {Name: "b"}, {Name: "c"}},
			lives: lives{"a": {{StartDelay: s}}, "b": {{StartDelay: 50 * time.Millisecond}}},
			want: `
				0s a starting
				100ms b starting
				150ms b started
				150ms c starting
				150ms c started
				1s a started`,
		},
		{
			name:  "one that cannot be started holds nobody up",
			specs: []child.Spec{{Name: "a"}, {Name: "b"}},
			lives: lives{"a": {notFound}},
			want: `
				0s a starting
				0s a failed code 127
				0s b starting
				0s b started`,
		},
		{
			name:  "dependencies come first, else file order",
			specs: []child.Spec{{Name: "web", After: after("api", "")}, {Name: "api", After: after("db", started)}, {Name: "other"}, {Name: "db"}},
			want: `
				0s other starting
				0s other started
				0s db starting
				0s db started
				0s api starting
				0s api started
				0s web starting
				0s web started`,
		},
		{
			name:  "what is waited for in the meantime goes before what comes later in the file",
			specs: []child.Spec{{Name: "db"}, {Name: "web", After: after("db", "")}, {Name: "z"}},
			want: `
				0s db starting
				0s db started
				0s web starting
				0s web started
				0s z starting
				0s z started`,
		},
		{
			name:  "healthy",
			specs: []child.Spec{{Name: "web", After: after("db", healthy)}, {Name: "db", Readiness: true}},
			lives: lives{"db": {{ReadyAfter: 3 * s}}},
			want: `
				0s db starting
				0s db started
				3s db ready
				3s web starting
				3s web started`,
		},
		{
			name:  "healthy, without readiness",
			specs: []child.Spec{{Name: "web", After: after("db", healthy)}, {Name: "db"}},
			want: `
				0s db starting
				0s db started
				0s web starting
				0s web started`,
		},
		{
			name:  "healthy, in the second life",
			specs: []child.Spec{{Name: "web", After: after("db", healthy)}, {Name: "db", Readiness: true, Restart: onFailure, Backoff: child.Backoff{Initial: s, Fixed: true}}},
			lives: lives{"db": {ends(s, 1), readySoon}},
			want: `
				0s db starting
				0s db started
				2s db starting
				2s db started
				3s db ready
				3s web starting
				3s web started`,
		},
		{
			name:  "completed",
			specs: []child.Spec{{Name: "web", After: after("migrate", completed)}, {Name: "migrate"}},
			lives: lives{"migrate": {ends(3*s, 0)}},
			want: `
				0s migrate starting
				0s migrate started
				3s web starting
				3s web started`,
		},
		{
			name:  "completed, in the second life",
			specs: []child.Spec{{Name: "web", After: after("migrate", completed)}, {Name: "migrate", Restart: onFailure, Backoff: child.Backoff{Initial: s, Fixed: true}}},
			lives: lives{"migrate": {ends(3*s, 1), ends(s, 0)}},
			want: `
				0s migrate starting
				0s migrate started
				4s migrate starting
				4s migrate started
				5s web starting
				5s web started`,
		},
		{
			name: "all conditions of one",
			specs: []child.Spec{
				{Name: "web", After: append(after("db", healthy), after("migrate", completed)...)},
				{Name: "db", Readiness: true},
				{Name: "migrate", After: after("db", started)},
			},
			lives: lives{"db": {{ReadyAfter: 5 * s}}, "migrate": {ends(s, 0)}},
			want: `
				0s db starting
				0s db started
				0s migrate starting
				0s migrate started
				5s db ready
				5s web starting
				5s web started`,
		},
		{
			name:  "a chain of those that cannot be started",
			specs: []child.Spec{{Name: "web", After: after("api", healthy)}, {Name: "api", After: after("db", started)}, {Name: "db"}},
			lives: lives{"db": {notFound}},
			want: `
				0s db starting
				0s db failed code 127
				0s api notstarted: db could not be started
				0s web notstarted: api could not be started`,
		},
		{
			name:  "never healthy",
			specs: []child.Spec{{Name: "web", After: after("db", healthy)}, {Name: "db", Readiness: true}, {Name: "other"}},
			lives: lives{"db": {ends(s, 0)}},
			want: `
				0s db starting
				0s db started
				0s other starting
				0s other started
				1s web notstarted: db ended with code 0`,
		},
		{
			name:  "never completed",
			specs: []child.Spec{{Name: "web", After: after("migrate", completed)}, {Name: "migrate"}, {Name: "other"}},
			lives: lives{"migrate": {ends(s, 3)}},
			want: `
				0s migrate starting
				0s migrate started
				0s other starting
				0s other started
				1s web notstarted: migrate ended with code 3`,
		},
		{
			name: "given up",
			specs: []child.Spec{
				{Name: "web", After: after("db", healthy)},
				{Name: "db", Readiness: true, Restart: child.RestartPolicy{Policy: child.RestartAlways, Max: 1}, Backoff: child.Backoff{Initial: s, Fixed: true}},
				{Name: "other"},
			},
			lives: lives{"db": {ends(s, 3)}},
			want: `
				0s db starting
				0s db started
				0s other starting
				0s other started
				2s db starting
				2s db started
				3s web notstarted: db ended with code 3`,
		},
		{
			name:  "optional, and it cannot be started",
			specs: []child.Spec{{Name: "web", After: optional(after("db", healthy))}, {Name: "db"}},
			lives: lives{"db": {notFound}},
			want: `
				0s db starting
				0s db failed code 127
				0s web starting
				0s web started`,
		},
		{
			name:  "optional, and it comes",
			specs: []child.Spec{{Name: "web", After: optional(after("db", healthy))}, {Name: "db", Readiness: true}},
			lives: lives{"db": {{ReadyAfter: 3 * s}}},
			want: `
				0s db starting
				0s db started
				3s db ready
				3s web starting
				3s web started`,
		},
		{
			name:  "optional, and it fails",
			specs: []child.Spec{{Name: "web", After: optional(after("migrate", completed))}, {Name: "migrate"}},
			lives: lives{"migrate": {ends(3*s, 3)}},
			want: `
				0s migrate starting
				0s migrate started
				3s web starting
				3s web started`,
		},
		{
			name:  "started holds after its end, too",
			specs: []child.Spec{{Name: "web", After: append(after("init", started), after("db", healthy)...)}, {Name: "init"}, {Name: "db", Readiness: true}},
			lives: lives{"init": {ends(s, 3)}, "db": {{ReadyAfter: 3 * s}}},
			want: `
				0s init starting
				0s init started
				0s db starting
				0s db started
				3s db ready
				3s web starting
				3s web started`,
		},
		{
			name:  "healthy at the time of its turn only",
			specs: []child.Spec{{Name: "db", Readiness: true}, {Name: "slow", After: after("db", healthy)}, {Name: "web", After: after("db", healthy)}},
			lives: lives{"db": {{ReadyAfter: s, ExitAfter: s + 10*time.Millisecond}}, "slow": {{StartDelay: 50 * time.Millisecond}}},
			want: `
				0s db starting
				0s db started
				1s db ready
				1s slow starting
				1.01s web notstarted: db ended with code 0
				1.05s slow started`,
		},
		{
			name:  "pre_start holds nobody up",
			specs: []child.Spec{{Name: "a", PreStart: []child.Step{{Name: "a.pre", Program: child.Program{Argv: []string{"/bin/pre"}}}}}, {Name: "b"}, {Name: "c", After: after("a", started)}},
			lives: lives{"a.pre": {ends(5*s, 0)}},
			want: `
				0s a starting
				0s b starting
				0s b started
				5s a started
				5s c starting
				5s c started`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, root.Config{Specs: tt.specs}, tt.lives, func(l *lab) { l.signal(60*s, syscall.SIGTERM) })
			want(t, "starts", l.picked(" start", " notstart", " ready", " failed"), tt.want)
		})
	}
}

// TestWaiting: a daemon that waits says for what.
func TestWaiting(t *testing.T) {
	for _, tt := range []struct {
		condition child.Condition
		lives     testproc.Life
		want      string
	}{
		{"", testproc.Life{StartDelay: 2 * s}, "db has not started"},
		{child.ServiceHealthy, testproc.Life{}, "db is not ready"},
		{child.ServiceCompletedSuccessfully, testproc.Life{}, "db has not completed"},
	} {
		specs := []child.Spec{{Name: "web", After: after("db", tt.condition)}, {Name: "db", Readiness: true}}
		experiment(t, root.Config{Specs: specs}, lives{"db": {tt.lives}}, func(l *lab) {
			l.until(s)
			if web := l.list()[0]; web.State != child.StateWaiting || web.Reason != tt.want {
				l.t.Errorf("got %s: %q, want waiting: %q", web.State, web.Reason, tt.want)
			}
			l.tell(root.Signal{Sig: syscall.SIGTERM})
		})
	}
}

// TestCompletedStep: a daemon whose pre_start has ended with 0 while it was being stopped has not completed.
func TestCompletedStep(t *testing.T) {
	specs := []child.Spec{
		{Name: "web", After: after("migrate", child.ServiceCompletedSuccessfully)},
		{Name: "migrate", PreStart: []child.Step{{Name: "pre", Program: child.Program{Argv: []string{"/bin/pre"}}}}},
	}
	quits := testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {Exit: child.Exit{Code: 0}}}}
	experiment(t, root.Config{Specs: specs}, lives{"pre": {quits}}, func(l *lab) {
		l.at(s, root.Do{Name: "migrate", Msg: child.Terminate{}})
		l.until(2 * s)
		if got, want := states(l.list()), "web=waiting migrate=stopped"; got != want {
			l.t.Errorf("got %s, want %s", got, want)
		}
		l.do("migrate", child.Start{})
		l.fake.End("pre", child.Exit{})
		l.until(3 * s)
		l.do("migrate", child.Restart{})
		l.until(4 * s)
		l.do("migrate", child.Terminate{}) // as before, but there was a life of the program since
		l.until(5 * s)
		if got, want := states(l.list()), "web=waiting migrate=stopped"; got != want {
			l.t.Errorf("the second time: got %s, want %s", got, want)
		}
		l.tell(root.Signal{Sig: syscall.SIGTERM})
	})
}

// TestNew is what is wrong with a bundle.
func TestNew(t *testing.T) {
	argv := []string{"/bin/true"}
	web, db := child.Spec{Name: "web", Program: child.Program{Argv: argv}}, child.Spec{Name: "db", Program: child.Program{Argv: argv}}
	needs := func(s child.Spec, names ...string) child.Spec {
		for _, n := range names {
			s.After = append(s.After, child.Dependency{Name: n})
		}
		return s
	}
	for _, tt := range []struct {
		name string
		cfg  root.Config
		want string
	}{
		{name: "nothing"},
		{name: "one", cfg: root.Config{Specs: []child.Spec{web}}},
		{name: "no name", cfg: root.Config{Specs: []child.Spec{{Program: child.Program{Argv: argv}}}}, want: "has no name"},
		{name: "no command", cfg: root.Config{Specs: []child.Spec{{Name: "web"}}}, want: "web has no command"},
		{name: "twice", cfg: root.Config{Specs: []child.Spec{web, db, web}}, want: "two daemons are called web"},
		{name: "unknown dependency", cfg: root.Config{Specs: []child.Spec{needs(web, "db")}}, want: "web depends on db, which does not exist"},
		{name: "on itself", cfg: root.Config{Specs: []child.Spec{needs(web, "web")}}, want: "circle: web -> web"},
		{
			name: "in a circle", cfg: root.Config{Specs: []child.Spec{needs(web, "db"), needs(db, "x"), needs(child.Spec{Name: "x", Program: child.Program{Argv: argv}}, "db")}},
			want: "circle: db -> x -> db",
		},
		{
			name: "two ways to one", cfg: root.Config{Specs: []child.Spec{needs(web, "db", "x"), needs(child.Spec{Name: "x", Program: child.Program{Argv: argv}}, "db"), db}},
		},
		{
			name: "route", cfg: root.Config{Specs: []child.Spec{web}, Routes: map[syscall.Signal]root.Route{syscall.SIGHUP: {Forward: []string{"db"}}}},
			want: "the route of SIGHUP names db, which does not exist",
		},
		{
			name: "route, restart", cfg: root.Config{Specs: []child.Spec{web}, Routes: map[syscall.Signal]root.Route{syscall.SIGHUP: {Restart: []string{"db"}}}},
			want: "the route of SIGHUP names db, which does not exist",
		},
		{
			name: "route to a service", cfg: root.Config{
				Specs:  []child.Spec{{Name: "web-1", Service: "web", Program: child.Program{Argv: argv}}},
				Routes: map[syscall.Signal]root.Route{syscall.SIGHUP: {Forward: []string{"web"}, Absent: []string{"db"}}},
			},
		},
		{name: "exit code", cfg: root.Config{Specs: []child.Spec{web}, ExitCodeFrom: "db"}, want: "the exit code comes from db, which does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := root.New(tt.cfg)
			switch {
			case tt.want == "":
				if err != nil || r == nil {
					t.Errorf("got %v, want nil", err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
