package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

const secret = "s3cret"

// TestPrivate: a private variable reaches the services that declare it, and neither another daemon nor any helper.
func TestPrivate(t *testing.T) {
	b := mustLoad(t, `
services:
  egress:
    command: [/bin/egress, "${EGRESS_TOKEN_1}"]
    environment: {EXTRA: "x${EGRESS_TOKEN_1}", EGRESS_TOKEN_3: own}
    healthcheck: {test: [CMD, probe]}
    pre_start: [{command: [init], environment: {EGRESS_TOKEN_4: x}}]
    post_start: [{command: [post], environment: {B: c, EGRESS_TOKEN_5: x}}]
    x-sidecar-init: {private_env: ["EGRESS_TOKEN_*"]}
  both:
    command: [/bin/both]
    x-sidecar-init: {private_env: [EGRESS_TOKEN_2, "DB_?"]}
  other:
    command: [/bin/other]
    environment: [PLAIN]
`, Options{Env: []string{"EGRESS_TOKEN_1=" + secret, "EGRESS_TOKEN_2=" + secret, "DB_X=" + secret, "DB_XY=1", "PLAIN=1", "EGRESS_TOKEN=1"}})

	envs := map[string][]string{"everyone else": b.Env}
	for _, d := range b.Daemons {
		envs[d.Spec.Name] = d.Spec.Env
		envs[d.Spec.Name+"'s helpers"] = d.HelperEnv
		for i, s := range slices.Concat(d.Spec.PreStart, d.Spec.PostStart) {
			envs[fmt.Sprintf("%s's step %d", d.Spec.Name, i)] = s.Env
		}
	}
	tests := []struct{ who, names string }{
		{"everyone else", "DB_XY EGRESS_TOKEN PLAIN"},
		{"egress", "DB_XY EGRESS_TOKEN EGRESS_TOKEN_1 EGRESS_TOKEN_2 EGRESS_TOKEN_3 EXTRA PLAIN SIDECAR_INIT_DAEMON"},
		{"egress's helpers", "DB_XY EGRESS_TOKEN EXTRA PLAIN SIDECAR_INIT_DAEMON"},
		{"egress's step 0", "DB_XY EGRESS_TOKEN EXTRA PLAIN SIDECAR_INIT_DAEMON"},
		{"egress's step 1", "B DB_XY EGRESS_TOKEN EXTRA PLAIN SIDECAR_INIT_DAEMON"},
		{"both", "DB_X DB_XY EGRESS_TOKEN EGRESS_TOKEN_2 PLAIN SIDECAR_INIT_DAEMON"},
		{"both's helpers", "DB_XY EGRESS_TOKEN PLAIN SIDECAR_INIT_DAEMON"},
		{"other", "DB_XY EGRESS_TOKEN PLAIN SIDECAR_INIT_DAEMON"},
		{"other's helpers", "DB_XY EGRESS_TOKEN PLAIN SIDECAR_INIT_DAEMON"},
	}
	for _, tt := range tests {
		var names []string
		for _, kv := range envs[tt.who] {
			name, _, _ := strings.Cut(kv, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != tt.names {
			t.Errorf("%s: got %s, want %s", tt.who, got, tt.names)
		}
	}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		if err := b.Check(&out, format); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), secret) {
			t.Errorf("check prints a private value:\n%s", out.String())
		}
		if !strings.Contains(out.String(), "EGRESS_TOKEN_1") {
			t.Errorf("check does not name the private variables:\n%s", out.String())
		}
	}
}

// TestPrivateMisuse: a service that uses a private name without declaring it is refused, whatever way it takes.
func TestPrivateMisuse(t *testing.T) {
	const head = "services:\n  egress: {command: [e], x-sidecar-init: {private_env: [\"TOKEN_*\"]}}\n"
	const message = "TOKEN_1 is private to egress"
	path := write(t, map[string]string{
		"uses.env": "A=${TOKEN_1}\n", "inherits.env": "TOKEN_1\n", "sets.env": "TOKEN_1=x\n", "raw.env": "TOKEN_1\n",
		"alias.env": "A=$B_IN_DOTENV\n", "alias-raw.env": "B_IN_DOTENV\n",
	})
	tests := []struct{ name, yaml string }{
		{"command", "  a: {command: [x, \"${TOKEN_1}\"]}\n"},
		{"default", "  a: {command: [x, \"${TOKEN_1:-none}\"]}\n"},
		{"alternative", "  a: {command: [x, \"${TOKEN_1:+set}\"]}\n"},
		{"nested", "  a: {command: [x, \"${NOPE:-${TOKEN_1}}\"]}\n"},
		{"environment value", "  a: {command: [x], environment: {A: \"${TOKEN_1}\"}}\n"},
		{"environment name", "  a: {command: [x], environment: [TOKEN_1]}\n"},
		{"environment null", "  a: {command: [x], environment: {TOKEN_1: }}\n"},
		{"environment literal", "  a: {command: [x], environment: {TOKEN_1: x}}\n"},
		{"passed over", "  a: {command: [x], image: \"x:${TOKEN_1}\"}\n"},
		{"extension", "  a: {command: [x], x-note: \"${TOKEN_1}\"}\n"},
		{"healthcheck", "  a: {command: [x], healthcheck: {test: \"probe ${TOKEN_1}\"}}\n"},
		{"hook", "  a: {command: [x], post_start: [{command: [y], environment: [TOKEN_1]}]}\n"},
		{"pre_start", "  a: {command: [x], pre_start: [{command: [y], environment: {TOKEN_1: z}}]}\n"},
		{"anchor", "  a: {command: [x], environment: *e}\nx-e: &e2 {}\n"},
		{"inactive", "  a: {command: [x, \"${TOKEN_1}\"], profiles: [off]}\n"},
		{"top", "  a: {command: [x]}\nx-sidecar-init: {notify: [{url: \"http://h/${TOKEN_1}\"}]}\n"},
		{"env_file uses", "  a: {command: [x], env_file: " + path("uses.env") + "}\n"},
		{"env_file inherits", "  a: {command: [x], env_file: " + path("inherits.env") + "}\n"},
		{"env_file sets", "  a: {command: [x], env_file: " + path("sets.env") + "}\n"},
		{"env_file raw", "  a: {command: [x], env_file: [{path: " + path("raw.env") + ", format: raw}]}\n"},
		{".env", "  a: {command: [x, \"$A_IN_DOTENV\"]}\n"},
		{".env of .env", "  a: {command: [x, \"$B_IN_DOTENV\"]}\n"},
		{".env and environment", "  a: {command: [x], environment: [B_IN_DOTENV]}\n"},
		{".env and env_file", "  a: {command: [x], env_file: " + path("alias.env") + "}\n"},
		{".env and env_file raw", "  a: {command: [x], env_file: [{path: " + path("alias-raw.env") + ", format: raw}]}\n"},
		{".env at the top", "  a: {command: [x]}\nname: $A_IN_DOTENV\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, map[string]string{
				"bundle.yaml": "x-env: &e {A: \"${TOKEN_1}\"}\n" + head + tt.yaml,
				".env":        "A_IN_DOTENV=x$TOKEN_1\nB_IN_DOTENV=\"y${A_IN_DOTENV}\"\n",
			})
			_, err := loadFiles(Options{Files: []string{file("bundle.yaml")}, Env: []string{"TOKEN_1=" + secret}})
			var problems *compose.Errors
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), message) {
				t.Fatalf("got %v, want %q", err, message)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the value is in the error: %v", err)
			}
			for _, p := range problems.Problems {
				if p.Line == 0 {
					t.Errorf("no line is told: %v", p)
				}
			}
		})
	}
	file := write(t, map[string]string{"bundle.yaml": head, ".env": "COMPOSE_PROJECT_NAME=$TOKEN_1\n"})
	if _, err := loadFiles(Options{Files: []string{file("bundle.yaml")}, Env: []string{"TOKEN_1=" + secret}}); err == nil || !strings.Contains(err.Error(), message) {
		t.Errorf("the name of the bundle: got %v, want %q", err, message)
	}
	// What the environment has goes before .env, so nothing private is in it.
	file = write(t, map[string]string{"bundle.yaml": head + "  a: {command: [x, $A]}\n", ".env": "A=$TOKEN_1\n"})
	b, err := loadFiles(Options{Files: []string{file("bundle.yaml")}, Env: []string{"TOKEN_1=" + secret, "A=plain"}})
	if err != nil || b.Daemons[1].Spec.Argv[1] != "plain" {
		t.Errorf("got %v, %v", b, err)
	}
}

// TestNoValueInErrors: a value that interpolation put in is in no message, whatever is wrong with it.
func TestNoValueInErrors(t *testing.T) {
	fields := []string{
		`scale: "${S}"`, `restart: "${S}"`, `stop_signal: "${S}"`, `stop_grace_period: "${S}"`, `healthcheck: {test: x, interval: "${S}"}`,
		`healthcheck: {test: ["${S}"]}`, `cap_add: ["${S}"]`, `cap_add: ["${S}", "${S}"]`, `security_opt: ["${S}"]`, `ulimits: {nofile: "${S}"}`, `group_add: "${S}"`,
		`group_add: ["${S}", "${S}"]`, `depends_on: ["${S}"]`, `depends_on: {a: {condition: "${S}"}}`, `env_file: "${S}"`, `env_file: [{path: x, format: "${S}"}]`,
		`attach: "${S}"`, `command: "${S}'"`, `command: "${S};"`, `environment: ["${S}=x", "${S} =y"]`, `environment: "${S}"`,
		`deploy: {mode: "${S}"}`, `deploy: {replicas: "${S}"}`, `deploy: {restart_policy: {condition: "${S}"}}`, `secrets: ["${S}"]`, `secrets: [{source: "${S}"}]`,
		`x-sidecar-init: {private_env: ["${S}["]}`, `x-sidecar-init: {ready: {tcp: "${S}"}}`, `x-sidecar-init: {ready: {http: "${S}"}}`, `x-sidecar-init: {ready: {log: "${S}["}}`,
		`x-sidecar-init: {ready: {notify: "${S}"}}`, `x-sidecar-init: {kill_mode: "${S}"}`, `x-sidecar-init: {critical: "${S}"}`, `x-sidecar-init: {backoff: {initial: "${S}"}}`,
		`x-sidecar-init: {limit: {restarts: "${S}", window: 1s}}`, `x-sidecar-init: {overflow: "${S}"}`, `user: "${NO:?${S}}"`, `profiles: "${S}"`, `working_dir: "${S}${NO:?}"`,
		`post_start: [{command: "${S}'"}]`, `oom_score_adj: "${S}"`,
	}
	for _, field := range fields {
		_, err := loadText(t, "services:\n  a:\n    "+field+"\n    <<: {command: [x]}\n", Options{Env: []string{"S=" + secret}})
		if err == nil {
			t.Errorf("%s: accepted", field)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the value is in the error: %v", field, err)
		}
	}
	tops := []string{
		`{grace_period: "${S}"}`, `{signals: {HUP: {forward: "${S}"}}}`, `{signals: {HUP: {restart: ["${S}", "${S}"]}}}`, `{exit_code_from: "${S}"}`, `{log: {format: "${S}"}}`,
		`{log: {timestamps: "${S}"}}`, `{notify: [{url: "${S}"}]}`, `{notify: "${S}"}`, `{signals: "${S}"}`,
	}
	for _, top := range tops {
		_, err := loadText(t, "services: {a: {command: [x]}}\nx-sidecar-init: "+top+"\n", Options{Env: []string{"S=" + secret}})
		if err == nil {
			t.Errorf("%s: accepted", top)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the value is in the error: %v", top, err)
		}
	}
}

// TestPlanJSON: what check prints as JSON is JSON, with empty lists where there is nothing.
func TestPlanJSON(t *testing.T) {
	b, err := Builtin(Options{Subset: ",", SubsetSet: true})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.Check(&out, "json"); err != nil {
		t.Fatal(err)
	}
	var plan map[string]any
	if err := json.Unmarshal(out.Bytes(), &plan); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"daemons", "start_waves", "stop", "signals", "private", "passed_over", "warnings"} {
		if list, ok := plan[key].([]any); !ok {
			t.Errorf("%s: got %v, want a list", key, plan[key])
		} else if key == "daemons" && len(list) != 0 {
			t.Errorf("got daemons %v, want none", list)
		}
	}
}
