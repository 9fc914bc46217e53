package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// TestErrorsGolden keeps the words of every error of the corpus. They are part of what a user sees: read the diff.
func TestErrorsGolden(t *testing.T) {
	registerRaw()
	var out strings.Builder
	for _, c := range corpus(t) {
		if c.invalid == "" && c.refused == "" {
			continue
		}
		_, err := loadFiles(Options{Files: c.files, Profiles: c.profiles, Env: corpusEnv()})
		var problems *compose.Errors
		if !errors.As(err, &problems) || len(problems.Problems) == 0 {
			t.Errorf("%s: got %v, want *Errors", c.name, err)
			continue
		}
		for _, p := range problems.Problems {
			_, file, _ := strings.Cut(p.File, "testdata/corpus/") // env files have absolute paths
			if p.Line > 0 {
				file += fmt.Sprintf(":%d:%d", p.Line, p.Col)
			}
			_, after, found := strings.Cut(p.Message, "/testdata/corpus/")
			if before, _, _ := strings.Cut(p.Message, "/"); found {
				p.Message = before + after
			}
			fmt.Fprintf(&out, "%s: %s\n", file, strings.ReplaceAll(p.Message, "testdata/corpus/", ""))
		}
	}
	golden(t, "testdata/errors.golden", out.String())
}

// TestCheckGolden keeps the plan of a bundle that has everything, as text and as JSON.
func TestCheckGolden(t *testing.T) {
	b, err := loadFiles(Options{
		Files: []string{"testdata/check/everything.yaml"}, Env: []string{"EGRESS_TOKEN_1=" + secret, "EGRESS_TOKEN_2=" + secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		if err := b.Check(&out, format); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/check/everything."+format, out.String())
	}
}

// TestAllAtOnce: every problem of a file is reported, in the order of its lines, each once.
func TestAllAtOnce(t *testing.T) {
	_, err := loadText(t, `services:
  a:
    comand: [x]
    restart: allways
    depends_on: [c]
    environment: {A: "${NO:?is needed}"}
  b:
    command: [b]
    user: 5
    privileged: true
    depends_on: [b]
x-sidecar-init:
  signals: {TERM: {forward: a}, HPU: {forward: d}}
  grace: 5s
`, Options{})
	var problems *compose.Errors
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want *Errors", err)
	}
	var got []string
	for _, p := range problems.Problems {
		got = append(got, fmt.Sprintf("%d:%d: %s", p.Line, p.Col, p.Message))
	}
	want := []string{
		`3:5: unknown key "comand" in services.a; did you mean "command"?`,
		`4:14: restart must be no, on-failure[:N], always or unless-stopped, not "allways"; did you mean "always"?`,
		`5:18: a depends on an unknown service: "c"`,
		`6:22: the variable NO must be set: is needed`,
		`9:11: user must be a string: write "5", with the quotes`,
		`10:5: privileged is not supported: a daemon cannot have more rights than the container: use cap_add, or say it to what runs the container`,
		`11:18: b waits for itself: b → b; remove one of these dependencies`,
		`13:13: TERM cannot be routed: it stops the bundle`,
		`13:33: unknown signal "HPU"; did you mean "HUP"?`,
		`14:3: unknown key "grace" in x-sidecar-init; did you mean "grace_period"?`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestUnreadable: a file that cannot be read is one clear line with its name.
func TestUnreadable(t *testing.T) {
	path := write(t, map[string]string{"empty.yaml": "", "nul.yaml": "services: \x00", "latin1.yaml": "name: \xe9t\xe9\n"})
	tests := []struct{ file, want string }{
		{path("missing.yaml"), "missing.yaml:1:1: cannot be read: no such file or directory"},
		{path("."), ":1:1: cannot be read: is a directory"},
		{path("empty.yaml"), "empty.yaml:1:1: empty: a bundle file must have the key services"},
		{path("nul.yaml"), "nul.yaml"},
		{path("latin1.yaml"), "latin1.yaml"},
	}
	for _, tt := range tests {
		_, err := Load(Options{Files: []string{tt.file}})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", tt.file, err, tt.want)
		}
	}
	if _, err := Load(Options{}); err == nil {
		t.Error("no file at all is accepted")
	}
}

// TestLoaderIsNotLinked: compose-go's loader, and what it drags in, stay out of the binary.
func TestLoaderIsNotLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	may := []string{
		"github.com/bot-bottle/sidecar-init", "go.yaml.in/yaml/v4", "golang.org/x/sys/unix", "github.com/netresearch/go-cron",
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		first, _, _ := strings.Cut(dep, "/")
		if dep == "net/http" {
			t.Error("it imports net/http")
		}
		if strings.Contains(first, ".") && !slices.ContainsFunc(may, func(m string) bool { return dep == m || strings.HasPrefix(dep, m+"/") }) {
			t.Errorf("it imports %s", dep)
		}
	}
}

// TestRoutes: which signals may be routed, and to what.
func TestRoutes(t *testing.T) {
	for _, tt := range []struct{ route, want string }{ // want is a part of the error; "" if there is none
		{"WINCH: {shutdown: true}", ""},
		{"SIGWINCH: {shutdown: true, forward: a}", ""},
		{"CONT: {shutdown: true}", ""},
		{"PWR: {shutdown: true}", ""},
		{"USR1: {shutdown: true}", ""},
		{"RTMIN+3: {shutdown: true}", ""},
		{`"37": {shutdown: true}`, ""},
		{"HUP: {shutdown: false, restart: a}", ""},
		{"HUP: {shutdown: false}", "HUP must have forward, restart, reload or shutdown"},
		{"HUP: {}", "HUP must have forward, restart, reload or shutdown"},
		{"HUP: {shutdown: true, restart: a}", "HUP cannot both restart or reload something and shut the bundle down"},
		{"HUP: {shutdown: [a]}", "shutdown must be true or false"},
		{"HUP: {shutdwn: true}", `unknown key "shutdwn" in HUP; did you mean "shutdown"?`},
		{"KILL: {shutdown: true}", "KILL cannot be routed: no program can catch it"},
		{"STOP: {shutdown: true}", "STOP cannot be routed"},
		{"TERM: {shutdown: true}", "TERM cannot be routed: it stops the bundle"},
		{"INT: {shutdown: true}", "INT cannot be routed"},
		{"QUIT: {shutdown: true}", "QUIT cannot be routed"},
		{"CHLD: {shutdown: true}", "CHLD cannot be routed: the supervisor needs it itself"},
		{"URG: {shutdown: true}", "URG cannot be routed"},
		{"PIPE: {shutdown: true}", "PIPE cannot be routed"},
		{"PROF: {shutdown: true}", "PROF cannot be routed"},
		{`"32": {shutdown: true}`, "32 cannot be routed: the C library or the Go runtime needs it"},
		{`"33": {shutdown: true}`, "33 cannot be routed"},
		{"RTMIN: {shutdown: true}", "RTMIN cannot be routed"},
	} {
		b, err := loadText(t, "x-sidecar-init: { signals: { "+tt.route+" } }\nservices: { a: { command: [a] } }\n", Options{})
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.route, err)
		case tt.want == "" && len(b.Routes) != 1:
			t.Errorf("%s: got %v, want one route", tt.route, b.Routes)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.route, err, tt.want)
		}
	}
}
