package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// write lays out files in a new directory and returns the path of each.
func write(t testing.TB, files map[string]string) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) string { return filepath.Join(dir, name) }
}

// loadText loads one file with this content.
func loadText(t testing.TB, content string, o Options) (*Bundle, error) {
	t.Helper()
	path := write(t, map[string]string{"bundle.yaml": content})
	o.Files = []string{path("bundle.yaml")}
	return loadFiles(o)
}

func mustLoad(t testing.TB, content string, o Options) *Bundle {
	t.Helper()
	b, err := loadText(t, content, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuiltin(t *testing.T) {
	b, err := Builtin(Options{Env: []string{"PATH=/bin", "EGRESS_TOKEN_1=secret", "NOTIFY_SOCKET=/s", "WATCHDOG_USEC=1", "LISTEN_FDS=1"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name string
		argv string
		env  []string
	}{
		{"egress", "/bin/sh /app/egress-entrypoint.sh", []string{"PATH=/bin", "EGRESS_TOKEN_1=secret", "SIDECAR_INIT_DAEMON=egress"}},
		{"pipelock", "/usr/local/bin/pipelock run --config /etc/pipelock.yaml --listen 0.0.0.0:8888", []string{"PATH=/bin", "SIDECAR_INIT_DAEMON=pipelock"}},
		{"git-gate", "/bin/sh /git-gate-entrypoint.sh", []string{"PATH=/bin", "SIDECAR_INIT_DAEMON=git-gate"}},
		{"git-http", "python3 /app/git_http_backend.py", []string{"PATH=/bin", "SIDECAR_INIT_DAEMON=git-http"}},
		{"supervise", "python3 /app/supervise_server.py", []string{"PATH=/bin", "SIDECAR_INIT_DAEMON=supervise"}},
	}
	if len(b.Daemons) != len(want) {
		t.Fatalf("got %d daemons, want %d", len(b.Daemons), len(want))
	}
	for i, w := range want {
		d := b.Daemons[i]
		if got := strings.Join(d.Spec.Argv, " "); d.Spec.Name != w.name || got != w.argv {
			t.Errorf("daemon %d: got %s: %s, want %s: %s", i, d.Spec.Name, got, w.name, w.argv)
		}
		if !slices.Equal(d.Spec.Env, w.env) {
			t.Errorf("%s: got environment %q, want %q", w.name, d.Spec.Env, w.env)
		}
	}
	if got, want := b.Env, []string{"PATH=/bin"}; !slices.Equal(got, want) {
		t.Errorf("got %q for everyone else, want %q", got, want)
	}
	routes := map[syscall.Signal]Route{syscall.SIGHUP: {Forward: []string{"egress"}}, syscall.SIGUSR1: {Restart: []string{"pipelock"}}}
	if !reflect.DeepEqual(b.Routes, routes) {
		t.Errorf("got routes %v, want %v", b.Routes, routes)
	}
	if b.Grace != 8*time.Second || b.Files != nil {
		t.Errorf("got grace %v, files %v; want 8s, none", b.Grace, b.Files)
	}
}

func TestSelection(t *testing.T) {
	const file = `
services:
  a: {command: [a]}
  b: {command: [b], depends_on: [a]}
  c: {command: [c], depends_on: {b: {condition: service_healthy}}}
  w: {command: [w], scale: 2}
  d: {command: [d], profiles: [debug]}
x-sidecar-init: {signals: {HUP: {forward: [a, w]}, USR1: {restart: d}}, exit_code_from: a}
`
	tests := []struct {
		name     string
		o        Options
		daemons  string
		unknown  string // in Subset
		dropped  string // of USR1
		hup      string
		exitCode string
	}{
		{"all", Options{}, "a b c w-1 w-2", "", "d", "a w-1 w-2", "a"},
		{"profile", Options{Profiles: []string{"debug"}}, "a b c w-1 w-2 d", "", "", "a w-1 w-2", "a"},
		{"every profile", Options{Profiles: []string{"*"}}, "a b c w-1 w-2 d", "", "", "a w-1 w-2", "a"},
		{"COMPOSE_PROFILES", Options{Env: []string{"COMPOSE_PROFILES=x,debug"}}, "a b c w-1 w-2 d", "", "", "a w-1 w-2", "a"},
		{"select with dependencies", Options{Select: []string{"c"}}, "a b c", "", "d", "a", "a"},
		{"select a replica", Options{Select: []string{"w-2"}}, "w-2", "", "d", "w-2", ""},
		{"select by name activates a profile", Options{Select: []string{"d"}}, "d", "", "", "", ""},
		{"subset is exact", Options{Subset: " c , nobody,a", SubsetSet: true}, "a c", "nobody", "d", "a", "a"},
		{"subset by service", Options{Subset: "w", SubsetSet: true}, "w-1 w-2", "", "d", "w-1 w-2", ""},
		{"blank subset", Options{Subset: " ", SubsetSet: true}, "a b c w-1 w-2", "", "d", "a w-1 w-2", "a"},
		{"empty subset", Options{Subset: ",", SubsetSet: true}, "", "", "d", "", ""},
		{"subset not set", Options{Subset: "a"}, "a b c w-1 w-2", "", "d", "a w-1 w-2", "a"},
		{"subset of select", Options{Select: []string{"b"}, Subset: "b,c", SubsetSet: true}, "b", "", "d", "", ""},
		{"subset enables", Options{Subset: "d", SubsetSet: true}, "d", "", "", "", ""},
		{"exit code from the flag", Options{ExitCodeFrom: "w-1"}, "a b c w-1 w-2", "", "d", "a w-1 w-2", "w-1"},
		{"exit code from a scaled service", Options{ExitCodeFrom: "w"}, "a b c w-1 w-2", "", "d", "a w-1 w-2", "w"},
		{"exit code from what is not active", Options{ExitCodeFrom: "d"}, "a b c w-1 w-2", "", "d", "a w-1 w-2", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustLoad(t, file, tt.o)
			var names []string
			for _, s := range b.Specs() {
				names = append(names, s.Name)
				for _, d := range s.After {
					if found, err := b.Lookup(d.Name); err != nil || len(found) == 0 {
						t.Errorf("%s starts after %s, which is not selected", s.Name, d.Name)
					}
				}
			}
			if got := strings.Join(names, " "); got != tt.daemons {
				t.Errorf("got daemons %q, want %q", got, tt.daemons)
			}
			if got := strings.Join(b.UnknownSubset, " "); got != tt.unknown {
				t.Errorf("got unknown %q, want %q", got, tt.unknown)
			}
			if got := strings.Join(b.DroppedRoutes[syscall.SIGUSR1], " "); got != tt.dropped {
				t.Errorf("got dropped %q, want %q", got, tt.dropped)
			}
			if got := strings.Join(b.Routes[syscall.SIGHUP].Forward, " "); got != tt.hup {
				t.Errorf("got HUP to %q, want %q", got, tt.hup)
			}
			if b.ExitCodeFrom != tt.exitCode {
				t.Errorf("got exit code from %q, want %q", b.ExitCodeFrom, tt.exitCode)
			}
		})
	}
	for _, o := range []Options{{Select: []string{"aa"}}, {ExitCodeFrom: "aa"}} {
		_, err := loadText(t, file, o)
		var unknown *UnknownDaemonError
		if !errors.As(err, &unknown) || err.Error() != `unknown daemon "aa"; did you mean "a"?` {
			t.Errorf("got %v, want an UnknownDaemonError", err)
		}
	}
}

func TestRestart(t *testing.T) {
	tests := []struct {
		yaml    string
		restart child.RestartPolicy
		backoff child.Backoff
	}{
		{`{}`, child.RestartPolicy{Policy: "always"}, child.Backoff{}},
		{`{restart: ""}`, child.RestartPolicy{Policy: "always"}, child.Backoff{}},
		{`{restart: no}`, child.RestartPolicy{Policy: "no"}, child.Backoff{}},
		{`{restart: on-failure:3}`, child.RestartPolicy{Policy: "on-failure", Max: 3}, child.Backoff{}},
		{`{restart: unless-stopped}`, child.RestartPolicy{Policy: "unless-stopped"}, child.Backoff{}},
		{`{deploy: {restart_policy: {}}, restart: no}`, child.RestartPolicy{Policy: "always"}, child.Backoff{}},
		{
			`{deploy: {restart_policy: {condition: on-failure, delay: 2s, max_attempts: 4, window: 10s}}, restart: no}`,
			child.RestartPolicy{Policy: "on-failure", Max: 4},
			child.Backoff{Initial: 2 * time.Second, Fixed: true, ResetAfter: 10 * time.Second},
		},
		{`{deploy: {restart_policy: {condition: none, delay: 0s}}}`, child.RestartPolicy{Policy: "no"}, child.Backoff{NoDelay: true, Fixed: true}},
		{`{x-sidecar-init: {backoff: {initial: 1s, max: 4s, reset_after: 1m}}}`, child.RestartPolicy{Policy: "always"}, child.Backoff{Initial: time.Second, Max: 4 * time.Second, ResetAfter: time.Minute}},
	}
	for _, tt := range tests {
		b := mustLoad(t, "services:\n  a:\n    command: [a]\n    <<: "+tt.yaml, Options{Restart: child.RestartPolicy{Policy: "always"}})
		if got := b.Daemons[0].Spec; got.Restart != tt.restart || got.Backoff != tt.backoff {
			t.Errorf("%s: got %+v %+v, want %+v %+v", tt.yaml, got.Restart, got.Backoff, tt.restart, tt.backoff)
		}
	}
}

func TestLookup(t *testing.T) {
	b := mustLoad(t, `
services:
  a: {command: [a], scale: 2}
  b: {command: [b]}
  c: {command: [c], profiles: [off]}
`, Options{})
	tests := []struct {
		name, want, err string
	}{
		{"a", "a-1 a-2", ""},
		{"a-2", "a-2", ""},
		{"b", "b", ""},
		{"c", "", ""}, // exists, and is not selected
		{"a-3", "", `unknown daemon "a-3"; did you mean "a-1"?`},
		{"zebra", "", `unknown daemon "zebra"`},
	}
	for _, tt := range tests {
		got, err := b.Lookup(tt.name)
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: got %v, %v; want %s, %s", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestPreStartOnce: a step that is not per_replica is run by the first replica, and the others wait for that.
func TestPreStartOnce(t *testing.T) {
	b := mustLoad(t, `
services:
  a:
    command: [a]
    scale: 3
    pre_start: [{command: [once]}, {command: [each], per_replica: true}]
`, Options{Subset: "a-2,a-3", SubsetSet: true})
	var got []string
	for _, s := range b.Specs() {
		line := s.Name + ":"
		for _, step := range s.PreStart {
			line += " " + step.Argv[0]
		}
		for _, d := range s.After {
			line += " after " + d.Name
		}
		got = append(got, line)
	}
	if want := []string{"a-2: once each", "a-3: each after a-2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEnvironmentFiles: .env serves interpolation, a directory of that name is nothing, and standard input is a file.
func TestEnvironmentFiles(t *testing.T) {
	path := write(t, map[string]string{"b.yaml": "services: {a: {command: [\"$A\"], environment: [B]}}\n", ".env": "A=from .env\nB=${A}!\n"})
	b, err := Load(Options{Files: []string{path("b.yaml")}, Env: []string{"A=from env"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := b.Daemons[0].Spec.Argv, []string{"from env"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := b.Daemons[0].Spec.Env, []string{"A=from env", "B=from env!", "SIDECAR_INIT_DAEMON=a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	path = write(t, map[string]string{"b.yaml": "services: {a: {command: [x]}}\n"})
	if err := os.Mkdir(path(".env"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{Files: []string{path("b.yaml")}}); err != nil {
		t.Errorf("a directory .env: %v", err)
	}
	if err := os.Remove(path(".env")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(".env"), []byte("A=1\nwhat? is this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{Files: []string{path("b.yaml")}}); err == nil || !strings.Contains(err.Error(), ".env:2:1: must be KEY=VALUE") {
		t.Errorf("a bad .env: got %v", err)
	}
}

// TestTooLarge: a file without an end is a message, whatever it is read for.
func TestTooLarge(t *testing.T) {
	const small = "services: {a: {command: [x]}}\n"
	for _, tt := range []struct {
		name, bundle string
		grow         string // what is as large as can be
		want         string // DIR is replaced
	}{
		{"the bundle file", small, "b.yaml", "DIR/b.yaml:1:1: larger than 16 MiB, the most that is read"},
		{"a device", small, "/dev/zero", "/dev/zero:1:1: larger than 16 MiB, the most that is read"},
		{".env", small, ".env", "DIR/.env:1:1: larger than 16 MiB, the most that is read"},
		{
			"env_file", "services: {a: {command: [x], env_file: e.env}}\n", "e.env",
			"DIR/b.yaml:1:40: cannot read env_file DIR/e.env: larger than 16 MiB",
		},
		{
			"env_file that is not required", "services: {a: {command: [x], env_file: [{path: /dev/zero, required: false}]}}\n", "",
			"DIR/b.yaml:1:48: cannot read env_file /dev/zero: larger than 16 MiB",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, map[string]string{"b.yaml": tt.bundle})
			files := []string{path("b.yaml")}
			switch {
			case filepath.IsAbs(tt.grow):
				files[0] = tt.grow
			case tt.grow != "":
				f, err := os.OpenFile(path(tt.grow), os.O_CREATE|os.O_RDWR, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := f.Truncate(1 << 40); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(Options{Files: files})
			want := strings.ReplaceAll(tt.want, "DIR", filepath.Dir(path("b.yaml")))
			if err == nil || err.Error() != want {
				t.Errorf("got  %.300v\nwant %s", err, want)
			}
		})
	}
}

// TestFileWithoutName: what a service uses must have a file with a name.
func TestFileWithoutName(t *testing.T) {
	for _, name := range []string{"!0", "''", `"${NOT_SET}"`} {
		file := write(t, map[string]string{"b.yaml": "services: {a: {command: [x], secrets: [s]}}\nsecrets:\n  s: {file: " + name + "}\n"})("b.yaml")
		_, err := Load(Options{Files: []string{file}})
		if want := file + ":3:3: secrets.s needs a file: its name is empty"; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

// TestHome: the supervisor's HOME is for its own user alone; what the file gives stays.
func TestHome(t *testing.T) {
	const hooks = "post_start: [{command: x}, {command: x, user: b}, {command: x, user: b, environment: [HOME=/own]}], pre_start: [{command: x}, {command: x, user: b}]"
	for _, tt := range []struct{ name, keys, want string }{
		{"no user", "", "/sup: /sup - /own /sup -"},
		{"a group alone", "user: ':1'", "/sup: /sup - /own /sup -"},
		{"a user", "user: a", "-: - - /own - -"},
		{"a user with a group", "user: 'a:1'", "-: - - /own - -"},
		{"given", "user: a, environment: {HOME: /e}", "/e: /e /e /own /e /e"},
		{"given without a user", "environment: {HOME: /e}", "/e: /e /e /own /e /e"},
		{"the supervisor's, asked for", "user: a, environment: [HOME]", "/sup: /sup /sup /own /sup /sup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := strings.TrimPrefix(tt.keys+", "+hooks, ", ")
			d := mustLoad(t, "services: {a: {command: [x], "+keys+"}}\n", Options{Env: []string{"HOME=/sup", "PATH=/bin"}}).Daemons[0]
			home := func(env []string) string {
				for _, kv := range env {
					if v, ok := strings.CutPrefix(kv, "HOME="); ok {
						return v
					}
				}
				return "-"
			}
			got := home(d.Spec.Env) + ":"
			for _, s := range slices.Concat(d.Spec.PostStart, d.Spec.PreStart) {
				got += " " + home(s.Env)
			}
			if got != tt.want || home(d.HelperEnv) != home(d.Spec.Env) {
				t.Errorf("got %s (probes %s), want %s", got, home(d.HelperEnv), tt.want)
			}
		})
	}
}

// TestLargeFile: what is written out is no alias bomb, however much it is.
func TestLargeFile(t *testing.T) {
	text := "x-much: [" + strings.Repeat("a, ", compose.MaxNodes) + "]\nservices: {a: {command: [x]}}\n"
	if b := mustLoad(t, text, Options{}); len(b.Daemons) != 1 {
		t.Errorf("got %d daemons, want 1", len(b.Daemons))
	}
}

// TestForeignText: a message is one line of printable text, however a file is written, and quotes no more than is needed.
func TestForeignText(t *testing.T) {
	long := strings.Repeat("k", 100<<10)
	for _, tt := range []struct{ name, text, want string }{
		{"a key with a line and an escape sequence", `"a\nb\e[2J": 1`, `unknown key "a\nb\x1b[2J" in services.a`},
		{"a long key", long + ": 1", `unknown key "` + long[:197] + `…" in services.a`},
		{"a reason", `user: "${A:?one\u202Etwo\e[2J}"`, `one two [2J`},
		{"a long reason", `user: "${A:?` + long + `}"`, "kkk…"},
		{"a message of ours", `ulimits: {nofile: {"zz\nzzzz": 5, hard: 5, soft: 5}}`, "known are soft, hard"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, map[string]string{"b.yaml": "services: {a: {command: [x], " + tt.text + "}}\n"})("b.yaml")
			_, err := Load(Options{Files: []string{file}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %.600v, want %.300s", err, tt.want)
			}
			if s := err.Error(); len(s) > 600 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("got %d bytes: %.600q", len(s), s)
			}
		})
	}
	if got, want := (compose.Pos{File: "a\n\x1bb.yaml", Line: 1, Col: 2}).String(), "a  b.yaml:1:2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCheckForeign: what check prints cannot steer a terminal either, and a command can be copied.
func TestCheckForeign(t *testing.T) {
	b := mustLoad(t, `services: {a: {command: ["x\e[2Jy", "a\nit's \"b\" \\", "plain"], user: "u\e[1m", working_dir: "/q\u202e"}}`+"\n", Options{})
	var out strings.Builder
	if err := b.Check(&out, "text"); err != nil {
		t.Fatal(err)
	}
	want := `  a: $'x\x1b[2Jy' $'a\nit\'s "b" \\' plain
    restart no; user u [1m; in /q ` + "\n"
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant in it\n%s", out.String(), want)
	}
}

// TestOwnProblems: what is wrong with a value of our own keys is one line.
func TestOwnProblems(t *testing.T) {
	tests := []struct{ top, service, want string }{
		{top: `{grace_period: 8}`, want: `1:32: grace_period must be a duration, such as "10s" or "1m30s", not 8`},
		{top: `{log: {max_line: 2mb}}`, want: `1:34: max_line must be between 1kb and 1mb`},
		{top: `{log: {max_line: 1023}}`, want: `1:34: max_line must be between 1kb and 1mb`},
		{top: `{log: {max_line: long}}`, want: `1:34: max_line must be a size, such as "64kb" or "1mb", not "long"`},
		{top: `{log: {hold: 2}}`, want: `1:30: hold must be a duration, such as "10s" or "1m30s", not 2`},
		{top: `{walls: maybe}`, want: `1:25: walls must be auto, on, off or required, not "maybe"`},
		{top: `{grace_period: "0"}`, want: `1:32: grace_period must be more than 0`},
		{top: `{exit_code_from: [a]}`, want: `1:34: exit_code_from must be a string, not a list`},
		{top: `{notify: [{url: 1}]}`, want: `1:33: url must be a string: write "1", with the quotes`},
		{top: `{notify: [{url: "http://[::1"}]}`, want: `1:33: url must be a URL that starts with http://, https://, unix:/// or exec:/, not "http://[::1"`},
		{top: `{notify: [{url: "http://a b/"}]}`, want: `1:33: url must be a URL that starts with http://, https://, unix:/// or exec:/, not "http://a b/"`},
		{top: `{notify: [{exec: 1}]}`, want: `1:34: exec must be a string or a list of strings, not 1`},
		{top: `{reload: now}`, want: `1:26: reload must be auto or manual, not "now"`},
		{service: `{walls: on}`, want: `2:54: walls must be off, not "on"`},
		{service: `{writable: [var/lib]}`, want: `2:58: writable must have absolute paths, such as /var/lib/app, not "var/lib"`},
		{service: `{watch: [{action: restart}]}`, want: `2:55: an item of watch needs a path`},
		{service: `{watch: [{path: a, action: signal}]}`, want: `2:55: the action signal needs the key signal`},
		{service: `{watch: [{path: a, exec: [x]}]}`, want: `2:65: exec goes with action: exec`},
		{service: `{watch: [{path: a, action: signal, signal: WHAT}]}`, want: `2:89: signal must be a signal, such as SIGHUP, not "WHAT"`},
		{service: `{watch: [{path: a, include: ["[a"]}]}`, want: `2:75: include must have patterns such as *.conf, not "[a"`},
		{service: `{success_exit_codes: [WHAT]}`, want: `2:68: success_exit_codes must have exit codes from 0 to 255 and names of signals, not "WHAT"`},
		{service: `{no_restart_exit_codes: [300]}`, want: `2:71: no_restart_exit_codes must have exit codes from 0 to 255, not 300`},
		{service: `{ready: {timeout: 3s}}`, want: `2:54: ready must have exactly one of tcp, http, exec, log or notify`},
		{service: `{private_env: [3]}`, want: `2:61: an item of private_env must be a string: write "3", with the quotes`},
		{service: `{limit: {restarts: 1, window: 3}}`, want: `2:76: window must be a duration, such as "10s" or "1m30s", not 3`},
		{service: `{ready: {exec: 1}}`, want: `2:61: exec must be a string or a list of strings, not 1`},
		{service: `{ready: {http: "http://[::1"}}`, want: `2:61: http must be a URL, such as "http://127.0.0.1:8080/healthz", not "http://[::1"`},
	}
	for _, tt := range tests {
		file := write(t, map[string]string{"b.yaml": "x-sidecar-init: " + orDefault(tt.top, "{}") +
			"\nservices: {a: {command: [x], x-sidecar-init: " + orDefault(tt.service, "{}") + "}}\n"})("b.yaml")
		_, err := Load(Options{Files: []string{file}})
		if want := file + ":" + tt.want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
