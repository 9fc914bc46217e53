package selftest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// Times of the run: what should happen has happened by patience, and the bundle ends by grace.
const (
	patience = 5 * time.Second
	grace    = 500 * time.Millisecond
	late     = 1500 * time.Millisecond // after the grace: on a machine that is busy the kernel takes its time
)

// bundle is what is run.
const bundle = `
x-sidecar-init: { grace_period: 500ms, walls: auto, signals: { HUP: { forward: hears }, USR1: { restart: restarted } } }
services:
  code: { command: [/proc/self/exe, __selftest, code] }
  lines: { command: [/proc/self/exe, __selftest, lines] }
  crash: { command: [/proc/self/exe, __selftest, crash], restart: "on-failure:2", x-sidecar-init: { backoff: { initial: 50ms, max: 50ms } } }
  hears: { command: [/proc/self/exe, __selftest, hears] }
  restarted: { command: [/proc/self/exe, __selftest, hears] }
  orphan: { command: [/proc/self/exe, __selftest, orphan] }
  deaf: { command: [/proc/self/exe, __selftest, deaf] }
  owner: { command: [/proc/self/exe, __selftest, owner], x-sidecar-init: { private_env: [SELFTEST_TOKEN] } }
  other: { command: [/proc/self/exe, __selftest, other] }
  limited: { command: [/proc/self/exe, __selftest, limited], ulimits: { core: 0 } }
  files: { command: [/proc/self/exe, __selftest, files] }
`

// nobody is the daemon with a user of its own, for a supervisor that is root.
const nobody = `  nobody: { command: [/proc/self/exe, __selftest, nobody], user: "65534:65534" }
`

// A trial is the bundle that runs.
type trial struct {
	cmd     *exec.Cmd
	socket  string // empty where there is no room for one
	results map[string]Result

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

// Run finds out what holds.
func Run(ctx context.Context) ([]Result, error) {
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		return nil, fmt.Errorf("there is no /proc, which the selftest needs, and walls, ulimits and users of daemons: %w", err)
	}
	t := &trial{results: map[string]Result{}, more: make(chan struct{})}
	before := children()
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	t.observe()
	t.end()
	t.left(before)
	t.features()
	var all []Result
	for _, g := range Guarantees() {
		r := t.results[g.ID]
		r.Guarantee = g
		if r.Status == "" {
			r.Status, r.Reason = Fails, "it was not seen"
		}
		all = append(all, r)
	}
	return all, nil
}

// set notes a result.
func (t *trial) set(id string, status Status, reason, way string) {
	t.results[id] = Result{Status: status, Reason: reason, Way: way}
}

// holds notes that a guarantee holds if ok, and fails otherwise for a reason.
func (t *trial) holds(id string, ok bool, format string, a ...any) bool {
	if ok {
		t.set(id, Holds, "", "")
	} else {
		t.set(id, Fails, fmt.Sprintf(format, a...), "")
	}
	return ok
}

func (t *trial) start(ctx context.Context) error {
	text := bundle
	if os.Getuid() == 0 {
		text += nobody
	}
	args := []string{"run", "-f", "-", "--control", "off"}
	for _, dir := range []string{"/dev/shm", "/run", "/tmp"} {
		if unix.Access(dir, unix.W_OK) == nil {
			// Containers can share dir, and be PID 1 each.
			t.socket = filepath.Join(dir, fmt.Sprintf("sidecar-init-selftest-%d-%08x", os.Getpid(), rand.Uint32()))
			args[4] = t.socket
			break
		}
	}
	t.cmd = exec.CommandContext(ctx, "/proc/self/exe", args...)
	t.cmd.Args[0] = "sidecar-init"
	t.cmd.Env = []string{privateName + "=" + privateValue}
	t.cmd.Stdin = strings.NewReader(text)
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	t.cmd.Stdout, t.cmd.Stderr = w, w
	err = t.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return err
	}
	go t.read(r) // ends with the bundle
	return nil
}

func (t *trial) read(r io.ReadCloser) {
	defer r.Close()
	for s := bufio.NewScanner(r); s.Scan(); {
		t.mu.Lock()
		t.lines = append(t.lines, s.Text())
		close(t.more)
		t.more = make(chan struct{})
		t.mu.Unlock()
	}
}

// wait waits for n lines that match, and returns what the expression has found in the last of them.
func (t *trial) wait(n int, expression string) []string {
	match := regexp.MustCompile("^" + expression + "$")
	timeout := time.After(patience)
	for {
		t.mu.Lock()
		var found [][]string
		for _, line := range t.lines {
			if m := match.FindStringSubmatch(line); m != nil {
				found = append(found, m)
			}
		}
		more := t.more
		t.mu.Unlock()
		if len(found) >= n {
			return found[len(found)-1]
		}
		select {
		case <-more:
		case <-timeout:
			return nil
		}
	}
}

// observe looks at the bundle while it runs.
func (t *trial) observe() {
	t.holds("G4", t.wait(3, `\[crash\] up`) != nil, "a daemon that crashes was not started three times")
	up := t.wait(1, `\[hears\] up (\d+)`)
	t.wait(1, `\[restarted\] up \d+`)
	_ = t.cmd.Process.Signal(syscall.SIGHUP)
	t.holds("G5", t.wait(1, `\[hears\] heard`) != nil, "SIGHUP was not forwarded")
	_ = t.cmd.Process.Signal(syscall.SIGUSR1)
	again := t.wait(2, `\[restarted\] up \d+`) != nil
	t.holds("G6", again && up != nil && t.count(`\[hears\] up \d+`) == 1, "SIGUSR1 has not restarted one daemon alone")
	t.wait(1, `\[lines\] last`)
	whole := t.count(`\[lines\] line \d+ x{100}`)
	t.holds("G3", whole == lineCount && t.count(`\[lines\] last`) == 1, "%d of %d lines came whole", whole, lineCount)
	t.wait(1, `\[orphan\] up`)
	t.private()
	if m := t.wait(1, `\[limited\] core (\d+)`); t.holds("G12", m != nil, "it was not started: %s", t.about("limited")) {
		t.holds("G12", m[1] == "0", "the limit is %s, not 0", m[1])
	}
	if m := t.wait(1, `\[files\] files (.*)`); t.holds("G13", m != nil, "it was not started") {
		t.holds("G13", m[1] == "0 1 2", "it has the descriptors %s", m[1])
	}
	if os.Getuid() != 0 {
		t.set("G11", Cannot, "the supervisor is not root", "start the container as root, or let all daemons have its user")
	} else if m := t.wait(1, `\[nobody\] uid (\d+) gid (\d+)`); m == nil {
		t.set("G11", Cannot, t.about("nobody"), "give the container the capabilities SETUID and SETGID")
	} else {
		t.holds("G11", m[1] == "65534" && m[2] == "65534", "its user is %s:%s", m[1], m[2])
	}
	t.control()
	t.zombies()
}

// about is what the supervisor says of a daemon that was not started.
func (t *trial) about(name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range t.lines {
		if why, ok := strings.CutPrefix(line, "sidecar-init: "+name+" cannot be started: "); ok {
			return why
		}
	}
	return "it has said nothing"
}

func (t *trial) count(expression string) (n int) {
	match := regexp.MustCompile("^" + expression + "$")
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, line := range t.lines {
		if match.MatchString(line) {
			n++
		}
	}
	return n
}

func (t *trial) private() {
	own, other := t.wait(1, `\[owner\] private (.*)`), t.wait(1, `\[other\] private (.*)`)
	if own == nil || other == nil {
		t.set("G9", Fails, "the daemons were not started: "+t.about("owner"), "")
	} else {
		t.holds("G9", own[1] == privateValue && other[1] == "", "its owner sees %q, another one %q", own[1], other[1])
	}
	m := t.wait(1, `\[other\] owner (.*)`)
	k := kernel.Own()
	switch {
	case m == nil:
		t.set("G10", Fails, "it was not started: "+t.about("other"), "")
	case kernel.Landlock() < 2:
		t.set("G10", Cannot, "there is no Landlock of version 2", "a kernel from Linux 5.19 on, with landlock in /sys/kernel/security/lsm, and a seccomp profile that allows its calls")
	case m[1] == "read" && (k.SysAdmin || k.Perfmon):
		t.set("G10", Cannot, "root has CAP_SYS_ADMIN or CAP_PERFMON here, which read through walls", "do without --privileged, or cap_drop: [SYS_ADMIN, PERFMON] for the daemons")
	default:
		t.holds("G10", m[1] != "read", "the environment of another daemon was read")
	}
}

func (t *trial) control() {
	if t.socket == "" {
		t.set("G14", Cannot, "neither /run nor /dev/shm nor /tmp can be written", "--tmpfs /run, or a /dev/shm, which Docker and Kubernetes give")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := client.New(t.socket).Daemons(ctx)
	t.holds("G14", err == nil && len(all) > 10, "%v, %d daemons", err, len(all))
}

// zombies looks for children of the supervisor that have ended and were not reaped.
func (t *trial) zombies() {
	deadline := time.Now().Add(patience)
	for {
		dead := 0
		for _, pid := range childrenOf(t.cmd.Process.Pid) {
			if proc.Read(pid).State == 'Z' {
				dead++
			}
		}
		if dead == 0 || time.Now().After(deadline) {
			if !kernel.Own().Subreaper && os.Getpid() != 1 {
				t.set("G2", Cannot, "a process that is not PID 1 cannot be a subreaper here", "let sidecar-init be PID 1 of the container, as it is with ENTRYPOINT")
				return
			}
			t.holds("G2", dead == 0, "%d zombies", dead)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// end ends the bundle, which has a daemon that does not hear.
func (t *trial) end() {
	member := 0
	if m := t.wait(1, `\[deaf\] member (\d+)`); m != nil {
		member = atoi(m[1])
	}
	alive := proc.Read(member).State != 0
	begin := time.Now()
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- t.cmd.Wait() }()
	select {
	case err := <-ended:
		took := time.Since(begin)
		t.holds("G7", took < grace+late, "it took %s, with a grace of %s", took.Round(time.Millisecond), grace)
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		t.holds("G1", code == 7, "the exit code is %d, not 7", code)
	case <-time.After(grace + patience):
		t.set("G7", Fails, "it has not ended", "")
		_ = t.cmd.Process.Kill()
		<-ended
	}
	t.holds("G8", member != 0 && alive && proc.Read(member).State == 0, "a member of the process group of a deaf daemon lives")
}

// left looks for what is left.
func (t *trial) left(before []int) {
	var left []string
	for _, pid := range children() {
		if !slices.Contains(before, pid) && proc.Read(pid).State != 'Z' { // the dead are PID 1's to reap
			left = append(left, "process "+strconv.Itoa(pid))
		}
	}
	if _, err := os.Lstat(t.socket); t.socket != "" && err == nil {
		left = append(left, t.socket)
		_ = os.Remove(t.socket)
	}
	t.holds("G19", len(left) == 0, "left are %s", strings.Join(left, ", "))
}

// features are what is asked of the kernel.
func (t *trial) features() {
	k := kernel.Own()
	switch {
	case k.Pidfd && k.PidfdSignal:
		t.set("G15", Holds, "", "")
	default:
		t.set("G15", OtherWay, "there are no pidfds (refused, or before Linux 5.3): a process is collected after its last signal", "a seccomp profile that allows pidfd_open and pidfd_send_signal")
	}
	if readable("/sys/fs/cgroup/memory.events") || readable("/sys/fs/cgroup/memory/memory.oom_control") || ownCounter() {
		t.set("G16", Holds, "", "")
	} else {
		t.set("G16", Cannot, "the counter of the OOM killer cannot be read", "mount /sys/fs/cgroup, as Docker and Kubernetes do")
	}
	if err := cgroup.Available(); err != nil {
		t.set("G17", Cannot, err.Error(), "docker run --security-opt writable-cgroups=true, podman run --security-opt unmask=/sys/fs/cgroup, or the cgroupOptions of Kubernetes")
	} else {
		t.set("G17", Holds, "", "")
	}
	if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC); err != nil {
		t.set("G18", OtherWay, "there is no inotify ("+err.Error()+"): files are looked at every ten seconds", "a larger fs.inotify.max_user_instances, or a seccomp profile that allows inotify_init1")
	} else {
		unix.Close(fd)
		t.set("G18", Holds, "", "")
	}
}

func readable(file string) bool {
	_, err := os.ReadFile(file)
	return err == nil
}

// ownCounter reports whether the control group of this process has a counter of the OOM killer.
func ownCounter() bool {
	c, err := kernel.OwnCgroup()
	return err == nil && readable(filepath.Join(c.Dir, "memory.events"))
}

// children are those of this process.
func children() []int { return childrenOf(os.Getpid()) }

func childrenOf(pid int) (pids []int) {
	for _, p := range proc.PIDs("/proc") {
		if proc.Read(p).Parent == pid {
			pids = append(pids, p)
		}
	}
	return pids
}
