package events

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

func TestOOM(t *testing.T) {
	killed := func(at time.Duration) child.Event {
		return child.Event{Time: noon.Add(at), Kind: child.EventExited, Exit: child.Exit{Signal: syscall.SIGKILL}}
	}
	shell := killed(0)
	shell.Exit = child.Exit{Code: 137}
	crash := killed(0)
	crash.Exit = child.Exit{Code: 1}
	tests := []struct {
		name  string
		count []uint64 // what the counter says at the start and at each event
		in    []child.Event
		want  []bool
	}{
		{"killed by somebody", []uint64{3, 3}, []child.Event{killed(0)}, []bool{false}},
		{"by the OOM killer", []uint64{3, 4}, []child.Event{killed(0)}, []bool{true}},
		{"the child of a shell", []uint64{0, 1}, []child.Event{shell}, []bool{true}},
		{"another end", []uint64{0, 1}, []child.Event{crash}, []bool{false}},
		{"one of two", []uint64{0, 1, 1}, []child.Event{killed(0), killed(time.Millisecond)}, []bool{true, false}},
		{"two at once", []uint64{0, 2, 2}, []child.Event{killed(0), killed(time.Millisecond)}, []bool{true, true}},
		{"a grandchild, and later a kill", []uint64{0, 1, 1}, []child.Event{crash, killed(time.Minute)}, []bool{false, false}},
		{"the counter of another cgroup", []uint64{5, 0}, []child.Event{killed(0)}, []bool{false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := -1
			var got []bool
			for _, e := range collect(t, Options{OOMKills: func() (uint64, bool) { i++; return tt.count[i], true }}, tt.in...) {
				got = append(got, e.Data.OOM)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCounterFiles(t *testing.T) {
	tests := []struct {
		name, self, file, text string
		want                   uint64
		ok                     bool
	}{
		{"version 2", "0::/\n", "memory.events", "low 0\noom 4\noom_kill 2\noom_group_kill 0\n", 2, true},
		{"version 2 on a host", "0::/system.slice/x.service\n", "system.slice/x.service/memory.events", "oom_kill 1\n", 1, true},
		{"version 2, path of the host", "0::/docker/abc\n", "memory.events", "oom_kill 7\n", 7, true},
		{"version 1", "9:cpu,cpuacct:/\n4:memory:/docker/abc\n", "memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5, true},
		{"version 1 on a host", "4:memory:/a\n", "memory/a/memory.oom_control", "oom_kill 6\n", 6, true},
		{"hybrid", "4:memory:/a\n0::/a\n", "unified/a/memory.events", "oom_kill 8\n", 8, true},
		{"old kernel", "4:memory:/\n", "memory/memory.oom_control", "oom_kill_disable 0\n", 0, false},
		{"none", "", "x", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			self, file := filepath.Join(dir, "self"), filepath.Join(dir, "cg", tt.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{self: tt.self, file: tt.text} {
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var got uint64
			ok := false
			for _, f := range counterFiles(self, filepath.Join(dir, "cg")) {
				if got, ok = readKills(f); ok {
					break
				}
			}
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %d, %v, want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}
