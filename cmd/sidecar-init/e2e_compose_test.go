//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// TestCritical: the end of a critical daemon is that of the bundle, with its exit code; a restart is no end.
func TestCritical(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, call{place: p, bundle: services(
			daemon("main", "once "+dir+"/1 exit 9; exit 3", "restart: on-failure:1", "x-sidecar-init: { critical: true, backoff: { initial: 1ms } }"),
			daemon("other", "trap TERM exit 5; print up; block"),
		)})
		s.exit(3)
		s.match(`sidecar-init: main exited with code 9; restarting in \S+ \(attempt 1\)`)
		s.match(`sidecar-init: main exited with code 3; giving up after 1 restarts in \S+`)
		s.expect("sidecar-init: shutting down (main is critical and has ended); forwarding SIGTERM")

		s = start(t, call{place: p, bundle: services(
			daemon("main", "exit 0", "x-sidecar-init: { critical: true }", "depends_on: [other]"),
			daemon("other", "trap TERM exit 5; block"),
		)})
		s.exit(0)
		s.expect("sidecar-init: main exited with code 0", "sidecar-init: shutting down (main is critical and has ended); forwarding SIGTERM")
		s.never(`.*leaving surviving daemons.*`)
	})
}

// TestExitCodeFrom: one daemon's exit code is that of the bundle; the flag wins over the file.
func TestExitCodeFrom(t *testing.T) {
	t.Parallel()
	bundle := "x-sidecar-init: { exit_code_from: a }\n" + services(daemon("a", "exit 3"), daemon("b", "exit 5"), daemon("c", "exit 9"))
	start(t, call{bundle: bundle}).exit(3)
	start(t, call{bundle: bundle, args: []string{"--exit-code-from", "b"}}).exit(5)
	start(t, call{bundle: bundle, env: []string{"SIDECAR_INIT_EXIT_CODE_FROM=c"}}).exit(9)
}

// TestConditions: each condition of depends_on, while it does not hold, when it does, and when it can no longer.
func TestConditions(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		const lives = "trap TERM exit 0; print up; block"
		s := start(t, call{place: p, bundle: routed("USR1: { restart: db }",
			daemon("web", lives, "depends_on: { db: { condition: service_healthy, restart: true }, job: { condition: service_completed_successfully } }"),
			daemon("late", lives, "depends_on: { web: { condition: service_started } }"),
			daemon("never", lives, "depends_on: { bad: { condition: service_completed_successfully } }"),
			daemon("optional", lives, "depends_on: { bad: { condition: service_healthy, required: false } }"),
			daemon("db", "trap TERM exit 0; waitfile "+dir+"/db; print open; block", ready("log: ^open")),
			daemon("job", "waitfile "+dir+"/job; exit 0"),
			daemon("bad", "exit 4"),
		)})
		s.expect(
			"sidecar-init: starting db", "sidecar-init: starting job", "sidecar-init: bad exited with code 4"+
				"; leaving surviving daemons running (operator-visible via agent-side failure)",
			"sidecar-init: never not started: bad ended with code 4", "[optional] up",
		)
		s.never("sidecar-init: starting (web|late|never)")
		writeFile(t, dir+"/db", "")
		s.expect("sidecar-init: db is ready")
		s.never("sidecar-init: starting (web|late)")
		writeFile(t, dir+"/job", "")
		s.expect("[web] up", "[late] up")
		s.inOrder("sidecar-init: job exited with code 0; leaving surviving daemons running (operator-visible via agent-side failure)",
			"sidecar-init: starting web", "sidecar-init: starting late")
		s.signal(syscall.SIGUSR1)
		s.match(`sidecar-init: db restarted \(pid \d+\)`)
		s.match(`sidecar-init: web restarted \(pid \d+\)`)
		s.expect("sidecar-init: db is ready", "[web] up")
		s.signal(syscall.SIGTERM)
		s.exit(4)
		s.inOrder("sidecar-init: shutting down (SIGTERM); forwarding SIGTERM",
			"sidecar-init: late exited with code 0", "sidecar-init: web exited with code 0", "sidecar-init: db exited with code 0")
	})
}

// TestHooks: pre_start before the program, post_start beside it, pre_stop before its stop signal.
func TestHooks(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, call{place: p, bundle: services(
			daemon("web", "trap TERM { print bye; exit 0 }; print up; touch "+dir+"/up; block",
				`pre_start: [ { command: [sh, -c, "echo first; echo $$WORD"], environment: { WORD: second } }, { command: [sh, -c, pwd], working_dir: /usr } ]`,
				`post_start: [ { command: [sh, -c, "until test -e `+dir+`/up; do sleep 0.01; done; echo beside"] } ]`,
				`pre_stop: [ { command: [sh, -c, "echo about to end"] } ]`),
			daemon("broken", "print up; block", "pre_start: [ { command: [sh, -c, exit 6] } ]"),
		)})
		s.expect("[web] up", "[web] beside")
		s.inOrder("sidecar-init: starting web", "[web] first", "[web] second", "[web] /usr", "[web] up") // beside comes by a pipe of its own
		s.match("sidecar-init: broken exited with code 6.*")
		s.signal(syscall.SIGTERM)
		s.exit(6)
		s.inOrder("sidecar-init: shutting down (SIGTERM); forwarding SIGTERM", "[web] about to end", "[web] bye", "sidecar-init: web exited with code 0")
		s.never(`\[broken\] up`)
	})
}

// TestScale: NAME means all of NAME-1, NAME-2 in routes, dependencies and subsets.
func TestScale(t *testing.T) {
	t.Parallel()
	bundle := routed("HUP: { forward: web }, USR1: { restart: web }",
		daemon("web", "trap HUP print reloaded; trap TERM exit 0; print up; block", "scale: 2"),
		daemon("front", "print up; block", "depends_on: [web]"),
		daemon("other", "print up; block", "deploy: { replicas: 2 }"))
	s := start(t, call{bundle: bundle, args: []string{"front"}})
	s.expect("[web-1] up", "[web-2] up", "[front] up")
	s.signal(syscall.SIGHUP)
	s.expect("[web-1] reloaded", "[web-2] reloaded", "sidecar-init: forwarded SIGHUP to web-1", "sidecar-init: forwarded SIGHUP to web-2")
	s.signal(syscall.SIGUSR1)
	s.expect("[web-1] up", "[web-2] up")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never(`\[other.*`)

	s = start(t, call{bundle: bundle, env: []string{"SIDECAR_INIT_DAEMONS=other, web-2"}})
	s.expect("[other-1] up", "[other-2] up", "[web-2] up")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never(`\[(web-1|front)\].*`)
}

// TestProfiles: a service with profiles runs if one of them is active.
func TestProfiles(t *testing.T) {
	t.Parallel()
	bundle := services(daemon("a", "print up"), daemon("b", "print up", "profiles: [debug]"), daemon("c", "print up", "profiles: [trace, debug]"))
	for _, tt := range []struct {
		name string
		args []string
		env  []string
		up   []string
	}{
		{name: "none", up: []string{"a"}},
		{name: "flag", args: []string{"--profile", "trace"}, up: []string{"a", "c"}},
		{name: "variable", env: []string{"COMPOSE_PROFILES=debug"}, up: []string{"a", "b", "c"}},
		{name: "named", args: []string{"b"}, up: []string{"b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, call{bundle: bundle, args: tt.args, env: tt.env})
			s.exit(0)
			var up []string
			for _, name := range []string{"a", "b", "c"} {
				if s.count(`\[`+name+`\] up`) == 1 {
					up = append(up, name)
				}
			}
			if !slices.Equal(up, tt.up) {
				t.Errorf("got %v, want %v", up, tt.up)
			}
		})
	}
}

// TestSources: files are merged in the order in which they are named, and a variable has the value of what is nearest.
func TestSources(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for name, text := range map[string]string{
		".env":        "A=dotenv\nB=dotenv\n",
		"one.env":     "A=one\nB=one\nC=one\nD=${A}\n",
		"two.env":     "B=two\n",
		"base.yaml":   services(daemon("web", "env A; env B; env C; env D; env E", "env_file: [one.env, two.env, { path: none.env, required: false }]", `environment: { C: own, E: "${A}" }`)),
		"extra.yaml":  "services: { web: { environment: { E: extra } }, more: { command: [testdaemon, print up] } }\n",
		"raw.env":     "A='$B'\n",
		"format.yaml": services(daemon("raw", "env A", "env_file: [ { path: raw.env, format: raw } ]")),
	} {
		writeFile(t, filepath.Join(dir, name), text)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	run := func(env []string, args ...string) *supervisor {
		s := start(t, call{args: append([]string{"run"}, args...), env: env, adapt: func(cmd *exec.Cmd) { cmd.Dir = dir }})
		s.exit(0)
		return s
	}
	s := run(nil, "-f", file("base.yaml"))
	s.expect("[web] A=one", "[web] B=two", "[web] C=own", "[web] D=dotenv", "[web] E=dotenv")
	s = run([]string{"A=real"}, "-f", "base.yaml", "-f", "extra.yaml")
	s.expect("[web] E=extra", "[web] A=one", "[more] up")
	s = run([]string{"A=real", "SIDECAR_INIT_FILE=" + strings.Join([]string{file("base.yaml"), file("format.yaml")}, string(os.PathListSeparator))})
	s.expect("[web] E=real", "[raw] A='$B'")
}

// TestUnsignallable: that a daemon of another user cannot be signalled without the capability for that is told, each time;
// the deadline holds, and nothing is left.
func TestUnsignallable(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a daemon of another user")
	}
	const why = ": operation not permitted (it runs as another user: that takes the capability KILL)"
	s, path := controlled(t, call{
		stage: "nokill", args: []string{"--grace-period", "500ms"},
		bundle: routed("HUP: { forward: web }", daemon("web", "print up; block", `user: "4242"`)),
	})
	s.expect("[web] up")
	s.signal(syscall.SIGHUP)
	s.expect("sidecar-init: cannot send SIGHUP to web" + why)
	if _, err := client.New(path).Signal(t.Context(), "web", "HUP"); err == nil || !strings.Contains(err.Error(), "web has not got SIGHUP: operation not permitted") {
		t.Errorf("signal: got %v", err)
	}
	at := s.signal(syscall.SIGTERM)
	s.wait()
	if took := s.at.Sub(at); took > 2*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
	s.expect("sidecar-init: cannot send SIGTERM to web"+why, "sidecar-init: cannot send SIGKILL to web"+why)
	s.never("sidecar-init: forwarded .*")
}
