//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// TestReadOnlyDaemon: what the file says of a daemon's files holds for it, its hooks and its probes, and for no other.
func TestReadOnlyDaemon(t *testing.T) {
	landlock(t, minABI)
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		for _, name := range []string{"vol", "vol/conf", "vol/sub", "data", "other"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, name), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		try := func(what string) string {
			return "for d in " + dir + " " + dir + "/vol " + dir + "/vol/conf " + dir + "/vol/sub " + dir + "/data " + dir + "/other /dev/shm; do " +
				"f=$$d/" + what + "-" + filepath.Base(dir) + "; if (: >$$f) 2>/dev/null; then echo " + what + " $${d#" + dir + "}.; rm $$f; fi; done"
		}
		hook := func(what string) string { return "[/bin/sh, -c, '(" + try(what) + ") >" + dir + "/data/" + what + "']" }
		volumes := `volumes: ["` + dir + "/vol:" + dir + `/vol", "` + dir + "/vol/conf:" + dir + `/vol/conf:ro"]`
		s := start(t, call{place: p, bundle: services(
			"  closed:\n    command: [sh, -c, '"+try("main")+"; echo main done; sleep 100']\n    read_only: true\n    "+volumes+
				"\n    x-sidecar-init: { writable: ["+dir+"/data], ready: { exec: "+hook("probe")+" } }\n    post_start: [ { command: "+hook("hook")+" } ]\n",
			"  partly:\n    command: [sh, -c, '"+try("partly")+"; echo partly done; sleep 100']\n    "+volumes+"\n",
			"  open: { command: [sh, -c, '"+try("open")+"; echo open done; sleep 100'] }\n",
		)})
		s.expect("[closed] main done", "[closed] main /vol/sub.", "[closed] main /data.", "[closed] main /dev/shm.")
		s.expect("[partly] partly done", "[partly] partly /vol/sub.", "[partly] partly /data.", "[partly] partly /other.", "[partly] partly /dev/shm.")
		s.expect("[open] open done", "[open] open .", "[open] open /vol.", "[open] open /vol/conf.", "[open] open /data.", "[open] open /other.", "[open] open /dev/shm.")
		s.expect("sidecar-init: closed is ready")
		for _, what := range []string{"hook", "probe"} {
			want := what + " /vol/sub.\n" + what + " /data.\n" + what + " /dev/shm.\n"
			eventually(t, what+" has tried", func() bool {
				got, _ := os.ReadFile(filepath.Join(dir, "data", what))
				return string(got) == want
			})
		}
		s.signal(syscall.SIGTERM)
		s.exit(0)
		for _, line := range []string{`\[closed\] main (|/vol|/vol/conf|/other)\.`, `\[partly\] partly (|/vol|/vol/conf)\.`} {
			s.never(line)
		}
	})
}

// TestWritableMissing: a directory that is to be writable and is not there is told before anything is started.
func TestWritableMissing(t *testing.T) {
	t.Parallel()
	s := start(t, call{place: subreaper, bundle: services(daemon("a", "exit 0", "read_only: true", "x-sidecar-init: { writable: [/does/not/exist] }"))})
	if code := s.wait(); code != exitConfig {
		t.Errorf("exit code: got %d, want %d", code, exitConfig)
	}
	if want := "compose.yaml:5:34: x-sidecar-init.writable: /does/not/exist is not there; make it in the image, or take it out\n"; !strings.HasSuffix(s.output(), want) {
		t.Errorf("got %q, want %q", s.output(), want)
	}
}

// TestWallsOfHelpers: hooks, probes and actions have walls, from which they signal their daemon, and read nobody.
func TestWallsOfHelpers(t *testing.T) {
	landlock(t, minABI)
	t.Parallel()
	asNobody.require(t)
	dir := openDir(t)
	// Of each: whether it reads the owner, and a signal for its daemon.
	look := func(what, signal string) string {
		return "[/bin/sh, -c, 'pid=$$(cat " + dir + "/pid); if cat /proc/$$pid/environ >/dev/null 2>&1; then echo reads >" + dir + "/" + what +
			"; else echo no >" + dir + "/" + what + "; fi; kill -" + signal + " $$pid']"
	}
	s := start(t, call{place: asNobody, env: []string{"TOKEN_1=x"}, bundle: services(
		daemon("owner", "block", `x-sidecar-init: { private_env: ["TOKEN_*"] }`),
		"  web:\n    command: [sh, -c, 'trap \"echo USR1\" USR1; trap \"echo USR2\" USR2; trap \"echo HUP\" HUP; echo $$$$ >"+dir+"/pid.new; mv "+dir+"/pid.new "+dir+"/pid; while :; do sleep 0.01; done']\n"+
			"    post_start: [ { command: [/bin/sh, -c, 'until test -e "+dir+"/pid; do sleep 0.01; done'] }, { command: "+look("hook", "USR1")+" } ]\n"+
			"    x-sidecar-init: { ready: { exec: "+look("probe", "USR2")+" }, watch: [ { path: "+dir+"/watched, action: exec, exec: "+look("action", "HUP")+", debounce: 1ms } ] }\n",
	)})
	s.expect("sidecar-init: walls around all 2 daemons", "sidecar-init: web is ready", "[web] USR1", "[web] USR2")
	if err := os.WriteFile(filepath.Join(dir, "watched"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.expect("[web] HUP")
	for _, what := range []string{"hook", "probe", "action"} {
		if got, err := os.ReadFile(filepath.Join(dir, what)); string(got) != "no\n" || err != nil {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
	}
	s.signal(syscall.SIGTERM)
	s.wait()
}

// TestWallsReload: a wall that comes or goes is another program, and status tells of it.
func TestWallsReload(t *testing.T) {
	landlock(t, minABI)
	t.Parallel()
	asNobody.require(t)
	bundle := func(walls string) string {
		return "x-sidecar-init: { walls: \"" + walls + "\" }\n" + services(
			daemon("owner", "status NoNewPrivs; block", `x-sidecar-init: { private_env: ["TOKEN_*"] }`), daemon("web", "status NoNewPrivs; block", `x-sidecar-init: { walls: "off" }`))
	}
	file := filepath.Join(openDir(t), "bundle.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(bundle("off"))
	s, path := controlled(t, call{place: asNobody, args: []string{"run", "-f", file}})
	s.expect("[owner] NoNewPrivs 0", "[web] NoNewPrivs 0")
	write(bundle("auto"))
	got, err := client.New(path).Reload(t.Context(), client.ReloadOptions{})
	if err != nil || len(got.Steps) != 1 || got.Steps[0].Name != "owner" || strings.Join(got.Steps[0].Causes, " ") != "walls" {
		t.Errorf("got %+v, %v", got, err)
	}
	s.expect("[owner] NoNewPrivs 1", "sidecar-init: walls around owner",
		"sidecar-init: warning: private variables: TOKEN_* of owner: by environment only: web has no wall")
	out, err := exec.Command(shipped(), "status", "--wide", "--control", path).Output()
	if err != nil || !strings.Contains(string(out), " WALL  CONTROL  MEM-LIMIT\n") || !strings.HasSuffix(string(out), "private variables of owner: by environment only: web has no wall\n") {
		t.Errorf("got %s, %v", out, err)
	}
	write(strings.Replace(bundle("auto"), `"off"`, "off", 1)) // nothing changes
	if got, err := client.New(path).Reload(t.Context(), client.ReloadOptions{}); err != nil || len(got.Steps) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	write(bundle("required"))
	if _, err := client.New(path).Reload(t.Context(), client.ReloadOptions{}); err == nil || !strings.Contains(err.Error(), "walls are required, and the private variables TOKEN_* of owner: by environment only: web has no wall") {
		t.Errorf("got %v", err)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestWallsCost: a hundred daemons that have a shim start as fast with walls as without.
func TestWallsCost(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is set")
	}
	landlock(t, scopeABI)
	shim := strings.ReplaceAll(manyDaemons(100), "] }", "], security_opt: [no-new-privileges] }")
	measure := func(walls string) (time.Duration, error) {
		begin := time.Now()
		s := start(t, call{place: subreaper, program: shipped(), bundle: "x-sidecar-init: { walls: \"" + walls + "\" }\n" + shim})
		for range 100 {
			s.match(`\[d\d+\] up`)
		}
		took := time.Since(begin)
		s.signal(syscall.SIGTERM)
		return took, s.ends(0)
	}
	shipped() // which is built now
	again(t, func() error {
		var with, without time.Duration
		for range 5 { // in turns, since a machine is faster at one time than at another
			for walls, least := range map[string]*time.Duration{"on": &with, "off": &without} {
				took, err := measure(walls)
				if err != nil {
					return err
				}
				if *least == 0 || took < *least {
					*least = took
				}
			}
		}
		t.Logf("with walls %v, without %v", with, without)
		if ratio := float64(with) / float64(without); ratio > 1.15 {
			return fmt.Errorf("with walls it takes %.2f times as long (%v, %v), want at most 1.15", ratio, with, without)
		}
		return nil
	})
}
