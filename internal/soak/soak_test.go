//go:build linux

package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

// The bounds. What an idle supervisor may have is measured elsewhere; this one has twenty daemons, all of them loud, and a
// log that is not read at times. The point is that nothing grows, however long it lasts.
const (
	maxAnon    = 12 << 20        // memory that is not the binary's own file
	maxThreads = 20              // 13 when idle; on a busy machine more system calls overlap that block, such as forks
	maxZombie  = 3 * time.Second // how long a dead process may wait to be reaped
	maxEnd     = 8500 * time.Millisecond
)

func TestMain(m *testing.M) {
	pidns.Main()
	if pipe := os.Getenv(pongVariable); pipe != "" {
		fmt.Fprintln(os.Stderr, answer(pipe))
		os.Exit(1)
	}
	if order := os.Getenv(clientsVariable); order != "" {
		if err := runClients(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// scripts are the kinds of daemons; each is there several times.
var scripts = []string{
	"print up; sleep 30ms; exit 1",
	"print up; orphan 20 50ms; sleep 200ms; segv",
	"ignore TERM HUP; lines 2000 100; sleep 1s; exit 0",
	"trap HUP print reloaded; trap TERM { print bye; exit 0 }; print up; block",
	"fork { ignore TERM; sleep 20s }; setsid sleep 20s; print up; sleep 300ms; exit 2",
}

func TestSoak(t *testing.T) {
	length := 5 * time.Second
	if s := os.Getenv("SIDECAR_INIT_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		t.Skip("takes seconds; -short is set")
	}
	pidns.Self.Require(t)

	dir := t.TempDir()
	build(t, dir, false)
	file := filepath.Join(dir, "bundle.yaml")
	if err := os.WriteFile(file, []byte(bundle(filepath.Join(dir, "testdaemon"))), 0o644); err != nil {
		t.Fatal(err)
	}

	cmd := pidns.Self.Command(filepath.Join(dir, "sidecar-init"), "run", "-f", file, "--control", "off")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // an error means that it has ended
	pid := cmd.Process.Pid
	r := &reader{from: out, up: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	select { // before that, a signal would hit what becomes the supervisor
	case <-r.up:
	case <-time.After(30 * time.Second):
		t.Fatal("no line in the log after 30 s")
	}

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &watcher{t: t, pid: pid, zombies: map[int]time.Time{}}
	monkey := &monkey{pid: pid, rand: rand.New(rand.NewPCG(seed, 1)), stopped: map[int]time.Time{}}
	end := time.After(length)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n, over := 0, false; !over; n++ {
		select {
		case <-end:
			over = true
		case <-r.done:
			t.Fatalf("the supervisor has ended: %v; its last words: %s", cmd.Wait(), r.tail())
		case <-tick.C:
			monkey.act()
			if n%25 == 0 {
				w.look()
				_ = cmd.Process.Signal(syscall.SIGHUP)
			}
			if n%50 == 10 {
				_ = cmd.Process.Signal(syscall.SIGUSR1)
			}
			r.asleep.Store(n%200 > 120) // 1.6 s of 4 nobody reads the log
		}
	}
	r.asleep.Store(false)

	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	<-r.done
	took := time.Since(begin)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if took > maxEnd {
		t.Errorf("the end took %s, want at most %s", took, maxEnd)
	}
	last := strings.TrimSuffix(r.tail(), "\n")
	last = last[strings.LastIndex(last, "\n")+1:]
	if want := fmt.Sprintf("sidecar-init: exit %d", cmd.ProcessState.ExitCode()); last != want {
		t.Errorf("the last line is %q, want %q", last, want)
	}
	if r.torn.Load() > 0 {
		t.Errorf("%d lines have no prefix", r.torn.Load())
	}
	t.Logf("%s: %d bytes of log, at most %d kB RSS (%d anonymous), %d threads, %d descriptors; %d signals by the monkey; the end took %s",
		length, r.bytes.Load(), w.rss>>10, w.anon>>10, w.threads, w.fds, monkey.acts, took.Round(time.Millisecond))
}

// build makes the supervisor and testdaemon; with shipped the former is what `make build` makes.
func build(t *testing.T, dir string, shipped bool) {
	t.Helper()
	run := func(cmd *exec.Cmd, env ...string) {
		t.Helper()
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	goBuild := func(pkg string) {
		t.Helper()
		run(exec.Command("go", "build", "-o", filepath.Join(dir, filepath.Base(pkg)), pkg), "CGO_ENABLED=0")
	}
	goBuild("../testproc/cmd/testdaemon")
	if shipped {
		run(exec.Command("make", "-C", "../..", "build", "BIN="+filepath.Join(dir, "sidecar-init")), "MAKEFLAGS=", "MAKELEVEL=")
	} else {
		goBuild("../../cmd/sidecar-init")
	}
}

// bundle is a bundle file with twenty daemons.
func bundle(testdaemon string) string {
	var b strings.Builder
	b.WriteString("x-sidecar-init: { signals: { HUP: { forward: d3 }, USR1: { restart: d8 } } }\nservices:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "  d%d:\n    command: [%s, %q]\n    restart: always\n", i, testdaemon, scripts[i%len(scripts)])
		b.WriteString("    x-sidecar-init: { backoff: { initial: 20ms, max: 500ms } }\n")
	}
	return b.String()
}

// A reader takes the log, but for times when it is asleep, and looks at each line.
type reader struct {
	from   io.Reader
	asleep atomic.Bool
	bytes  atomic.Int64
	torn   atomic.Int64
	up     chan struct{} // closed with the first byte
	done   chan struct{} // closed at the end
	last   []byte        // read by tail once done is closed
}

func (r *reader) run() {
	defer close(r.done)
	buf := make([]byte, 64<<10)
	var rest []byte
	for {
		for r.asleep.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		n, err := r.from.Read(buf)
		if r.bytes.Add(int64(n)) == int64(n) && n > 0 {
			close(r.up)
		}
		rest = append(rest, buf[:n]...)
		for {
			line, after, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			if !bytes.HasPrefix(line, []byte("[d")) && !bytes.HasPrefix(line, []byte("sidecar-init: ")) {
				r.torn.Add(1)
			}
			r.last = append(append(r.last, line...), '\n')
			rest = after
		}
		r.last = append([]byte(nil), r.last[max(0, len(r.last)-4096):]...)
		if err != nil {
			return
		}
	}
}

func (r *reader) tail() string { return string(r.last) }

// A watcher looks at what the supervisor uses.
type watcher struct {
	t                       *testing.T
	pid                     int
	rss, anon, threads, fds int
	zombies                 map[int]time.Time // since when
}

func (w *watcher) look() {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.pid))
	if err != nil {
		return // it has ended, which the caller will see
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			w.rss = max(w.rss, n<<10)
		case "RssAnon:":
			w.anon = max(w.anon, n<<10)
			if n<<10 > maxAnon {
				w.t.Errorf("anonymous memory is %d kB, want at most %d", n, maxAnon>>10)
			}
		case "Threads:":
			w.threads = max(w.threads, n)
			if n > maxThreads {
				w.t.Errorf("%d threads, want at most %d", n, maxThreads)
			}
		}
	}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.pid))
	w.fds = max(w.fds, len(fds))

	now := time.Now()
	dead := map[int]bool{}
	for _, c := range children(w.pid) {
		if state(c) == "Z" {
			dead[c] = true
			if w.zombies[c].IsZero() {
				w.zombies[c] = now
			} else if now.Sub(w.zombies[c]) > maxZombie {
				w.t.Errorf("process %d has been a zombie for %s", c, now.Sub(w.zombies[c]))
				delete(w.zombies, c)
			}
		}
	}
	for c := range w.zombies {
		if !dead[c] {
			delete(w.zombies, c)
		}
	}
}

// children are the process IDs of the supervisor's children, whichever of its threads they belong to.
func children(pid int) []int {
	var all []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(s); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// state is the letter of a process's state, or "".
func state(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, ok := strings.Cut(string(text), ") ")
	if !ok {
		return ""
	}
	return after[:1]
}

// A monkey sends signals to the supervisor's children.
type monkey struct {
	pid     int
	rand    *rand.Rand
	stopped map[int]time.Time
	acts    int
}

func (m *monkey) act() {
	for p, since := range m.stopped {
		if time.Since(since) > 300*time.Millisecond {
			_ = syscall.Kill(p, syscall.SIGCONT)
			delete(m.stopped, p)
		}
	}
	all := children(m.pid)
	if len(all) == 0 {
		return
	}
	m.acts++
	victim := all[m.rand.IntN(len(all))]
	switch m.rand.IntN(4) {
	case 0:
		_ = syscall.Kill(victim, syscall.SIGKILL)
	case 1:
		_ = syscall.Kill(victim, syscall.SIGSTOP)
		m.stopped[victim] = time.Now()
	default:
		_ = syscall.Kill(victim, syscall.SIGHUP)
	}
}
