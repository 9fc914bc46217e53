//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// top is the folder of the repository, seen from here.
var top = filepath.Join("..", "..")

// demo and supervisor are the programs that TestMain builds, in a folder that everybody may read.
var demo, supervisor string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "demo")
	if err != nil {
		panic(err)
	}
	code := 1
	if err := build(dir); err == nil {
		testproc.Unignore()
		code = m.Run()
	} else {
		fmt.Println(err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	demo, supervisor = filepath.Join(dir, "demo"), filepath.Join(dir, "sidecar-init")
	cmd := exec.Command("make", "build", "demo", "BIN="+supervisor, "DEMO="+demo)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, out)
	}
	return nil
}

// A demoRun is one run of demo, or of make, in a process group of its own.
type demoRun struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	seen  []string
}

func start(t *testing.T, cmd *exec.Cmd) *demoRun {
	t.Helper()
	r := &demoRun{t: t, cmd: cmd, lines: make(chan string, 1000)}
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that all are gone
		if t.Failed() {
			t.Logf("output:\n%s", strings.Join(r.seen, "\n"))
		}
	})
	go func() { // ends when everybody who could write is gone
		defer close(r.lines)
		defer read.Close()
		for s := bufio.NewScanner(read); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	return r
}

// wait reads the output until each of the regular expressions has matched a line, in any order, and returns the lines.
func (r *demoRun) wait(patterns ...string) []string {
	r.t.Helper()
	late := time.After(patience)
	matched := make([]string, len(patterns))
	for left := len(patterns); left > 0; {
		select {
		case l, ok := <-r.lines:
			if !ok {
				r.t.Fatalf("the output ended; wanted %q, got %q", patterns, matched)
			}
			r.seen = append(r.seen, l)
			for i, p := range patterns {
				if matched[i] == "" && regexp.MustCompile(p).MatchString(l) {
					matched[i] = l
					left--
					break
				}
			}
		case <-late:
			r.t.Fatalf("not within %s: wanted %q, got %q", patience, patterns, matched)
		}
	}
	return matched
}

// pid waits for the banner and returns the process ID in it.
func (r *demoRun) pid() int {
	r.t.Helper()
	line := r.wait(`kill -TERM \d+`)[0]
	pid, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(line))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range r.seen {
		if strings.HasPrefix(l, "sidecar-init: ") {
			r.t.Errorf("the supervisor spoke before the banner: %s", l)
		}
	}
	return pid
}

// end reads the output to its end, which comes when everybody has ended, and returns the exit code.
func (r *demoRun) end() int {
	r.t.Helper()
	late := time.AfterFunc(patience, func() { syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	for l := range r.lines {
		r.seen = append(r.seen, l)
	}
	err := r.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// endsWell fails the test unless all end soon, the supervisor with 0 and demo with code.
func (r *demoRun) endsWell(code int) {
	r.t.Helper()
	begin := time.Now()
	if got := r.end(); got != code {
		r.t.Errorf("exit code %d, want %d", got, code)
	}
	if took := time.Since(begin); took > 6*time.Second { // the grace period is 8 s
		r.t.Errorf("the end took %s", took)
	}
	if last := r.seen[len(r.seen)-1]; last != "sidecar-init: exit 0" {
		r.t.Errorf("the last line is %q", last)
	}
}

func (r *demoRun) kill(pid int, sig syscall.Signal) {
	r.t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		r.t.Errorf("kill -%d %d: %v", sig, pid, err)
	}
}

var up = []string{
	`^\[egress\] up, .*EGRESS_TOKEN_DEMO is set`, `^\[pipelock\] no EGRESS_TOKEN_\* in my environment`, `^\[git-gate\] up`,
	`^\[git-http\] up`, `^\[supervise\] up, .*EGRESS_TOKEN_DEMO is not set`,
}

// status is a line of /proc/PID/status.
func status(t *testing.T, pid int, name string) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == name+":" {
			return f[1:]
		}
	}
	return nil
}

func TestDemo(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		uid  int
		pid1 bool // where the system lets us
	}{
		{name: "namespace", args: []string{supervisor}, pid1: true},
		{name: "plain", args: []string{"-plain", supervisor}},
		{name: "nobody", args: []string{supervisor}, uid: 65534, pid1: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(demo, c.args...)
			if c.uid != 0 {
				if os.Getuid() != 0 {
					t.Skip("not root, so nobody else to be")
				}
				if err := readable(top); err != nil {
					t.Skip("nobody cannot read the repository: ", err)
				}
				id := uint32(c.uid)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
			}
			r := start(t, cmd)
			pid := r.pid()
			r.wait(up...)

			if got := status(t, pid, "Name"); got[0] != "sidecar-init" {
				t.Errorf("process %d is called %q", pid, got)
			}
			if pgid, err := unix.Getpgid(pid); err != nil || pgid != cmd.Process.Pid {
				t.Errorf("the supervisor's process group is %d (%v), want %d", pgid, err, cmd.Process.Pid)
			}
			ids := status(t, pid, "NSpid")
			told := strings.Contains(strings.Join(r.seen, "\n"), "PID 1 of a pid namespace")
			if is := ids[len(ids)-1] == "1"; is != told {
				t.Errorf("it says that the supervisor is PID 1: %t; it is so: %t", told, is)
			}
			if !told && c.pid1 {
				t.Skip("no pid namespace to be had here")
			}

			says := strings.Join(r.seen, "\n")
			hint := func(pattern string) string {
				m := regexp.MustCompile(`(?m)^  (` + pattern + `)`).FindStringSubmatch(says)
				if m == nil {
					t.Fatalf("it says nothing like %s", pattern)
				}
				return m[1]
			}
			export := hint(`export SIDECAR_INIT_CONTROL=\S+`)
			for command, want := range map[string]string{hint(`\S+ status$`): "git-gate", hint(`\S+ signal KILL git-http\b`): ""} {
				if out, err := exec.Command("sh", "-c", export+"; "+command).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(want)) {
					t.Errorf("%s: %v: %s", command, err, out)
				} else if want != "" && told != bytes.Contains(out, []byte("the PIDs are those of the supervisor's pid namespace, not of this one")) {
					t.Errorf("%s: PID 1 of a namespace: %t; got %s", command, told, out)
				}
			}
			r.wait(`^sidecar-init: git-http .*; restarting in `)
			r.wait(`^\[git-http\] up`)
			r.kill(pid, syscall.SIGHUP)
			r.wait(`^sidecar-init: forwarded SIGHUP to egress`, `^\[egress\] SIGHUP: reading the routes again`)
			r.kill(pid, syscall.SIGUSR1)
			r.wait(`^sidecar-init: pipelock restarted \(pid \d+\)`, `^\[pipelock\] up`)
			r.kill(pid, syscall.SIGTERM)
			r.endsWell(0)
		})
	}
}

// readable reports whether others than the owner may read a folder.
func readable(dir string) error {
	dir, err := filepath.Abs(dir)
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		var info os.FileInfo
		if info, err = os.Stat(dir); err == nil && info.Mode()&0o005 != 0o005 {
			return fmt.Errorf("%s has mode %s", dir, info.Mode())
		}
	}
	return err
}

// TestEnds: however demo is asked to end, or does, the supervisor ends too, with its daemons.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		sig   syscall.Signal
		group bool // to all of the process group, as a terminal sends it
		code  int
	}{
		{name: "Ctrl-C", sig: syscall.SIGINT, group: true},
		{name: "Ctrl-backslash", sig: syscall.SIGQUIT, group: true},
		{name: "TERM to demo alone", sig: syscall.SIGTERM},
		{name: "TERM to all", sig: syscall.SIGTERM, group: true},
		{name: "the terminal goes away", sig: syscall.SIGHUP, group: true},
		{name: "demo is killed", sig: syscall.SIGKILL, code: -1},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain %t", c.name, plain), func(t *testing.T) {
				args := []string{supervisor}
				if plain {
					args = []string{"-plain", supervisor}
				}
				r := start(t, exec.Command(demo, args...))
				r.pid()
				r.wait(up...)
				to := r.cmd.Process.Pid
				if c.group {
					to = -to
				}
				r.kill(to, c.sig)
				r.endsWell(c.code)
			})
		}
	}
}

// TestExitCode: demo ends as the supervisor does.
func TestExitCode(t *testing.T) {
	for script, want := range map[string]int{
		"exit 0": 0, "exit 3": 3, "exit 255": 255,
		"kill -KILL $$": 128 + 9, // not from inside a namespace
	} {
		stub := filepath.Join(t.TempDir(), "stub")
		if err := os.WriteFile(stub, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := start(t, exec.Command(demo, "-plain", stub))
		r.pid()
		if got := r.end(); got != want {
			t.Errorf("%s: exit code %d, want %d", script, got, want)
		}
	}
	r := start(t, exec.Command(demo, "/nowhere/sidecar-init"))
	if got := r.end(); got != 1 || !strings.Contains(strings.Join(r.seen, "\n"), "cannot execute /nowhere/sidecar-init") {
		t.Errorf("a supervisor that is missing: exit code %d", got)
	}
}

// TestMake: make run is the same, down to the process group, and TERM to make ends it too.
func TestMake(t *testing.T) {
	for _, toMake := range []bool{false, true} {
		r := start(t, exec.Command("make", "run"))
		pid := r.pid()
		r.wait(up...)
		if pgid, err := unix.Getpgid(pid); err != nil || pgid != r.cmd.Process.Pid {
			t.Errorf("the supervisor's process group is %d (%v), want that of make, %d", pgid, err, r.cmd.Process.Pid)
		}
		if toMake {
			r.kill(r.cmd.Process.Pid, syscall.SIGTERM)
			r.end() // make dies by the signal, once its child has ended
		} else {
			r.kill(pid, syscall.SIGTERM)
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		}
		if !slices.Contains(r.seen, "sidecar-init: exit 0") {
			t.Error("the supervisor did not end with 0")
		}
	}
}
