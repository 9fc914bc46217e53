//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
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

// The examples with programs of Debian's packages, run as they stand, as PID 1.

// example starts the bundle of a folder of examples/, in a copy of it, with links for what a container would mount.
func example(t *testing.T, folder string, mounts map[string]string, env []string, programs ...string) (s *supervisor, dir string) {
	t.Helper()
	asRoot.require(t)
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: apt-get install nginx-light redis-server postgresql mitmproxy git python3", p)
		}
	}
	dir = openDir(t)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../examples", folder))); err != nil {
		t.Fatal(err)
	}
	for name, target := range mounts {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"run", "-f", "bundle.yaml"}
	if folder == "stack" {
		args = []string{"run", "-f", "compose.yaml", "-f", "jobs.yaml"}
	}
	return start(t, call{
		args: args,
		env:  append(env, "PATH="+filepath.Dir(shipped())+":/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+dir),
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
	s, _ := example(t, "web", nil, nil, "nginx", "redis-server", "redis-cli", "/usr/bin/python3")
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
	s, dir := example(t, "sandbox", nil, []string{"EGRESS_TOKEN_DEMO=s3cret"}, "mitmdump", "git", "/usr/bin/python3")
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

func TestExampleWatch(t *testing.T) {
	secret, config := t.TempDir(), t.TempDir()
	swap(t, secret, 0, certificate(t, "one"))
	swap(t, config, 0, map[string]string{"color": "blue\n"})
	s, _ := example(t, "watch", map[string]string{"tls": secret, "config": config}, nil, "nginx")
	s.expect("sidecar-init: nginx is ready", "[worker] color: blue")
	watched(t, s)
	if got, want := subject(t, "127.0.0.1:18443"), "one"; got != want {
		t.Errorf("got the certificate of %s, want %s", got, want)
	}
	swap(t, secret, 1, certificate(t, "two"))
	s.match("sidecar-init: nginx: .*/tls changed; sending SIGHUP")
	eventually(t, "nginx has the new certificate", func() bool { return subject(t, "127.0.0.1:18443") == "two" })
	swap(t, config, 1, map[string]string{"color": "green\n"})
	s.match("sidecar-init: worker: .*/config changed; restarting")
	s.expect("[worker] color: green")
	s.signal(syscall.SIGTERM)
	s.wait()
}

func TestExampleAgent(t *testing.T) {
	s, _ := example(t, "agent", nil, []string{"SIDECAR_INIT_CONTROL=" + filepath.Join(openDir(t), "s")}, "/usr/bin/python3", "curl")
	s.match(`\[agent\] dev started \(pid \d+\)`)
	s.expect("[agent] the server answers")
	s.match(`\[agent\] \[dev\] 127.0.0.1 .*"GET /bundle.yaml HTTP/1.1" 200 -`)
	s.expect("[agent] dev removed", "[agent] done")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// subject returns for whom the certificate of a server is.
func subject(t *testing.T, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // it is its own issuer
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// certificate is a new one, with its key, as a Secret has them.
func certificate(t *testing.T, name string) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return map[string]string{"tls.crt": text("CERTIFICATE", der), "tls.key": text("PRIVATE KEY", private)}
}

// TestExampleStack: services of a Compose file as it stands, with jobs in a second one: a backup that is run by hand.
func TestExampleStack(t *testing.T) {
	if postgres, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(postgres) == 0 {
		t.Skip("there is no PostgreSQL (Debian package postgresql)")
	}
	socket := filepath.Join(openDir(t), "s")
	s, dir := example(t, "stack", nil, []string{"SIDECAR_INIT_CONTROL=" + socket}, "nginx", "redis-server", "redis-cli", "psql", "/usr/bin/python3")
	c, ctx := client.New(socket), context.Background()
	s.expect("[app] listening")
	if _, err := c.Wait(ctx, client.Ready); err != nil {
		t.Fatal(err)
	}
	const front = "http://127.0.0.1:18082/"
	eventually(t, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:18082")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for i := range 2 {
		if got, want := get(t, front, ""), fmt.Sprintf("visit %d, %d since the cache was started", i+1, i+1); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, args := range [][]string{nil, {"other.sql"}} {
		var lines []string
		var last client.Run
		for o, err := range c.RunJob(ctx, "backup", args...) {
			switch {
			case err != nil:
				t.Fatal(err)
			case o.Run != nil:
				last = *o.Run
			default:
				lines = append(lines, o.Line)
			}
		}
		file := append(args, "backup.sql")[0]
		if last.Result != client.RunSucceeded || !slices.Equal(lines, []string{"2 visits are in " + file}) {
			t.Errorf("the backup said %q, %+v", lines, last)
		}
		if dump, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(dump), "COPY public.visits") {
			t.Errorf("the dump: %v", err)
		}
	}
	s.signal(syscall.SIGHUP)
	s.expect("sidecar-init: forwarded SIGHUP to web")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestExampleStackCompose: docker-compose 1.29 reads the services, and does not know jobs.
func TestExampleStackCompose(t *testing.T) {
	compose, err := exec.LookPath("docker-compose")
	if err != nil {
		t.Skip("there is no docker-compose (Debian package docker-compose)")
	}
	for _, tt := range []struct {
		files []string
		fine  bool
	}{{[]string{"compose.yaml"}, true}, {[]string{"compose.yaml", "jobs.yaml"}, false}} {
		cmd := exec.Command(compose)
		for _, f := range tt.files {
			cmd.Args = append(cmd.Args, "-f", f)
		}
		cmd.Args = append(cmd.Args, "config")
		cmd.Dir = "../../examples/stack"
		if out, err := cmd.CombinedOutput(); (err == nil) != tt.fine {
			t.Errorf("%v: %v\n%s", tt.files, err, out)
		}
	}
}
