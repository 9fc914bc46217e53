package plan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/plan"
)

// load reads a bundle file. Env is that of both sides of a comparison.
func load(t *testing.T, text string) *bundle.Bundle {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Load(bundle.Options{Files: []string{file}, Env: []string{"PATH=/bin", "TOKEN_A=secret"}})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return b
}

// running are the states of a bundle in which all is well, but for what is given.
func running(b *bundle.Bundle, but map[string]child.State) map[string]child.State {
	states := map[string]child.State{}
	for i := range b.Daemons {
		states[b.Daemons[i].Spec.Name] = child.StateRunning
	}
	for name, s := range but {
		states[name] = s
	}
	return states
}

func TestText(t *testing.T) {
	old := load(t, `
x-sidecar-init: { signals: { HUP: { forward: worker } } }
services:
  worker: { command: [w] }
  cache: { command: [c], scale: 2 }
  old: { command: [o] }
  api: { command: [a] }
  db: { command: [d] }
`)
	next := load(t, `
x-sidecar-init: { signals: { USR1: { restart: worker } }, grace_period: 5s }
services:
  worker: { command: [w, more], environment: { A: b } }
  cache: { command: [c], scale: 3 }
  api: { command: [a], restart: always, stop_grace_period: 3s }
  db: { command: [d], image: db:2 }
`)
	p := plan.New(old, next, running(old, nil))
	want := `worker   restart  command, environment
cache-3  start    scale 2 -> 3
old      stop     no longer in the file
api      update   restart, stop_grace_period
bundle   update   signals, grace_period
3 unchanged
`
	if got := p.Text(); got != want {
		t.Errorf("Text: got\n%swant\n%s", got, want)
	}
	if got, want := p.Summary(), "1 started, 1 stopped, 1 restarted, 1 updated, 3 unchanged"; got != want {
		t.Errorf("Summary: got %q, want %q", got, want)
	}
	b, err := json.Marshal(&p)
	if want := `{"steps":[{"name":"worker","action":"restart","causes":["command","environment"]},`; err != nil || !strings.HasPrefix(string(b), want) {
		t.Errorf("JSON: got %s, %v, want %s…", b, err, want)
	}
}

// TestKeys changes one key after the other.
func TestKeys(t *testing.T) {
	restarts := map[string]string{
		"command":       "command: [w, x]",
		"environment":   "environment: { A: c }",
		"working_dir":   "working_dir: /tmp",
		"user":          "user: nobody",
		"group_add":     "group_add: [audio]",
		"ulimits":       "ulimits: { nofile: 5 }",
		"cap_add":       "cap_add: [KILL]",
		"cap_drop":      "cap_drop: [KILL]",
		"security_opt":  "security_opt: [no-new-privileges:true]",
		"oom_score_adj": "oom_score_adj: 7",
		"ready":         "x-sidecar-init: { ready: { tcp: 80 } }",
	}
	updates := map[string]string{
		"restart":           "restart: always",
		"backoff":           "x-sidecar-init: { backoff: { initial: 7s } }",
		"limit":             "x-sidecar-init: { limit: { restarts: 3, window: 1m } }",
		"stop_signal":       "stop_signal: SIGINT",
		"stop_grace_period": "stop_grace_period: 3s",
		"kill_mode":         "x-sidecar-init: { kill_mode: process }",
		"healthcheck":       "healthcheck: { test: [CMD, check] }",
		"pre_start":         "pre_start: [ { command: [p] } ]",
		"post_start":        "post_start: [ { command: [p] } ]",
		"pre_stop":          "pre_stop: [ { command: [p] } ]",
		"depends_on":        "depends_on: [db]",
		"critical":          "x-sidecar-init: { critical: true }",
		"overflow":          "x-sidecar-init: { overflow: drop }",
		"control":           "x-sidecar-init: { control: none }",
		"attach":            "attach: false",
		"labels":            "labels: { a: b }",

		"success_exit_codes":    "x-sidecar-init: { success_exit_codes: [143] }",
		"no_restart_exit_codes": "x-sidecar-init: { no_restart_exit_codes: [78] }",
		"watch":                 "x-sidecar-init: { watch: [ { path: /etc/a } ] }",
	}
	file := func(line string) *bundle.Bundle {
		if !strings.HasPrefix(line, "command:") {
			line = "command: [w]\n    " + line
		}
		return load(t, "services:\n  web:\n    "+line+"\n  db: { command: [d] }\n")
	}
	plain := file("labels: {}")
	for _, tt := range []struct {
		lines  map[string]string
		action plan.Action
	}{{restarts, plan.Restart}, {updates, plan.Update}} {
		for name, line := range tt.lines {
			next := file(line)
			p := plan.New(plain, next, running(plain, nil))
			want := []plan.Step{{Name: "web", Action: tt.action, Causes: []string{name}}}
			if !reflect.DeepEqual(p.Steps, want) || p.Unchanged != 1 {
				t.Errorf("%s: got %+v, %d unchanged, want %+v, 1", line, p.Steps, p.Unchanged, want)
			}
			if back := plan.New(next, plain, running(plain, nil)); len(back.Steps) != 1 || back.Steps[0].Action != tt.action {
				t.Errorf("%s, taken back: got %+v, want %s", line, back.Steps, tt.action)
			}
		}
	}
}

func TestNothing(t *testing.T) {
	a := load(t, `
services:
  web:
    command: [w]
    image: web:1
    environment: { A: b, C: d }
    depends_on: { db: { condition: service_started }, x: { condition: service_started } }
  db: { command: [d], build: . }
  x: { command: [x], healthcheck: &h { test: [CMD, check] } }
`)
	b := load(t, `
# another order, other comments, no anchor
services:
  x: { command: [x], healthcheck: { test: [CMD, check] } }
  db: { command: [d] }
  web:
    depends_on: { x: { condition: service_started }, db: { condition: service_started } }
    environment: [ C=d, A=b ]
    image: web:2
    command: w
`)
	if p := plan.New(a, b, running(a, nil)); !p.Nothing() || p.Unchanged != 3 {
		t.Errorf("got %s", p.Text())
	}
	for i := range a.Daemons {
		for j := range b.Daemons {
			if x, y := &a.Daemons[i].Spec, &b.Daemons[j].Spec; x.Name == y.Name && x.Compare(y) != child.SameSpec {
				t.Errorf("Compare of %s: got %s, want same", x.Name, x.Compare(y))
			}
		}
	}
}

func TestStates(t *testing.T) {
	const file = `
services:
  web: { command: [w], depends_on: { db: { condition: service_started, restart: true } } }
  db: { command: [%] }
`
	old, next := load(t, strings.Replace(file, "%", "d", 1)), load(t, strings.Replace(file, "%", "e", 1))
	for _, tt := range []struct {
		states map[string]child.State
		want   string
	}{
		{nil, "web  restart  depends_on db\ndb   restart  command\n0 unchanged\n"},
		{map[string]child.State{"web": child.StateExited}, "db  restart  command\n1 unchanged\n"},
		{map[string]child.State{"db": child.StateStopped}, "db  update   command\n1 unchanged\n"},
		{map[string]child.State{"db": child.StateWaiting}, "db  update   command\n1 unchanged\n"},
		{map[string]child.State{"db": child.StateExited}, "web  restart  depends_on db\ndb   start    command\n0 unchanged\n"},
		{map[string]child.State{"db": child.StateGaveUp, "web": child.StateStopped}, "db  start    command\n1 unchanged\n"},
		{map[string]child.State{"db": child.StateBackoff, "web": child.StateWaiting}, "db  start    command\n1 unchanged\n"},
		{map[string]child.State{"db": child.StateUnhealthy, "web": child.StateStopped}, "db  restart  command\n1 unchanged\n"},
	} {
		if got := plan.New(old, next, running(old, tt.states)).Text(); !sameLines(got, tt.want) {
			t.Errorf("%v: got\n%swant\n%s", tt.states, got, tt.want)
		}
	}
}

// sameLines compares lines in any order.
func sameLines(a, b string) bool {
	x, y := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(a) {
		x[line] = true
	}
	for line := range strings.Lines(b) {
		y[line] = true
	}
	return reflect.DeepEqual(x, y)
}

func TestScaleAndProfiles(t *testing.T) {
	old := load(t, "services:\n  a: { command: [a], scale: 3 }\n  b: { command: [b] }\n  c: { command: [c], profiles: [x] }\n  d: { command: [d] }\n")
	next := load(t, "services:\n  a: { command: [a], scale: 2 }\n  b: { command: [b], profiles: [x] }\n  c: { command: [c] }\n  e: { command: [e] }\n")
	want := "c    start    profile or scale\ne    start    new in the file\na-3  stop     scale 3 -> 2\nb    stop     profile or scale\nd    stop     no longer in the file\n2 unchanged\n"
	if got := plan.New(old, next, running(old, nil)).Text(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestContents(t *testing.T) {
	old := load(t, "services: { a: { command: [a], secrets: [s] } }\nsecrets: { s: { file: ./s } }\n")
	next := load(t, "services: { a: { command: [a], secrets: [s] } }\nsecrets: { s: { file: ./s } }\n")
	next.Daemons[0].Files[0] = old.Daemons[0].Files[0] // the directories differ
	if p := plan.New(old, next, running(old, nil)); !p.Nothing() {
		t.Errorf("got %s", p.Text())
	}
	next.Daemons[0].Files[0].Digest = "other"
	if got, want := plan.New(old, next, running(old, nil)).Text(), "a  restart  secrets\n0 unchanged\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// No value is in a plan, whatever changes.
func TestPrivate(t *testing.T) {
	old := load(t, "services: { a: { command: [a], environment: { X: one-value }, x-sidecar-init: { private_env: [TOKEN_*] } } }\n")
	next := load(t, "services: { a: { command: [a], environment: { X: other-value } } }\n")
	b, err := json.Marshal(plan.New(old, next, running(old, nil)))
	if err != nil || strings.Contains(string(b), "value") || strings.Contains(string(b), "secret") {
		t.Errorf("got %s, %v", b, err)
	}
}

// TestJobs: nothing is started or restarted for a job; what becomes one, or was one, is.
func TestJobs(t *testing.T) {
	file := func(jobs string) *bundle.Bundle { return load(t, "services:\n  web: { command: [w] }\n"+jobs) }
	job := func(more string) *bundle.Bundle {
		return file("jobs:\n  j: { command: [j], triggers: { schedule: [\"0 3 * * *\"] }" + more + " }\n")
	}
	plain := job("")
	for _, tt := range []struct {
		name   string
		next   *bundle.Bundle
		action plan.Action
		cause  string
	}{
		{"command", file("jobs:\n  j: { command: [k], triggers: { schedule: [\"0 3 * * *\"] } }\n"), plan.Update, "command"},
		{"schedule", file("jobs:\n  j: { command: [j], triggers: { schedule: [\"0 4 * * *\"] } }\n"), plan.Update, "triggers"},
		{"manual", file("jobs:\n  j: { command: [j], triggers: { schedule: [\"0 3 * * *\"], manual: false } }\n"), plan.Update, "triggers"},
		{"timeout", job(", x-sidecar-init: { timeout: 1s }"), plan.Update, "timeout"},
		{"gone", file(""), plan.Stop, "no longer in the file"},
		{"a service", load(t, "services:\n  web: { command: [w] }\n  j: { command: [j] }\n"), plan.Start, "a service from now on"},
		{"the same", job(""), "", ""},
	} {
		for _, state := range []child.State{child.StateScheduled, child.StateRunning} {
			p := plan.New(plain, tt.next, running(plain, map[string]child.State{"j": state}))
			if tt.action == plan.Start && state == child.StateRunning {
				tt.action = plan.Restart
			}
			if got := p.Action("j"); got != tt.action || got != "" && tt.action != plan.Restart && p.Steps[0].Causes[0] != tt.cause {
				t.Errorf("%s, %s: got %+v, want %s", tt.name, state, p.Steps, tt.action)
			}
		}
	}
	if p := plan.New(file(""), plain, running(file(""), nil)); p.Action("j") != plan.Update {
		t.Errorf("a new job: %+v", p.Steps)
	}
	service := load(t, "services:\n  web: { command: [w] }\n  j: { command: [j] }\n")
	if p := plan.New(service, plain, running(service, nil)); p.Action("j") != plan.Update || p.Steps[0].Causes[0] != "a job from now on" {
		t.Errorf("a service that becomes a job: %+v", p.Steps)
	}
}
