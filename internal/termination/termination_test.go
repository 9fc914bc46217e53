package termination

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)

func TestRecord(t *testing.T) {
	exited := func(daemon string, code int, requested bool) child.Event {
		return child.Event{Time: noon, Kind: child.EventExited, Daemon: daemon, Exit: child.Exit{Code: code}, Requested: requested, Success: code == 0, Uptime: 1500 * time.Millisecond}
	}
	term := child.Event{Kind: root.EventShutdown, Signal: syscall.SIGTERM}
	tests := []struct {
		name    string
		in      []child.Event
		code    int
		all     []child.Status
		from    []string
		dropped uint64
		line    string
		json    string
	}{
		{
			name: "all well", in: []child.Event{exited("a", 0, false)}, all: []child.Status{{Name: "a"}},
			line: "record: code 0", json: `{"exit_code":0,"log_lines_dropped":0}`,
		},
		{
			name: "stopped", in: []child.Event{term, exited("a", 1, true)}, code: 1, all: []child.Status{{Name: "a", Result: 1}},
			line: "record: code 1 from a (SIGTERM)", json: `{"exit_code":1,"daemon":"a","cause":"SIGTERM","log_lines_dropped":0}`,
		},
		{
			name: "failures", in: []child.Event{exited("a", 3, false), exited("b", 4, false), exited("a", 0, false)},
			code: 4, all: []child.Status{{Name: "a"}, {Name: "b", Result: 4}},
			line: "record: code 4 from b; first failure: a, code 3",
			json: `{"exit_code":4,"daemon":"b","first_failure":{"daemon":"a","time":"2026-05-01T12:00:00.123Z","code":3,"signal":null,"uptime":1.5},"log_lines_dropped":0}`,
		},
		{
			name: "the code of another", in: []child.Event{exited("a", 3, false)}, code: 3,
			all: []child.Status{{Name: "a", Result: 3}, {Name: "b", Result: 3}}, from: []string{"b"},
			line: "record: code 3 from b; first failure: a, code 3",
			json: `{"exit_code":3,"daemon":"b","first_failure":{"daemon":"a","time":"2026-05-01T12:00:00.123Z","code":3,"signal":null,"uptime":1.5},"log_lines_dropped":0}`,
		},
		{
			name: "a critical one",
			in:   []child.Event{exited("b", 3, false), {Kind: root.EventShutdown, Daemon: "b", Reason: "b is critical and has ended"}},
			code: 3, all: []child.Status{{Name: "a", Result: 3}, {Name: "b", Result: 3}},
			line: "record: code 3 from b (b is critical and has ended); first failure: b, code 3",
			json: `{"exit_code":3,"daemon":"b","cause":"b is critical and has ended","first_failure":{"daemon":"b","time":"2026-05-01T12:00:00.123Z","code":3,"signal":null,"uptime":1.5},"log_lines_dropped":0}`,
		},
		{
			name: "not executed",
			in: []child.Event{{
				Time: noon, Kind: child.EventFailed, Daemon: "a", Exit: child.Exit{Code: 127, Err: errors.New("x")}, Reason: "/bin/a: no such file",
			}},
			code: 127, all: []child.Status{{Name: "a", Result: 127}},
			line: "record: code 127 from a; first failure: a, code 127, /bin/a: no such file",
			json: `{"exit_code":127,"daemon":"a","first_failure":{"daemon":"a","time":"2026-05-01T12:00:00.123Z","code":127,"signal":null,"uptime":0,"reason":"/bin/a: no such file"},"log_lines_dropped":0}`,
		},
		{
			name: "the OOM killer",
			in:   []child.Event{{Time: noon, Kind: child.EventExited, Daemon: "a", Exit: child.Exit{Signal: syscall.SIGKILL, OOM: true}}},
			code: 137, all: []child.Status{{Name: "a", Result: 137}},
			line: "record: code 137 from a; first failure: a, code -9 (SIGKILL), the kernel's OOM killer",
			json: `{"exit_code":137,"daemon":"a","first_failure":{"daemon":"a","time":"2026-05-01T12:00:00.123Z","code":null,"signal":"SIGKILL","oom":true,"uptime":0},"log_lines_dropped":0}`,
		},
		{
			name: "killed",
			in: []child.Event{
				{Kind: child.EventKilled, Daemon: "z"}, // by a stop, and started again
				{Time: noon, Kind: child.EventExited, Daemon: "b", Exit: child.Exit{Signal: syscall.SIGSEGV}},
				term,
				{Kind: child.EventKilled, Daemon: "a"},
				{Kind: root.EventDeadline, Names: []string{"a", "c"}},
				{Kind: root.EventKillNow, Names: []string{"c", "d"}},
			},
			code: 139, all: []child.Status{{Name: "b", Result: 139}}, dropped: 12,
			line: "record: code 139 from b (SIGTERM); first failure: b, code -11 (SIGSEGV); killed: a, c, d; 12 log lines dropped",
			json: `{"exit_code":139,"daemon":"b","cause":"SIGTERM","first_failure":{"daemon":"b","time":"2026-05-01T12:00:00.123Z","code":null,"signal":"SIGSEGV","uptime":0},"killed":["a","c","d"],"log_lines_dropped":12}`,
		},
		{
			name: "internal error", code: 70, all: []child.Status{{Name: "a"}},
			line: "record: code 70", json: `{"exit_code":70,"log_lines_dropped":0}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Collector
			for _, e := range tt.in {
				c.Observe(e)
			}
			r := c.Record(tt.code, tt.all, tt.from, tt.dropped)
			if got := r.Clean(); got != (tt.name == "all well") {
				t.Errorf("clean: %v", got)
			}
			if got := r.String(); got != tt.line {
				t.Errorf("got  %s\nwant %s", got, tt.line)
			}
			if got, err := json.Marshal(r); err != nil || string(got) != tt.json {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.json)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	r := Record{ExitCode: 3}
	if err := r.Write(path); err != nil {
		t.Errorf("where there is none: %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Error("it was made")
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("old ", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(path); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != `{"exit_code":3,"log_lines_dropped":0}`+"\n" {
		t.Errorf("got %q", got)
	}
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, strange := range []string{dir, fifo, link, "/dev/null"} {
		if err := r.Write(strange); err != nil {
			t.Errorf("%s: %v", strange, err)
		}
	}
}

// TestSize: Kubernetes cuts off what is longer, and a part is no JSON.
func TestSize(t *testing.T) {
	r := Record{FirstFailure: &Failure{Reason: strings.Repeat("x", 5000)}}
	for i := range 1000 {
		r.Killed = append(r.Killed, fmt.Sprint("daemon-", i))
	}
	b, err := r.encode()
	var back Record
	if err != nil || len(b) > maxMessage || json.Unmarshal(b, &back) != nil {
		t.Errorf("got %d bytes, %v: %.100s", len(b), err, b)
	}
}
