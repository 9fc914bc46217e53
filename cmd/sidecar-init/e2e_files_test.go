//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
)

// TestSecretFromVariable: a secret that comes from a variable is a file of the daemon's user before that starts, the variable reaches nobody,
// and another value is another program.
func TestSecretFromVariable(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		target := filepath.Join(dir, "run", "token")
		user := map[string]string{asRoot.name: "12345", asNobody.name: "65534", subreaper.name: fmt.Sprint(os.Getuid())}[p.name]
		shell := "entrypoint: [/bin/sh, -c]"
		print := fmt.Sprintf("command: ['echo token $$(cat %s) $$(stat -c %%a:%%u %s); env; exec sleep 1000']", target, target)
		file := filepath.Join(dir, "bundle.yaml")
		writeFile(t, file, "secrets: { token: { environment: TOKEN }, key: { environment: KEY } }\nconfigs: { motd: { content: hello } }\nservices:\n"+
			"  web:\n    "+shell+"\n    "+print+"\n    user: '"+user+"'\n    secrets: [{ source: token, target: "+target+" }]\n"+
			"    post_start: [{ command: [/bin/sh, -c, 'env; echo hooked'] }]\n"+
			"  other:\n    "+shell+"\n    command: ['env; cat "+dir+"/motd; echo; exec sleep 1000']\n    configs: [{ source: motd, target: "+dir+"/motd, mode: 0444 }]\n"+
			"    secrets: [{ source: key, target: "+dir+"/key }]\n")
		writeFile(t, filepath.Join(dir, ".env"), "KEY="+secret+"-1\n")
		s, path := controlled(t, call{place: p, program: shipped(), args: []string{"run", "-f", file}, env: []string{"TOKEN=" + secret}})
		s.expect("[web] token "+secret+" 400:"+user, "[web] hooked", "[other] hello")
		writeFile(t, filepath.Join(dir, ".env"), "KEY="+secret+"-2\n")
		if _, err := client.New(path).Reload(context.Background(), client.ReloadOptions{}); err != nil {
			t.Fatal(err)
		}
		s.match(`sidecar-init: other restarted \(pid \d+\)`)
		s.never(`\[(web|other)\] (TOKEN|KEY)=.*`)
		s.never(`sidecar-init: web restarted .*`)
		if text, err := os.ReadFile(filepath.Join(dir, "key")); err != nil || string(text) != secret+"-2" {
			t.Errorf("got %q, %v", text, err)
		}
		s.signal(15)
		s.exit(0)
	})
}

// TestSecretNotSet: what a secret comes from must be set, and its target must be writable; both are told at once, and nothing is started.
func TestSecretNotSet(t *testing.T) {
	t.Parallel()
	s := start(t, call{env: []string{"KEY=" + secret}, bundle: "secrets: { a: { environment: NOT_SET }, b: { environment: KEY } }\n" + services(
		daemon("web", "exit 0", "secrets: [a, { source: b, target: /proc/no }]"))})
	if code := s.wait(); code != 78 {
		t.Errorf("got exit code %d, want 78", code)
	}
	for _, want := range []string{":1:12: secret a: the variable NOT_SET, whose value it is, is not set\n", ":1:41: secret b: cannot write /proc/no: "} {
		if !strings.Contains(s.output(), want) {
			t.Errorf("got\n%s\nwithout %q", s.output(), want)
		}
	}
	s.never("sidecar-init: starting web")
}

// TestHosts: with hosts the name of a service means 127.0.0.1, from the start on and after a reload; a name that means something else
// is exit code 78. It takes a mount namespace, for an /etc/hosts of its own.
func TestHosts(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Skip("only root can mount a file on /etc/hosts, in a mount namespace of its own")
	}
	dir := openDir(t)
	file, names, program := filepath.Join(dir, "bundle.yaml"), filepath.Join(dir, "hosts"), shipped()
	writeFile(t, names, "127.0.0.1 localhost\n")
	own := place{"an own /etc/hosts", func(name string, args ...string) *exec.Cmd {
		return exec.Command("unshare", append([]string{"--mount", "sh", "-c", "mount --bind " + names + ` /etc/hosts && exec "$@"`, "sh", name}, args...)...)
	}, func(testing.TB) {}}
	text := func(top, name string) string {
		return "x-sidecar-init: { " + top + " }\nservices:\n  " + name + ":\n    entrypoint: [/bin/sh, -c]\n    command: ['cat /etc/hosts; echo that is all; exec sleep 1000']\n"
	}
	writeFile(t, file, text("hosts: true", "web"))
	s, path := controlled(t, call{place: own, program: program, args: []string{"run", "-f", file}})
	s.expect("[web] 127.0.0.1 localhost", "[web] 127.0.0.1\tweb", "[web] that is all")
	writeFile(t, file, text("hosts: true", "db"))
	if _, err := client.New(path).Reload(context.Background(), client.ReloadOptions{}); err != nil {
		t.Fatal(err)
	}
	s.expect("[db] 127.0.0.1\tdb", "[db] that is all")
	s.never("\\[db\\] .*web")
	writeFile(t, file, text("hosts: false", "api"))
	if _, err := client.New(path).Reload(context.Background(), client.ReloadOptions{}); err != nil {
		t.Fatal(err)
	}
	s.expect("[api] that is all")
	s.never("\\[api\\] .*sidecar-init")
	s.signal(15)
	s.exit(0)

	writeFile(t, names, "10.0.0.1 web\n")
	s = start(t, call{place: own, program: program, bundle: text("hosts: true", "web")})
	if code := s.wait(); code != 78 || !strings.Contains(s.output(), ":1:26: hosts: the name web means 10.0.0.1 already; start the container with --add-host web=127.0.0.1\n") {
		t.Errorf("got %d,\n%s", code, s.output())
	}
}
