//go:build linux

package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

// What clients may cost: the time of a forwarded signal and the speed of the log, against the same supervisor at nearly the
// same moment without clients; and memory that is not that of a file.
const (
	maxSlower     = 1.2
	maxFullMemory = 24.0 // MB
	maxFewMemory  = 12.0 // the same, with a tenth of the clients
	maxGrowth     = 1.25 // from the first half of the run to the second
)

// TestSoakLoad: 200 clients poll the status and 50 follow the logs of a bundle in which twenty daemons crash and are
// restarted, and one floods its log. No request fails, memory stays bounded, and signals and the log hardly notice.
//
// Whether the clients are there changes every two seconds, and each time with them is compared with those before and after
// it. What counts is the median of these ratios, over the times when nothing else took much of the processors: where others
// compete for them, each process more has a price that is not the supervisor's. Where there are too few such times, or the
// median is too large, more is measured, up to three times as much, and all of it counts.
//
// The flood takes all that two processors have, so whatever the clients and the answers to them cost is missing from the
// log. A poll is therefore one a second, as of `status --watch`: 200 clients that ask as fast as they can would take the
// machine from the bundle whatever the supervisor does. They are one process, so that it is the supervisor that is
// measured, and not the start of 250 programs, and another one than that which reads the log.
//
// `make soak` runs it in full size. `make test` has a tenth of the clients and no bound for the ratios, since there other
// tests run at the same time.
func TestSoakLoad(t *testing.T) {
	pollers, followers, phase, rounds, tries, maxMemory := 20, 5, 400*time.Millisecond, 1, 1, maxFewMemory
	full := os.Getenv("SIDECAR_INIT_SOAK") != ""
	switch {
	case full:
		pollers, followers, phase, rounds, tries, maxMemory = 200, 50, 2*time.Second, 12, 3, maxFullMemory
	case testing.Short():
		t.Skip("takes seconds; -short is set")
	}
	pidns.Self.Require(t)
	m := newMeter(t, full)
	c := m.clients(pollers, followers)

	without, with := []window{m.look(phase)}, []window(nil)
	var log, signals []float64
	for range tries {
		for range rounds {
			c.begin()
			with = append(with, m.look(phase))
			c.end()
			without = append(without, m.look(phase))
		}
		log = ratios(without, with, func(a, b window) float64 { return a.throughput() / b.throughput() })
		signals = ratios(without, with, func(a, b window) float64 { return b.latency() / a.latency() })
		if len(log) >= rounds/2 && median(log) <= maxSlower && median(signals) <= maxSlower {
			break
		}
	}
	m.end()

	t.Logf("without clients: %s", sum(without))
	t.Logf("with %d that poll and %d that follow: %s", pollers, followers, sum(with))
	t.Logf("%s", c)
	t.Logf("with clients the log is slower by %.2f %.2f, and a signal by %.2f %.2f, in the quiet ones of %d times",
		median(log), log, median(signals), signals, len(with))
	anon := memory(with)
	t.Logf("with clients there is anonymous memory of %.0f MB, at most %.0f", median(anon), slices.Max(anon))
	if c.Polls == 0 || c.Fewest == 0 {
		t.Errorf("clients have got nothing: %s", c)
	}
	for _, failed := range c.Failed {
		t.Error(failed)
	}
	if got := slices.Max(anon); got > maxMemory {
		t.Errorf("there is anonymous memory of %.0f MB, want at most %.0f", got, maxMemory)
	}
	if !full {
		return
	}
	if first, second := median(anon[:len(anon)/2]), median(anon[len(anon)/2:]); second > maxGrowth*first {
		t.Errorf("memory grows from %.0f to %.0f MB", first, second)
	}
	if len(log) < rounds/2 {
		t.Skipf("the machine is too busy with something else: in %d of %d times only it can be said what clients cost", len(log), len(with))
	}
	if got := median(log); got > maxSlower {
		t.Errorf("with clients the log is slower by a factor of %.2f, want at most %.2f", got, maxSlower)
	}
	if got := median(signals); got > maxSlower {
		t.Errorf("with clients a signal is slower by a factor of %.2f, want at most %.2f", got, maxSlower)
	}
}

// loadDaemons is how many daemons a loadBundle has.
const loadDaemons = 22

// loadBundle has twenty daemons that crash and are restarted, one that floods its log, and one that answers signals.
func loadBundle(testdaemon, exe, pongs string) string {
	var b strings.Builder
	b.WriteString("x-sidecar-init: { grace_period: 2s, signals: { HUP: { forward: pong } } }\nservices:\n")
	for i := range loadDaemons - 2 {
		fmt.Fprintf(&b, "  crash%d:\n    command: [%s, %q]\n    restart: always\n", i, testdaemon, "print up; sleep 100ms; exit 1")
		b.WriteString("    x-sidecar-init: { backoff: { initial: 100ms, max: 500ms } }\n")
	}
	fmt.Fprintf(&b, "  flood:\n    command: [%s, %q]\n", testdaemon, "flood")
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
	t      *testing.T
	cmd    *exec.Cmd
	pong   *os.File
	socket string
	bytes  atomic.Int64  // of the log
	gone   chan struct{} // closed at the end of the log
}

// newMeter starts a supervisor; with shipped it is the program that `make build` makes.
func newMeter(t *testing.T, shipped bool) *meter {
	t.Helper()
	dir := t.TempDir()
	build(t, dir, shipped)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{t: t, socket: filepath.Join(dir, "s"), gone: make(chan struct{})}
	pongs := filepath.Join(dir, "pongs")
	if err := syscall.Mkfifo(pongs, 0o600); err != nil {
		t.Fatal(err)
	}
	if m.pong, err = os.OpenFile(pongs, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.pong.Close() })
	file := filepath.Join(dir, "bundle.yaml")
	if err := os.WriteFile(file, []byte(loadBundle(filepath.Join(dir, "testdaemon"), exe, pongs)), 0o644); err != nil {
		t.Fatal(err)
	}
	m.cmd = pidns.Self.Command(filepath.Join(dir, "sidecar-init"), "run", "-f", file, "--control", m.socket)
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.cmd.Stderr = os.Stderr
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.cmd.Process.Kill() }) // an error means that it has ended
	go func() {
		defer close(m.gone)
		m.read(out)
	}()
	m.awaitPong()
	return m
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

// awaitPong waits for the daemon that answers signals.
func (m *meter) awaitPong() {
	m.t.Helper()
	read := m.bytes.Load()
	m.pong.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := m.pong.Read(make([]byte, 1))
	if err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	daemons, asked := client.New(m.socket).Daemons(ctx, "pong")
	m.t.Fatalf("a signal does not arrive: %v; meanwhile there were %d bytes of log; the supervisor says %+v, %v", err, m.bytes.Load()-read, daemons, asked)
}

// A window is what was measured in a while.
type window struct {
	bytes     int64 // of the log
	time      time.Duration
	latencies []time.Duration // from a signal to the supervisor until the daemon's handler has run
	cpu       time.Duration   // of the supervisor
	others    time.Duration   // of all processors, what was not for this test
	anon      int             // the most anonymous memory of the supervisor
}

func (w window) throughput() float64 { return float64(w.bytes) / w.time.Seconds() }

// latency is the median, in seconds.
func (w window) latency() float64 {
	slices.Sort(w.latencies)
	return w.latencies[len(w.latencies)/2].Seconds()
}

// look measures for a while.
func (m *meter) look(d time.Duration) window {
	m.t.Helper()
	var w window
	begin, bytes, cpu, others := time.Now(), m.bytes.Load(), cpuTime(m.cmd.Process.Pid), m.others()
	for w.time < d {
		sent := time.Now()
		if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			m.t.Fatal(err)
		}
		m.awaitPong()
		w.latencies = append(w.latencies, time.Since(sent))
		w.anon = max(w.anon, anonymous(m.cmd.Process.Pid))
		time.Sleep(5 * time.Millisecond)
		w.time = time.Since(begin)
	}
	w.bytes, w.cpu, w.others = m.bytes.Load()-bytes, cpuTime(m.cmd.Process.Pid)-cpu, m.others()-others
	return w
}

// end ends the supervisor.
func (m *meter) end() {
	m.t.Helper()
	begin := time.Now()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	<-m.gone
	if took := time.Since(begin); took > maxEnd {
		m.t.Errorf("the end took %s, want at most %s", took, maxEnd)
	}
	_ = m.cmd.Wait() // the crashing ones give its exit code
}

// sum describes windows.
func sum(all []window) string {
	var w window
	for _, o := range all {
		w.bytes += o.bytes
		w.time += o.time
		w.cpu += o.cpu
		w.others += o.others
		w.latencies = append(w.latencies, o.latencies...)
	}
	return fmt.Sprintf("%.0f MB/s of log, signals take %.0f µs (median of %d), the supervisor takes %.2f of a processor, what is not of this test %.2f",
		w.throughput()/1e6, w.latency()*1e6, len(w.latencies), w.cpu.Seconds()/w.time.Seconds(), w.others.Seconds()/w.time.Seconds())
}

// memory is the most anonymous memory in each window, in MB.
func memory(all []window) []float64 {
	var anon []float64
	for _, w := range all {
		anon = append(anon, float64(w.anon)/1e6)
	}
	return anon
}

// maxOthers is what others may take of a processor at a time that counts.
const maxOthers = 0.3

func (w window) quiet() bool { return w.others.Seconds() <= maxOthers*w.time.Seconds() }

// ratios compares each window with clients with the ones without before and after it, where all three were quiet.
func ratios(without, with []window, ratio func(without, with window) float64) []float64 {
	var all []float64
	for i, w := range with {
		if before, after := without[i], without[i+1]; w.quiet() && before.quiet() && after.quiet() {
			all = append(all, (ratio(before, w)+ratio(after, w))/2)
		}
	}
	return all
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// others is what all processes but those of this test have ever used of processors.
func (m *meter) others() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	f := strings.Fields(string(text))
	used := ticks(f[1:4]) + ticks(f[6:9]) // not idle, not waiting, and guests are counted already
	used -= cpuTime(os.Getpid()) + cpuTime(m.cmd.Process.Pid) + ticks(stat(m.cmd.Process.Pid)[13:15])
	for _, pid := range append(children(m.cmd.Process.Pid), children(os.Getpid())...) {
		if pid != m.cmd.Process.Pid {
			used -= cpuTime(pid)
		}
	}
	return used
}

// cpuTime is what a process has used of processors.
func cpuTime(pid int) time.Duration { return ticks(stat(pid)[11:13]) }

// stat is the fields of /proc/PID/stat from the third one on.
func stat(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ")
	if f := strings.Fields(after); len(f) > 20 {
		return f
	}
	return make([]string, 20) // it has ended
}

// ticks is the sum of times in /proc.
func ticks(fields []string) time.Duration {
	sum := 0
	for _, s := range fields {
		n, _ := strconv.Atoi(s)
		sum += n
	}
	return time.Duration(sum) * time.Second / 100
}

// anonymous is how much memory a process has that is not that of a file.
func anonymous(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := bytes.Cut(status, []byte("RssAnon:"))
	var n int
	fmt.Sscan(string(rest), &n)
	return n << 10
}
