package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// loaded is a bundle of this text.
func loaded(t *testing.T, text string) *Bundle {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Load(Options{Files: []string{file}, Env: []string{"PATH=/usr/bin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const privateTo = "x-sidecar-init: { private_env: [TOKEN] }"

func TestWalled(t *testing.T) {
	own := strconv.Itoa(os.Getuid())
	for _, tt := range []struct {
		name, text string
		walled     string
		helpers    string
	}{
		{"nothing private", "services: { a: { command: [x] } }", "", ""},
		{"everybody is the supervisor's user", "services: { a: { command: [x], " + privateTo + " }, b: { command: [x] } }", "a b", ""},
		{
			"root, the user of the secret, and another one",
			`services: { a: { command: [x], user: "4000", ` + privateTo + ` }, b: { command: [x], user: root }, c: { command: [x], user: "4000:5" }, d: { command: [x], user: "4001" }, e: { command: [x], user: "` + own + `" } }`,
			"a b c e", "",
		},
		{"an unknown name", `services: { a: { command: [x], ` + privateTo + ` }, b: { command: [x], user: who-is-that } }`, "a b", ""},
		{"one that is not selected", `services: { a: { command: [x], ` + privateTo + `, profiles: [no] }, b: { command: [x] } }`, "b", ""},
		{"off for one", `services: { a: { command: [x], ` + privateTo + ` }, b: { command: [x], x-sidecar-init: { walls: "off" } } }`, "a", ""},
		{"off for all", `{ x-sidecar-init: { walls: "off" }, services: { a: { command: [x], ` + privateTo + ` } } }`, "", ""},
		{"on", `{ x-sidecar-init: { walls: "on" }, services: { a: { command: [x] }, b: { command: [x], user: "4000", x-sidecar-init: { walls: off } } } }`, "a", ""},
		{"a step of root", `services: { a: { command: [x], ` + privateTo + ` }, b: { command: [x], user: "4000", post_start: [ { command: [x], user: root } ] } }`, "a", "b"},
	} {
		b := loaded(t, tt.text)
		var helpers []string
		for i := range b.Daemons {
			if d := &b.Daemons[i]; d.HelperWall != d.Wall {
				helpers = append(helpers, d.Spec.Name)
			}
		}
		if got := strings.Join(b.Walled(), " "); got != tt.walled || strings.Join(helpers, " ") != tt.helpers {
			t.Errorf("%s: walls around %s, and helpers of %v; want %s, and %s", tt.name, got, helpers, tt.walled, tt.helpers)
		}
		if err := b.Stand(Ground{Lacks: "no Landlock"}); err != nil || len(b.Walled()) > 0 {
			t.Errorf("%s: walls on nothing: %v, %v", tt.name, b.Walled(), err)
		}
	}
}

// TestEnforced: what is said of private variables, without a look at this machine and with one.
func TestEnforced(t *testing.T) {
	const two = "services: { a: { command: [x], user: root, " + privateTo + " }, b: { command: [x], user: root"
	for _, tt := range []struct {
		name, text  string
		ground      Ground
		check, here string
	}{
		{"walls", two + " } }", Ground{}, promised, enforced},
		{"no Landlock", two + " } }", Ground{Lacks: "no Landlock"}, promised, "by environment only: no Landlock"},
		{"one without a wall", two + `, x-sidecar-init: { walls: "off" } } }`, Ground{}, "by environment only: b has no wall", "by environment only: b has no wall"},
		{"mighty", two + " } }", Ground{Mighty: []string{"SYS_ADMIN", "PERFMON"}}, promised, "by environment only: b has CAP_SYS_ADMIN"},
		{"mighty, not any more", two + ", cap_drop: [SYS_ADMIN] } }", Ground{Mighty: []string{"SYS_ADMIN"}}, promised, enforced},
		{"mighty, but for one", two + ", cap_drop: [SYS_ADMIN] } }", Ground{Mighty: []string{"SYS_ADMIN", "PERFMON"}}, promised, "by environment only: b has CAP_PERFMON"},
		{"mighty, nothing kept", two + ", cap_drop: [ALL] } }", Ground{Mighty: []string{"SYS_ADMIN", "PERFMON"}}, promised, enforced},
		{
			"mighty, by cap_add", "services: { a: { command: [x], " + privateTo + ` }, b: { command: [x], user: "4000", cap_drop: [ALL], cap_add: [PERFMON] } }`,
			Ground{Mighty: []string{"PERFMON"}},
			promised, "by environment only: b has CAP_PERFMON",
		},
		{"alone", "services: { a: { command: [x], user: root, " + privateTo + " } }", Ground{Mighty: []string{"SYS_ADMIN"}}, promised, enforced},
		{"off", `{ x-sidecar-init: { walls: "off" }, ` + two + " } } }", Ground{}, "by environment only: walls are off", "by environment only: walls are off"},
	} {
		b := loaded(t, tt.text)
		if got := b.Enforced(&b.Daemons[0]); got != tt.check {
			t.Errorf("%s: check: got %s, want %s", tt.name, got, tt.check)
		}
		if err := b.Stand(tt.ground); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := b.Enforced(&b.Daemons[0]); got != tt.here {
			t.Errorf("%s: here: got %s, want %s", tt.name, got, tt.here)
		}
		if got := b.Enforced(&Daemon{}); got != "" {
			t.Errorf("%s: nothing private: got %s", tt.name, got)
		}
	}
}

func TestRequiredWalls(t *testing.T) {
	text := "x-sidecar-init: { walls: required }\nservices: { a: { command: [x], user: root, " + privateTo + " }, b: { command: [x], user: root } }\n"
	if err := loaded(t, text).Stand(Ground{}); err != nil {
		t.Errorf("got %v", err)
	}
	err := loaded(t, text).Stand(Ground{Lacks: "no Landlock"})
	var problems *compose.Errors
	if !errors.As(err, &problems) || !strings.HasSuffix(err.Error(), "bundle.yaml:1:19: walls are required, and the private variables TOKEN of a: by environment only: no Landlock") {
		t.Errorf("got %v", err)
	}
	if err := loaded(t, "{ x-sidecar-init: { walls: required }, services: { a: { command: [x] } } }").Stand(Ground{Lacks: "x"}); err != nil {
		t.Errorf("nothing private: got %v", err)
	}
}

// TestWallWarnings: check warns of what a wall takes away, and not without one.
func TestWallWarnings(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{`[sh, -c, "exec app >/proc/1/fd/1"]`, "a uses /proc/1/fd, which its wall closes"},
		{`[app, --log=/proc/1/fd/1]`, "a uses /proc/1/fd, which its wall closes"},
		{`[sudo, app]`, "a uses sudo, which is set-user-ID"},
		{`[sh, -c, "cd /; (/usr/bin/sudo app)"]`, "a uses sudo, which is set-user-ID"},
		{`[sh, -c, "mount /x; app"]`, "a uses mount, and behind a wall nothing can be mounted before Linux 6.12"},
		{`[app, mount, sudo, /proc/self/fd/1]`, ""},
	} {
		for walls, want := range map[string]string{"on": tt.want, "off": ""} {
			b := loaded(t, "{ x-sidecar-init: { walls: \""+walls+"\" }, services: { a: { command: "+tt.command+" } } }")
			var got []string
			for _, w := range b.Warnings {
				got = append(got, w.Text)
			}
			if text := strings.Join(got, "\n"); !strings.HasPrefix(text, want) || want == "" && text != "" {
				t.Errorf("%s, walls %s: got %q, want %q", tt.command, walls, text, want)
			}
		}
	}
}

// TestChanges: what a daemon may change.
func TestChanges(t *testing.T) {
	for _, tt := range []struct {
		keys             string
		writable, closed []string
	}{
		{"volumes: [a:/a], tmpfs: /t", nil, nil},
		{"read_only: false, volumes: [a:/a]", nil, nil},
		{"read_only: true", nil, nil},
		{
			`read_only: true, volumes: [va:/a, "./b:/b:ro", /c/, { type: bind, source: ., target: /d, read_only: true }, { type: tmpfs, target: /e }], tmpfs: [/t:size=1m], x-sidecar-init: { writable: [/w/] }`,
			[]string{"/a", "/c", "/e", "/t", "/w"},
			[]string{"/b", "/d"},
		},
		{`volumes: ["va:/a:z,ro", vb:/a/b]`, []string{"/a/b"}, []string{"/a"}},
	} {
		d := &loaded(t, "services: { a: { command: [x], "+tt.keys+" } }").Daemons[0]
		if !slices.Equal(d.Writable, tt.writable) || !slices.Equal(d.Closed, tt.closed) {
			t.Errorf("%s: got %q and %q, want %q and %q", tt.keys, d.Writable, d.Closed, tt.writable, tt.closed)
		}
	}
}
