package metrics

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/notify"
	"github.com/bot-bottle/sidecar-init/log"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example is the metrics of a bundle in which everything has happened.
func example() (*Metrics, []child.Status) {
	web, job := &Counts{}, &Counts{}
	m := New(Options{
		Jobs: func() []jobs.Status {
			return []jobs.Status{{
				Definition: jobs.Definition{Name: "backup"}, Counts: map[jobs.Result]uint64{jobs.Succeeded: 3, jobs.Missed: 1},
				Next: time.Unix(1_800_000_000, 0), LastSuccess: time.Unix(1_700_000_000, 500_000_000),
			}}
		},
		Counts:  func(s *child.Status) *Counts { return map[string]*Counts{"web": web, "job": job}[s.Name] },
		Version: "1.2.3",
		Log: func() log.Stats {
			return log.Stats{Own: 7, OwnDropped: 1, Streams: []log.StreamStats{
				{Name: "web", Bytes: 100, Lines: 10, Dropped: 2}, {Name: "web", Bytes: 11, Lines: 1}, {Name: "job"},
			}}
		},
		Events: func() events.Stats { return events.Stats{Events: 20, Dropped: 1, QueueHighWater: 4} },
		Notify: func() []notify.SinkStats { return []notify.SinkStats{{Name: "http://a:1", Delivered: 15, Dropped: 5}} },
		Cgroup: func(s *child.Status) (cgroup.Usage, bool) {
			return cgroup.Usage{CPU: 2500 * time.Millisecond, Memory: 5 << 20, Limit: 64 << 20, Throttled: time.Second, CPUPressure: 1500 * time.Millisecond, MemoryPressure: time.Millisecond}, s.Name == "web"
		},
		Reload:    func() (bool, time.Time) { return true, time.Unix(1_790_000_000, 0) },
		Orphans:   func() int64 { return 9 },
		RootQueue: func() int { return 3 },
	})
	now := time.Now()
	for _, e := range []child.Event{
		{Kind: child.EventStarted},
		{Kind: child.EventExited, Exit: child.Exit{Code: 3, CPU: 1500 * time.Millisecond}},
		{Kind: child.EventExited, Exit: child.Exit{Signal: syscall.SIGKILL, OOM: true}},
		{Kind: child.EventExited, Requested: true, Exit: child.Exit{Signal: syscall.SIGTERM}},
		{Kind: child.EventExited, Success: true},
		{Kind: child.EventFailed, Exit: child.Exit{Code: 127, Err: errors.New("x")}},
		{Kind: child.EventForwarded, Signal: syscall.SIGHUP},
		{Kind: child.EventForwarded, Signal: syscall.SIGHUP},
		{Kind: child.EventForwarded, Signal: 40},
		{Kind: child.EventDropped, Signal: syscall.SIGUSR1},
	} {
		e.Daemon = "web"
		web.Observe(e)
	}
	job.Observe(child.Event{Kind: child.EventNotStarted, Daemon: "job"})
	return m, []child.Status{
		{Name: "web", State: child.StateReady, PID: 1 << 30, Started: now.Add(-time.Minute), Since: now, Starts: 5, Restarts: 4},
		{Name: "job", State: child.StateExited},
	}
}

func text(t *testing.T, m *Metrics, all []child.Status) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.Write(&b, all); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGolden compares all metrics with testdata/metrics.txt, without the numbers that are different each time.
func TestGolden(t *testing.T) {
	m, all := example()
	got := regexp.MustCompile(`(?m)^((?:process_|go_|sidecar_init_daemon_uptime_seconds\{daemon="web"\})[^ ]*) .*$`).ReplaceAllString(text(t, m, all), "$1 N")
	got = regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(got, `goversion="GO"`)
	const file = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPromtool lets Prometheus' own tool judge names, help texts and syntax.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; on Debian it is in the package prometheus")
	}
	m, all := example()
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text(t, m, all))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFormat holds what promtool would, where it is not installed: each sample belongs to the family before it, and no two
// are the same.
func TestFormat(t *testing.T) {
	m, all := example()
	var families, samples []string
	for line := range strings.Lines(text(t, m, all)) {
		line = strings.TrimSuffix(line, "\n")
		help, isHelp := strings.CutPrefix(line, "# HELP ")
		kind, isType := strings.CutPrefix(line, "# TYPE ")
		switch {
		case isHelp:
			name, text, _ := strings.Cut(help, " ")
			if slices.Contains(families, name) || !strings.HasSuffix(text, ".") {
				t.Errorf("help %q", line)
			}
			families = append(families, name)
		case isType:
			name, kind, _ := strings.Cut(kind, " ")
			if name != families[len(families)-1] || (kind == counter) != strings.HasSuffix(name, "_total") {
				t.Errorf("type %q", line)
			}
		default:
			series, _, _ := strings.Cut(line, " ")
			name, _, _ := strings.Cut(series, "{")
			if name != families[len(families)-1] || slices.Contains(samples, series) ||
				!regexp.MustCompile(`^[a-z_]+(\{([a-z]+="([^"\\\n]|\\.)*",?)+\})? -?[0-9.e+-]+$`).MatchString(strings.ReplaceAll(line, "signal=\"SIGRTMIN+6\"", `signal="x"`)) {
				t.Errorf("sample %q", line)
			}
			samples = append(samples, series)
		}
	}
	if len(families) < 25 {
		t.Errorf("there are only %d families", len(families))
	}
}

func TestPage(t *testing.T) {
	var p page
	p.family("a_total", counter, "Back\\slash and\nnewline.")
	p.sample(1)
	p.sample(0.25, "x", "a\"b\\c\nd", "y", "")
	p.sample(-1)
	p.sample(1 << 60)
	p.sample(1e-9)
	const want = `# HELP a_total Back\\slash and\nnewline.
# TYPE a_total counter
a_total 1
a_total{x="a\"b\\c\nd",y=""} 0.25
a_total -1
a_total 1.152921504606847e+18
a_total 1e-09
`
	if string(p.b) != want {
		t.Errorf("got\n%s\nwant\n%s", p.b, want)
	}
}

// TestNothing: a bundle of which nothing is known yet.
func TestNothing(t *testing.T) {
	m := New(Options{})
	if got := text(t, m, nil); !strings.Contains(got, "sidecar_init_build_info{version=\"\",") || strings.Contains(got, "daemon=") {
		t.Errorf("got\n%s", got)
	}
}

// TestRace is for the race detector.
func TestRace(t *testing.T) {
	m, all := example()
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 100 {
				m.o.Counts(&all[0]).Observe(child.Event{Kind: child.EventForwarded, Signal: syscall.Signal(1 + i)})
				m.o.Counts(&all[1]).Observe(child.Event{Kind: child.EventExited, Success: true})
				_ = m.Write(&bytes.Buffer{}, all)
			}
		})
	}
	group.Wait()
	if got := text(t, m, all); !strings.Contains(got, `sidecar_init_daemon_exits_total{daemon="job",cause="success"} 400`) {
		t.Errorf("got\n%s", got)
	}
}
