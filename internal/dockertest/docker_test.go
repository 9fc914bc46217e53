//go:build docker

package dockertest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// images are what TestMain builds; the process ID keeps runs apart.
var (
	initImage = fmt.Sprintf("sidecar-init-test-init:%d", os.Getpid())
	image     = fmt.Sprintf("sidecar-init-test:%d", os.Getpid())
)

func TestMain(m *testing.M) {
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		fmt.Printf("no Docker Engine answers: %v: %s\n", err, out)
		os.Exit(1)
	}
	err := build()
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Println(err)
	}
	exec.Command("docker", "rmi", "-f", image, initImage).Run()
	os.Exit(code)
}

// build makes the image of the repository's Dockerfile and, on top of it, one with the test daemon and the bundles.
func build() error {
	top := filepath.Join("..", "..")
	if err := command("docker", "build", "-t", initImage, top); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dockertest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "testdaemon"), "../testproc/cmd/testdaemon")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %s", err, out)
	}
	for name, text := range bundles {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	dockerfile := "FROM " + initImage + "\nCOPY testdaemon /\nCOPY *.yaml /\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	return command("docker", "build", "-t", image, dir)
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// bundles are the bundle files in the image.
var bundles = map[string]string{
	"five": `
x-sidecar-init: { signals: { HUP: { forward: egress }, USR1: { restart: pipelock } } }
services:
  egress:
    command: [/testdaemon, "trap HUP print reloaded; env EGRESS_TOKEN_X; print up; block"]
    x-sidecar-init: { private_env: ["EGRESS_TOKEN_*"] }
  pipelock: { command: [/testdaemon, "env EGRESS_TOKEN_X; print up; block"] }
  git-gate: { command: [/testdaemon, "orphan 50 10ms; uid; print up; block"] }
  git-http: { command: [/testdaemon, "eprint up; tty; block"] }
  supervise: { command: [/testdaemon, "print up; trap TERM { print bye; exit 0 }; block"] }
`,
	"deaf": `
services:
  deaf: { command: [/testdaemon, "ignore TERM; print up; block"] }
  good: { command: [/testdaemon, "print up; block"] }
`,
	"probed": `
services:
  web:
    command: [/testdaemon, "trap HUP print reloaded; print up; block"]
    healthcheck: { test: [CMD, /testdaemon, "exit 0"], interval: 1s, start_interval: 100ms, start_period: 10s }
    user: "65534:65534"
    ulimits: { nofile: 512 }
    cap_drop: [ALL]
  deaf: { command: [/testdaemon, "ignore TERM; print up; block"], stop_grace_period: 300ms }
`,
	"wants": `
services:
  web:
    command: [/testdaemon, "print up; trap TERM { print bye; exit 0 }; block"]
    volumes: ["data:/data"]
    tmpfs: [/scratch]
    extra_hosts: ["db=10.9.8.7"]
    sysctls: { net.ipv4.ip_unprivileged_port_start: 80 }
`,
	"walled": `
services:
  owner:
    command: [/testdaemon, "env TOKEN_X; print up; block"]
    mem_limit: 64m
    x-sidecar-init: { private_env: ["TOKEN_*"] }
  worker: { command: [/testdaemon, "env TOKEN_X; print up; block"] }
`,
	"jobs": `
services:
  web: { command: [/testdaemon, "print up; block"] }
jobs:
  nightly:
    command: [/testdaemon, "print done; exit 4"]
    triggers: { schedule: [ { cron: "30 3 * * *", timezone: Europe/Berlin } ] }
`,
	"crash": `
services:
  bad: { command: [/testdaemon, "print up; exit 3"] }
  good: { command: [/testdaemon, "print up; sleep 1s"] }
`,
}

// A container is one docker run, attached.
type container struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	line chan string
	seen []string
}

// start runs the image with the daemon and the bundles, with docker's options and sidecar-init's arguments.
func start(t *testing.T, options []string, args ...string) *container {
	t.Helper()
	return startImage(t, image, options, args...)
}

func startImage(t *testing.T, image string, options []string, args ...string) *container {
	t.Helper()
	c := &container{t: t, line: make(chan string, 1000)}
	c.name = fmt.Sprintf("sidecar-init-test-%d-%s", os.Getpid(),
		regexp.MustCompile(`[^a-zA-Z0-9]+`).ReplaceAllString(t.Name(), "-"))
	run := []string{"run", "--rm", "--network", "none", "--name", c.name}
	c.cmd = exec.Command("docker", slices.Concat(run, options, []string{image}, args)...)
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errors bytes.Buffer
	c.cmd.Stderr = &errors
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exec.Command("docker", "rm", "-f", c.name).Run()
		if t.Failed() {
			t.Logf("log:\n%s\nstderr of docker: %s", strings.Join(c.seen, "\n"), errors.String())
		}
	})
	go func() { // ends with the output
		defer close(c.line)
		r := bufio.NewReader(out)
		for {
			l, err := r.ReadString('\n')
			if l != "" {
				c.line <- strings.TrimSuffix(l, "\n")
			}
			if err != nil {
				if err != io.EOF {
					t.Log(err)
				}
				return
			}
		}
	}()
	return c
}

// wait reads the log until each of the lines has come once more; they are regular expressions for whole lines.
func (c *container) wait(lines ...string) {
	c.t.Helper()
	var want []*regexp.Regexp
	for _, l := range lines {
		want = append(want, regexp.MustCompile("^"+l+"$"))
	}
	late := time.After(patience)
	for len(want) > 0 {
		select {
		case l, ok := <-c.line:
			if !ok {
				c.t.Fatalf("the log ended; still wanted: %v", want)
			}
			c.seen = append(c.seen, l)
			for i, w := range want {
				if w.MatchString(l) {
					want = append(want[:i], want[i+1:]...)
					break
				}
			}
		case <-late:
			c.t.Fatalf("not within %s: %v", patience, want)
		}
	}
}

// end reads the rest of the log and returns the exit code.
func (c *container) end() int {
	c.t.Helper()
	for l := range c.line {
		c.seen = append(c.seen, l)
	}
	err := c.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode()
}

// count is how many of the lines seen are this one.
func (c *container) count(line string) int {
	n := 0
	for _, l := range c.seen {
		if l == line {
			n++
		}
	}
	return n
}

// docker runs a docker command about the container.
func (c *container) docker(args ...string) string {
	c.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("docker %v: %v: %s", args, err, out)
	}
	return string(out)
}

// stop is docker stop; it returns how long that took and the exit code.
func (c *container) stop() (time.Duration, int) {
	c.t.Helper()
	begin := time.Now()
	c.docker("stop", c.name)
	took := time.Since(begin)
	return took, c.end()
}

// noZombie fails the test if docker top shows a process that is dead.
func (c *container) noZombie() {
	c.t.Helper()
	for line := range strings.Lines(c.docker("top", c.name, "-eo", "pid,ppid,stat,comm")) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[2], "Z") {
			c.t.Errorf("zombie: %s", line)
		}
	}
}

var up = []string{
	`\[egress\] up`, `\[pipelock\] up`, `\[git-gate\] up`, `\[git-http\] up`, `\[supervise\] up`,
}

func TestBundle(t *testing.T) {
	c := start(t, []string{"-e", "EGRESS_TOKEN_X=secret", "-e", "SIDECAR_INIT_FILE=/five.yaml"})
	c.wait(append([]string{
		`sidecar-init: starting egress`, `sidecar-init: starting supervise`,
		`\[egress\] EGRESS_TOKEN_X=secret`, `\[pipelock\] EGRESS_TOKEN_X unset`,
	}, up...)...)

	c.docker("kill", "-s", "HUP", c.name)
	c.wait(`sidecar-init: forwarded SIGHUP to egress`, `\[egress\] reloaded`)

	c.docker("kill", "-s", "USR1", c.name)
	c.wait(`sidecar-init: restarting pipelock`, `sidecar-init: pipelock restarted \(pid \d+\)`, `\[pipelock\] up`)

	c.noZombie()
	took, code := c.stop()
	if code != 0 || took > 5*time.Second {
		t.Errorf("docker stop: exit code %d after %s, want 0 at once", code, took)
	}
	for _, name := range []string{"egress", "pipelock", "git-gate", "git-http", "supervise"} {
		want := 1
		if name == "pipelock" {
			want = 2
		}
		if got := c.count("[" + name + "] up"); got != want {
			t.Errorf("%s was started %d times, want %d", name, got, want)
		}
	}
	if c.count("[supervise] bye") != 1 {
		t.Error("the last words of supervise are missing")
	}
	if last := c.seen[len(c.seen)-1]; last != "sidecar-init: exit 0" {
		t.Errorf("the last line is %q", last)
	}
	t.Logf("docker stop took %s", took)
}

func TestDeaf(t *testing.T) {
	c := start(t, nil, "run", "-f", "/deaf.yaml")
	c.wait(`\[deaf\] up`, `\[good\] up`)
	// How long docker stop takes is Docker's affair too, so the log is the clock. Were it too late, the code would be 137.
	stop := exec.Command("docker", "stop", c.name)
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	c.wait(`sidecar-init: shutting down \(SIGTERM\); forwarding SIGTERM`)
	begin := time.Now()
	c.wait(`sidecar-init: grace \(8s\) elapsed; SIGKILL on deaf`, `sidecar-init: exit 0`)
	took := time.Since(begin)
	if err := stop.Wait(); err != nil {
		t.Error(err)
	}
	if code := c.end(); code != 0 || took < 7*time.Second || took > 9*time.Second {
		t.Errorf("docker stop: exit code %d after %s, want 0 after 8 s", code, took)
	}
	t.Logf("from the first line of the shutdown to its last %s", took)
}

func TestCrash(t *testing.T) {
	c := start(t, nil, "run", "-f", "/crash.yaml")
	c.wait(`sidecar-init: bad exited with code 3; leaving surviving daemons running .*`, `sidecar-init: good exited .*`)
	if code := c.end(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}

// TestWallsAndLimits: what of them holds in which container, and that it is said where it does not.
func TestWallsAndLimits(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "no-landlock.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["landlock_create_ruleset","landlock_add_rule","landlock_restrict_self"],"action":"SCMP_ACT_ERRNO"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	const kernel, environment = "enforced by the kernel", "by environment only: no Landlock"
	for _, tt := range []struct {
		name    string
		options []string
		private string
	}{
		{"default", nil, kernel},
		{"read-only", []string{"--read-only"}, kernel},
		{"user", []string{"--user", "12345"}, kernel},
		{"no capabilities", []string{"--cap-drop", "ALL"}, kernel},
		{"everything", []string{"--read-only", "--user", "12345", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}, kernel},
		{"no Landlock", []string{"--security-opt", "seccomp=" + profile}, environment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, append(tt.options, "-e", "TOKEN_X=secret"), "run", "-f", "/walled.yaml")
			want := []string{
				`\[owner\] TOKEN_X=secret`, `\[worker\] TOKEN_X unset`, `\[owner\] up`, `\[worker\] up`,
				`sidecar-init: warning: the limits of owner do not hold: .*docker run --security-opt writable-cgroups=true.*`,
			}
			if tt.private == environment {
				want = append(want, `sidecar-init: warning: there can be no walls: no Landlock`, `sidecar-init: warning: private variables: TOKEN_\* of owner: `+environment)
			}
			c.wait(want...)
			if got := c.docker("exec", c.name, "/sidecar-init", "status", "--wide"); !strings.Contains(got, "private variables of owner: "+tt.private+"\n") {
				t.Errorf("got\n%s", got)
			}
			if _, code := c.stop(); code != 0 {
				t.Errorf("the exit code is %d", code)
			}
		})
	}
	said, err := exec.Command("docker", "run", "--rm", "--network", "none", "-e", "TOKEN_X=x", image, "check", "--here", "-f", "/walled.yaml").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "warning: /walled.yaml:5:16: the limits of owner (mem_limit) do not hold here: ") {
		t.Errorf("check: got %v\n%s", err, said)
	}
}

// TestSelftest: in an image with nothing but the program, as anybody, every row is true.
func TestSelftest(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options []string
		cannot  string // besides G17
	}{
		{"default", nil, ""},
		{"tied down", []string{"--read-only", "--user", "1234", "--cap-drop", "ALL"}, "G11"},
		{"no new privileges", []string{"--security-opt", "no-new-privileges"}, ""},
		{"not PID 1", []string{"--init"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"run", "--rm", "--network", "none", "--entrypoint", "/sidecar-init"}, tt.options...)
			out, err := exec.Command("docker", append(args, initImage, "selftest")...).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				id, status, found := strings.Cut(line, " ")
				status = strings.TrimSpace(status)
				if !found || !strings.HasPrefix(id, "G") {
					continue
				}
				cannot := id == "G17" || id == tt.cannot
				if cannot != strings.HasPrefix(status, "cannot be had here: ") || !cannot && !strings.HasPrefix(status, "holds: ") {
					t.Errorf("%s %s", id, status)
				}
			}
		})
	}
}

// TestRestricted runs the bundle where containers are usually tied down.
func TestRequirements(t *testing.T) {
	said, err := exec.Command("docker", "run", "--rm", "--network", "none", image, "run", "-f", "/wants.yaml").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 78 {
		t.Errorf("got %v, want exit code 78", err)
	}
	// What it asks for is what docker run takes.
	var flags []string
	for _, line := range []string{
		"/wants.yaml:5:15: volumes: /data is not there; start the container with -v data:/data",
		"/wants.yaml:6:13: tmpfs: /scratch is not there; start the container with --tmpfs /scratch",
		"/wants.yaml:7:19: extra_hosts: the name db means nothing; start the container with --add-host db=10.9.8.7",
		`/wants.yaml:8:16: sysctls: the kernel parameter net.ipv4.ip_unprivileged_port_start is "0", not "80"; start the container with --sysctl net.ipv4.ip_unprivileged_port_start=80`,
	} {
		if strings.Count("\n"+string(said), "\n"+line+"\n") != 1 {
			t.Errorf("there is no line %s in\n%s", line, said)
		}
		_, flag, _ := strings.Cut(line, "start the container with ")
		flags = append(flags, strings.Fields(strings.Replace(flag, "db=", "db:", 1))...) // the old engine takes a colon alone
	}
	volume := fmt.Sprintf("sidecar-init-test-%d", os.Getpid())
	defer exec.Command("docker", "volume", "rm", "-f", volume).Run()
	for i := range flags {
		flags[i] = strings.Replace(flags[i], "data:/data", volume+":/data", 1)
	}
	c := start(t, flags, "run", "-f", "/wants.yaml")
	c.wait(`\[web\] up`)
	if _, code := c.stop(); code != 0 {
		t.Errorf("with the flags the exit code is %d", code)
	}
}

// TestJobs: an image has no files of time zones, which is said; with them a job runs, and its exit code is that of docker exec.
func TestJobs(t *testing.T) {
	said, err := exec.Command("docker", "run", "--rm", "--network", "none", image, "run", "-f", "/jobs.yaml").CombinedOutput()
	var exit *exec.ExitError
	const want = "/jobs.yaml:7:61: timezone: there are no files of time zones here: install tzdata in the image, or copy /usr/share/zoneinfo into it"
	if !errors.As(err, &exit) || exit.ExitCode() != 78 || strings.TrimSpace(string(said)) != want {
		t.Errorf("got %v, %s", err, said)
	}
	if _, err := os.Stat("/usr/share/zoneinfo/Europe/Berlin"); err != nil {
		t.Skip(err)
	}
	c := start(t, []string{"-v", "/usr/share/zoneinfo:/usr/share/zoneinfo:ro"}, "run", "-f", "/jobs.yaml")
	c.wait(`\[web\] up`)
	out, err := exec.Command("docker", "exec", c.name, "/sidecar-init", "job", "run", "nightly").CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || string(out) != "done\n" {
		t.Errorf("got %v, %s", err, out)
	}
	c.wait(`sidecar-init: job nightly failed with code 4`)
	if _, code := c.stop(); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

func TestRestricted(t *testing.T) {
	for name, run := range map[string]struct {
		options []string
		line    string // who git-gate is
	}{
		"read-only":  {[]string{"--read-only"}, `\[git-gate\] uid 0 .*`},
		"user":       {[]string{"--user", "12345"}, `\[git-gate\] uid 12345 .*`},
		"user-group": {[]string{"--user", "12345:54321"}, `\[git-gate\] uid 12345 gid 54321 .*`},
		"all": {
			[]string{"--read-only", "--user", "12345", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "64m"},
			`\[git-gate\] uid 12345 .*`,
		},
		"not PID 1": {[]string{"--init"}, `\[git-gate\] uid 0 .*`},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, run.options, "run", "-f", "/five.yaml")
			c.wait(append([]string{run.line}, up...)...)
			c.docker("kill", "-s", "HUP", c.name)
			c.wait(`\[egress\] reloaded`)
			c.docker("kill", "-s", "USR1", c.name)
			c.wait(`sidecar-init: pipelock restarted .*`)
			c.noZombie()
			if took, code := c.stop(); code != 0 || took > 5*time.Second {
				t.Errorf("docker stop: exit code %d after %s, want 0 at once", code, took)
			}
		})
	}
}

// TestSeccomp runs a bundle, its clients and its daemons under the profile of docs/seccomp.md.
func TestSeccomp(t *testing.T) {
	profile, err := filepath.Abs("../../docs/seccomp.json")
	if err != nil {
		t.Fatal(err)
	}
	options := []string{"--security-opt", "seccomp=" + profile, "--security-opt", "no-new-privileges", "-e", "SIDECAR_INIT_FILE=/probed.yaml"}
	c := start(t, options)
	c.wait(`\[web\] up`, `\[deaf\] up`, `sidecar-init: web is ready`)
	for _, step := range []struct {
		command string
		lines   []string
	}{
		{"status", nil},
		{"healthy", nil},
		{"signal HUP web", []string{`\[web\] reloaded`}},
		{"restart web", []string{`sidecar-init: web restarted \(pid \d+\)`, `\[web\] up`, `sidecar-init: web is ready`}},
		{"stop web deaf", []string{`sidecar-init: web exited with code -15 \(SIGTERM\)`, `sidecar-init: deaf exited with code -9 \(SIGKILL\)`}},
		{"start web", []string{`\[web\] up`}},
		{"logs web", nil},
		{"events", nil},
	} {
		c.docker(append([]string{"exec", c.name, "/sidecar-init"}, strings.Fields(step.command)...)...)
		c.wait(step.lines...)
	}
	c.noZombie()
	if took, code := c.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("docker stop: exit code %d after %s, want 0 at once", code, took)
	}
}

// TestTTY: with docker run -t the output is a terminal, which puts a carriage return before each newline.
func TestTTY(t *testing.T) {
	c := start(t, []string{"-t"}, "run", "-f", "/five.yaml")
	var lines []string
	for _, l := range up {
		lines = append(lines, l+`\r`)
	}
	c.wait(lines...)
	c.docker("kill", "-s", "HUP", c.name)
	c.wait(`\[egress\] reloaded\r`)
	if took, code := c.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("docker stop: exit code %d after %s, want 0 at once", code, took)
	}
}

// TestCommand: run -- CMD stands in for tini.
func TestCommand(t *testing.T) {
	c := start(t, nil, "run", "--", "/testdaemon", "print plain; exit 3")
	c.wait("plain")
	if code := c.end(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}

// TestCommandStop: CMD gets the SIGTERM of docker stop, and its exit code is the container's.
func TestCommandStop(t *testing.T) {
	c := start(t, nil, "run", "--", "/testdaemon", "trap TERM { print bye; exit 5 }; print up; block")
	c.wait("up")
	took, code := c.stop()
	if code != 5 || took > 5*time.Second || c.count("bye") != 1 {
		t.Errorf("docker stop: exit code %d after %s, want 5 at once", code, took)
	}
}

// TestBuiltIn: the image by itself has the built-in bundle and none of its programs.
func TestBuiltIn(t *testing.T) {
	c := startImage(t, initImage, nil)
	c.wait(`sidecar-init: egress cannot be started: .*`, `sidecar-init: supervise cannot be started: .*`)
	if code := c.end(); code != 127 {
		t.Errorf("exit code %d, want 127", code)
	}
}
