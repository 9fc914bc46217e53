//go:build linux

package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

// What clients may cost: the latency of a forwarded signal and the throughput of the log, against the same run without them.
const (
	maxSlower    = 1.2
	maxLoadAnon  = 40 << 20 // with 250 clients
	pollInterval = time.Second
)

// TestSoakLoad: many clients look at a bundle in trouble, by polling its status once a second as status --watch does, and
// by following its logs. No request fails, memory stays bounded, and the daemons hardly notice. `make soak` runs it in
// full size, and only then holds the bounds of time, since on a busy machine they say nothing.
func TestSoakLoad(t *testing.T) {
	pollers, followers, phase, rounds := 20, 5, 700*time.Millisecond, 1
	full := os.Getenv("SIDECAR_INIT_SOAK") != ""
	switch {
	case full:
		pollers, followers, phase, rounds = 200, 50, 4*time.Second, 4
	case testing.Short():
		t.Skip("takes seconds; -short is set")
	}
	pidns.Self.Require(t)
	dir := t.TempDir()
	for _, pkg := range []string{"../../cmd/sidecar-init", "../testproc/cmd/testdaemon"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, filepath.Base(pkg)), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pongs := filepath.Join(dir, "pongs")
	if err := syscall.Mkfifo(pongs, 0o600); err != nil {
		t.Fatal(err)
	}
	pong, err := os.OpenFile(pongs, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pong.Close()
	file := filepath.Join(dir, "bundle.yaml")
	if err := os.WriteFile(file, []byte(loadBundle(filepath.Join(dir, "testdaemon"), exe, pongs)), 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := pidns.Self.Command(filepath.Join(dir, "sidecar-init"), "run", "-f", file, "--control", socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // an error means that it has ended
	m := &meter{t: t, cmd: cmd, pong: pong}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		m.read(out)
	}()
	if _, err := pong.Read(make([]byte, 1)); err != nil { // the daemon says that it runs
		t.Fatal(err)
	}

	var without, with result
	var polls, lines, lost atomic.Int64
	for range rounds {
		without = without.plus(m.run(phase))
		stop := m.clients(client.New(socket), pollers, followers, &polls, &lines, &lost)
		with = with.plus(m.run(phase))
		stop()
	}
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-gone
	if took := time.Since(begin); took > maxEnd {
		t.Errorf("the end took %s, want at most %s", took, maxEnd)
	}
	_ = cmd.Wait() // the crashing ones give its exit code
	t.Logf("without clients: %s", without)
	t.Logf("with %d that poll and %d that follow: %s; %d polls, %d lines, %d lines said to be lost; at most %d kB anonymous memory",
		pollers, followers, with, polls.Load(), lines.Load(), lost.Load(), m.anon>>10)
	if polls.Load() == 0 || lines.Load() == 0 {
		t.Error("the clients have got nothing")
	}
	if m.anon > maxLoadAnon {
		t.Errorf("anonymous memory was %d kB, want at most %d", m.anon>>10, maxLoadAnon>>10)
	}
	if !full {
		return
	}
	if got := without.throughput() / with.throughput(); got > maxSlower {
		t.Errorf("with clients the log is slower by a factor of %.2f, want at most %.2f", got, maxSlower)
	}
	if got := float64(with.latency()) / float64(without.latency()); got > maxSlower && with.latency() > without.latency()+time.Millisecond {
		t.Errorf("with clients a signal is slower by a factor of %.2f, want at most %.2f", got, maxSlower)
	}
}

// loadBundle has twenty daemons that crash and are restarted, one that floods its log, and one that answers signals.
func loadBundle(testdaemon, exe, pongs string) string {
	var b strings.Builder
	b.WriteString("x-sidecar-init: { grace_period: 2s, signals: { HUP: { forward: pong } } }\nservices:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "  crash%d:\n    command: [%s, %q]\n    restart: always\n", i, testdaemon, "print up; sleep 100ms; exit 1")
		b.WriteString("    x-sidecar-init: { backoff: { initial: 100ms, max: 500ms } }\n")
	}
	fmt.Fprintf(&b, "  flood:\n    command: [%s, %q]\n", testdaemon, "lines 1000000000 100")
	fmt.Fprintf(&b, "  pong:\n    command: [%s]\n    environment: { %s: %s }\n", exe, pongVariable, pongs)
	return b.String()
}

const pongVariable = "SIDECAR_INIT_TEST_PONG"

// answer is the daemon that answers each SIGHUP with a byte into a named pipe.
func answer(pipe string) error {
	hup := make(chan os.Signal, 10)
	signal.Notify(hup, syscall.SIGHUP)
	f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	for err == nil {
		_, err = f.Write([]byte{1}) // the first one says that it is ready
		<-hup
	}
	return err
}

// A meter measures what a supervisor achieves.
type meter struct {
	t     *testing.T
	cmd   *exec.Cmd
	pong  *os.File
	bytes atomic.Int64
	anon  int // the most that was seen
}

// A result is what was measured.
type result struct {
	bytes     int64
	time      time.Duration
	latencies []time.Duration
}

func (r result) plus(o result) result {
	return result{r.bytes + o.bytes, r.time + o.time, append(r.latencies, o.latencies...)}
}

func (r result) throughput() float64 { return float64(r.bytes) / r.time.Seconds() }

// latency is the median.
func (r result) latency() time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	slices.Sort(r.latencies)
	return r.latencies[len(r.latencies)/2]
}

func (r result) String() string {
	return fmt.Sprintf("%.0f MB/s of log, signals take %s (median of %d)", r.throughput()/1e6, r.latency(), len(r.latencies))
}

// read takes the log as fast as it can.
func (m *meter) read(from io.Reader) {
	buf := make([]byte, 1<<20)
	for {
		n, err := from.Read(buf)
		m.bytes.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// run measures for a while.
func (m *meter) run(d time.Duration) result {
	m.t.Helper()
	time.Sleep(d / 10) // what has just begun, or ended, is not measured
	var r result
	begin, bytes := time.Now(), m.bytes.Load()
	for time.Since(begin) < d {
		sent := time.Now()
		if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			m.t.Fatal(err)
		}
		m.pong.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := m.pong.Read(make([]byte, 1)); err != nil {
			m.t.Fatalf("a signal does not arrive: %v", err)
		}
		r.latencies = append(r.latencies, time.Since(sent))
		m.look()
		time.Sleep(10 * time.Millisecond)
	}
	r.time, r.bytes = time.Since(begin), m.bytes.Load()-bytes
	return r
}

// look notes how much memory the supervisor has.
func (m *meter) look() {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	_, rest, _ := bytes.Cut(status, []byte("RssAnon:"))
	var n int
	fmt.Sscan(string(rest), &n)
	m.anon = max(m.anon, n<<10)
}

// clients starts clients, and returns how to end them.
func (m *meter) clients(c *client.Client, pollers, followers int, polls, lines, lost *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	failed := func(what string, err error) {
		if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			m.t.Errorf("%s: %v", what, err)
		}
	}
	for i := range pollers {
		group.Go(func() {
			select { // not all at the same moment
			case <-time.After(pollInterval * time.Duration(i) / time.Duration(pollers)):
			case <-ctx.Done():
			}
			for ctx.Err() == nil {
				all, err := c.Daemons(ctx)
				if err != nil || len(all) != 22 {
					failed("status", err)
					return
				}
				polls.Add(1)
				select {
				case <-time.After(pollInterval):
				case <-ctx.Done():
				}
			}
		})
	}
	for range followers {
		group.Go(func() {
			for l, err := range c.Logs(ctx, client.LogOptions{Follow: true}) {
				if err != nil {
					failed("logs", err)
					return
				}
				lines.Add(1)
				lost.Add(int64(l.Lost))
			}
			if ctx.Err() == nil {
				m.t.Error("logs: ended too early")
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}
