//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
)

// secret is part of every value that nobody must see.
const secret = "hunter2-very-secret"

// privateBundle has daemons with private variables, from the environment of the supervisor, from files and from the bundle
// itself, for which everything goes wrong that is told of; probes and hooks that print their environment; and sinks with
// secrets in their URLs and arguments, for which everything goes wrong too.
func privateBundle(t *testing.T, sinks []string) string {
	t.Helper()
	file := filepath.Join(openDir(t), "private.env")
	if err := os.WriteFile(file, []byte("TOKEN_3="+secret+"-3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	private := `x-sidecar-init: { private_env: ["TOKEN_*"], backoff: { initial: 1ms } }`
	env := []string{"environment: { TOKEN_2: " + secret + "-2 }", "env_file: " + file}
	with := func(keys ...string) []string { return append(append([]string{private}, env...), keys...) }
	return "name: shop\nx-sidecar-init: { notify: [ " + strings.Join(sinks, ", ") + " ] }\n" + services(
		daemon("web", "print up; block", with()...),
		daemon("crash", "exit 3", with("restart: on-failure:2")...),
		daemon("missing", "x", with("entrypoint: [/nonexistent/program]")...),
		daemon("nobody", "x", with("working_dir: /nonexistent")...),
		daemon("ill", "ignore TERM; block", with(`stop_grace_period: 100ms`,
			`healthcheck: { test: [CMD, /bin/sh, -c, "env; exit 1"], interval: 10ms, timeout: 5s, retries: 2 }`)...),
		daemon("other", "env; block", `post_start: [ { command: [/bin/sh, -c, "env; exit 1"] } ]`, `pre_stop: [ { command: [env] } ]`),
	)
}

// TestNothingPrivate: no answer, no line of the log, no event, no metric, no record and no call to a sink has a value that
// is private, be it to a daemon or to a sink.
func TestNothingPrivate(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			testNothingPrivate(t, format)
		})
	}
}

func testNothingPrivate(t *testing.T, format string) {
	dir := openDir(t)
	var mu sync.Mutex
	seen := map[string]string{}
	note := func(where, text string) {
		mu.Lock()
		defer mu.Unlock()
		seen[where] += text + "\n"
	}
	k := &sink{taken: map[string]bool{}}
	good := k.serve(t, "tcp", func(_ http.ResponseWriter, event []byte) { note("what a sink gets", string(event)) }, nil)
	refusing := k.serve(t, "tcp", func(w http.ResponseWriter, _ []byte) {
		w.Header().Set("Location", "http://"+secret)
		w.WriteHeader(307)
	}, nil)
	address, message := freeAddress(t), filepath.Join(dir, "message")
	if err := os.WriteFile(message, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	c := call{
		bundle: privateBundle(t, []string{
			fmt.Sprintf("{ url: %q }", good+"/hook?token="+secret),
			fmt.Sprintf("{ url: %q }", refusing+"/"+secret),
			fmt.Sprintf("{ url: %q }", "http://user:"+secret+"@"+freeAddress(t)+"/"),
			fmt.Sprintf("{ exec: [%q, %q] }", script(t, dir, "{ cat; env; } >>"+dir+"/seen"), secret),
			fmt.Sprintf("{ exec: [/bin/false, %q] }", secret),
			fmt.Sprintf("{ exec: [/nonexistent/notifier, %q] }", secret),
		}),
		args: []string{"--log-format", format, "--metrics-listen", address, "--grace-period", "2s"},
		env:  []string{"TOKEN_1=" + secret + "-1"},
	}
	if os.Getuid() == 0 {
		c.stage, c.env = "termination", append(c.env, "MESSAGE="+message)
	}
	s, path := controlled(t, c)
	to, ctx := client.New(path), context.Background()
	if _, err := to.Wait(ctx, client.Exited, "crash", "missing", "nobody"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ill is", func() bool {
		all, err := to.Daemons(ctx, "ill")
		return err == nil && all[0].State == client.StateUnhealthy
	})
	told := func(text string) bool {
		return strings.Contains(text, "daemon.gave-up") && strings.Contains(text, "daemon.unhealthy")
	}
	eventually(t, "the good sinks have got events", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "seen"))
		mu.Lock()
		defer mu.Unlock()
		return told(string(text)) && told(seen["what a sink gets"])
	})
	for _, line := range []string{"cannot send events to http://127.0.0.1", "cannot send events to exec:/bin/false", "it answers 307"} {
		eventually(t, "the log has: "+line, func() bool { return strings.Contains(s.output(), line) })
	}

	for _, what := range []string{
		"/v1/daemons", "/v1/daemons?name=crash", "/v1/daemons/web", "/v1/daemons/web/logs", "/v1/logs", "/v1/events", "/v1/healthy",
		"/v1/wait?timeout=1ms", "/metrics", "/v1/daemons/x", "/nothing",
	} {
		note("the answers", fetch(t, path, what))
	}
	for _, request := range []func() ([]client.Daemon, error){
		func() ([]client.Daemon, error) { return to.Signal(ctx, "crash", "HUP") },
		func() ([]client.Daemon, error) { return to.Signal(ctx, "web", "no such signal") },
		func() ([]client.Daemon, error) { return to.Start(ctx, "missing") },
		func() ([]client.Daemon, error) { return to.Restart(ctx, "web") },
		func() ([]client.Daemon, error) { return to.Stop(ctx, "ill") },
	} {
		all, err := request()
		note("the answers to requests", fmt.Sprintf("%+v %v %#v", all, err, err))
	}
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	var metrics strings.Builder
	if err := resp.Write(&metrics); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	note("the metrics", metrics.String())
	for _, args := range []string{"status", "status --format json", "logs", "events", "events --format json", "healthy", "wait --timeout 1ms"} {
		out, _ := exec.Command(shipped(), append(strings.Fields(args), "--control", path)...).CombinedOutput() // some of them fail
		note("the commands", string(out))
	}

	s.signal(syscall.SIGTERM)
	s.wait()
	note("the log", s.output())
	for where, file := range map[string]string{"what a program gets": filepath.Join(dir, "seen"), "the record": message} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		note(where, string(text))
	}

	mu.Lock()
	defer mu.Unlock()
	for where, text := range seen {
		for line := range strings.Lines(text) {
			if strings.Contains(line, secret) {
				t.Errorf("%s: %s", where, line)
			}
		}
	}
	// That they say something is what makes it worth anything that they do not say more.
	for where, wants := range map[string][]string{
		"the answers":             {`"web"`, "daemon.gave-up", "daemon.unhealthy", "/nonexistent/program", "sidecar_init_daemon_up"},
		"the answers to requests": {"PID:", "HUP", "/nonexistent/program"},
		"the commands":            {"NAME", `"name"`, "daemon.gave-up", "unhealthy"},
		"the metrics":             {`sidecar_init_events_delivered_total{sink="http://127.0.0.1:`, `sink="exec:/bin/false"`},
		"the log":                 {"PATH=", "cannot send events to http://127.0.0.1", "/bin/false", "/nonexistent/notifier", "it answers 307", "giving up"},
		"what a sink gets":        {"daemon.gave-up", "daemon.unhealthy"},
		"what a program gets":     {"daemon.gave-up", "PATH="},
	} {
		for _, want := range wants {
			if !strings.Contains(seen[where], want) {
				t.Errorf("%s: there is no %s", where, want)
			}
		}
	}
	if c.stage != "" && !strings.Contains(seen["the record"], "exit_code") {
		t.Errorf("the record is %q", seen["the record"])
	}
}

// TestExposed: where the initial environment cannot be erased, that is told in a bundle that has something private in it.
func TestExposed(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	private := services(daemon("a", "exit 0", `x-sidecar-init: { private_env: ["TOKEN_*"] }`))
	for _, tt := range []struct {
		name string
		call call
		told bool
	}{
		{"private", call{bundle: private, env: []string{"TOKEN_1=x"}}, true},
		{"private to one that is not selected", call{bundle: private + daemon("b", "exit 0"), args: []string{"b"}, env: []string{"TOKEN_1=x"}}, true},
		{"none is set", call{bundle: private}, false},
		{"nothing private", call{bundle: services(daemon("a", "exit 0")), env: []string{"TOKEN_1=x"}}, false},
		{"one command", call{args: []string{"run", "--", "testdaemon", "exit 0"}, env: []string{"TOKEN_1=x"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.call.place, tt.call.program, tt.call.stage = asRoot, shipped(), "noproc"
			s := start(t, tt.call)
			if code := s.wait(); code != 0 {
				t.Errorf("exit code: got %d, want 0", code)
			}
			const warning = "private variables can be read in /proc/PID/environ: "
			if told := strings.Contains(s.output(), warning); told != tt.told {
				t.Errorf("told: got %v, want %v", told, tt.told)
			}
		})
	}
}
