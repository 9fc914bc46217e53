//go:build linux

package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The examples with programs of Debian's packages, run as they stand, as PID 1.

// example starts the bundle of a folder of examples/, in a copy of it.
func example(t *testing.T, folder string, env []string, programs ...string) (s *supervisor, dir string) {
	t.Helper()
	asRoot.require(t)
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: apt-get install nginx-light redis-server mitmproxy git python3", p)
		}
	}
	dir = openDir(t)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../examples", folder))); err != nil {
		t.Fatal(err)
	}
	return start(t, call{
		args: []string{"run", "-f", "bundle.yaml"},
		env:  append(env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+dir),
		adapt: func(cmd *exec.Cmd) {
			cmd.Dir = dir
		},
	}), dir
}

// get returns what a URL answers, through a proxy if that is not empty.
func get(t *testing.T, address, proxy string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if proxy != "" {
		transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
	}
	answer, err := (&http.Client{Transport: transport}).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

func TestExampleWeb(t *testing.T) {
	s, _ := example(t, "web", nil, "nginx", "redis-server", "redis-cli", "/usr/bin/python3")
	s.expect("sidecar-init: nginx is ready")
	const front = "http://127.0.0.1:18080/"
	if got, want := get(t, front, ""), "request 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.signal(syscall.SIGUSR1)
	s.match(`sidecar-init: worker restarted \(pid \d+\)`)
	s.expect("sidecar-init: worker is ready", "sidecar-init: worker is ready")
	if got, want := get(t, front, ""), "request 2"; got != want {
		t.Errorf("after the restart: got %q, want %q", got, want)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
	ended := func(name string) int {
		return slices.IndexFunc(s.log(), func(line string) bool { return strings.HasPrefix(line, "sidecar-init: "+name+" exited") })
	}
	if nginx, redis := ended("nginx"), ended("redis"); nginx < 0 || redis < nginx {
		t.Errorf("nginx ended at line %d, redis at %d: redis must be the last", nginx, redis)
	}
}

func TestExampleSandbox(t *testing.T) {
	s, dir := example(t, "sandbox", []string{"EGRESS_TOKEN_DEMO=s3cret"}, "mitmdump", "git", "/usr/bin/python3")
	s.expect("sidecar-init: egress is ready", "sidecar-init: git-http is ready")
	const upstream, proxy = "http://127.0.0.1:19101/", "http://127.0.0.1:19102"
	for _, tt := range []struct{ name, proxy, want string }{
		{"through egress", proxy, "credential: Bearer s3cret; in my own environment: []"},
		{"past egress", "", "credential: none; in my own environment: []"},
	} {
		if got := get(t, upstream, tt.proxy); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}

	if err := os.WriteFile(filepath.Join(dir, "routes.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.expect("sidecar-init: forwarded SIGHUP to egress", "[egress] routes loaded: ")
	if got, want := get(t, upstream, proxy), "credential: none; in my own environment: []"; got != want {
		t.Errorf("after the reload: got %q, want %q", got, want)
	}

	for _, args := range [][]string{{"init", "-q", "--bare", "r.git"}, {"clone", "-q", "http://127.0.0.1:19103/r.git", "clone"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("git %v: %v\n%s", args, err, out)
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never(`sidecar-init: .*s3cret.*`)
}

func TestExampleBuiltin(t *testing.T) {
	shown, err := os.ReadFile("../../examples/builtin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	built, err := os.ReadFile("../../internal/bundle/builtin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(shown) != string(built) {
		t.Error("examples/builtin.yaml is not the built-in bundle")
	}
}
