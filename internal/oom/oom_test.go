package oom

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// A cause is how a process of the test ends.
type cause struct {
	exit  child.Exit
	ours  bool          // we send SIGKILL before
	after time.Duration // since the one before
}

// Spawn implements child.Spawner: a process that ends at once.
func (c cause) Spawn(*child.Spec) (child.Process, error) { return c, nil }

func (c cause) PID() int                          { return 1 }
func (c cause) Signal(syscall.Signal, bool) error { return nil }
func (c cause) Wait() child.Exit                  { return c.exit }
func (c cause) Left() bool                        { return false }
func (c cause) Strays() bool                      { return false }
func (c cause) Release(bool)                      {}

func TestSpawner(t *testing.T) {
	killed := cause{exit: child.Exit{Signal: syscall.SIGKILL}}
	shell := cause{exit: child.Exit{Code: 137}}
	crash := cause{exit: child.Exit{Code: 1}}
	ours := cause{exit: killed.exit, ours: true}
	later := cause{exit: killed.exit, after: time.Minute}
	const unreadable = 99
	tests := []struct {
		name   string
		counts []uint64 // what the counter says at the start, and at each end
		ends   []cause
		want   []bool
	}{
		{"killed by somebody", []uint64{3, 3}, []cause{killed}, []bool{false}},
		{"by the OOM killer", []uint64{3, 4}, []cause{killed}, []bool{true}},
		{"the child of a shell", []uint64{0, 1}, []cause{shell}, []bool{true}},
		{"another end", []uint64{0, 1}, []cause{crash}, []bool{false}},
		{"one of two", []uint64{0, 1, 1}, []cause{killed, killed}, []bool{true, false}},
		{"two at once", []uint64{0, 2, 2}, []cause{killed, killed}, []bool{true, true}},
		{"one of two is ours", []uint64{0, 1, 1}, []cause{ours, killed}, []bool{false, true}},
		{"a grandchild, and soon its parent", []uint64{0, 1, 1}, []cause{crash, shell}, []bool{false, true}},
		{"a grandchild, and later a kill", []uint64{0, 1, 1}, []cause{crash, later}, []bool{false, false}},
		{"the counter of another cgroup", []uint64{5, 0}, []cause{killed}, []bool{false}},
		{"no counter", []uint64{unreadable, unreadable}, []cause{killed}, []bool{false}},
		{"the counter is gone", []uint64{1, unreadable, 2}, []cause{killed, killed}, []bool{false, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				count := tt.counts[0]
				s := newSpawner(nil, func() (uint64, bool) { return count, count != unreadable })
				var got []bool
				for i, end := range tt.ends {
					time.Sleep(end.after)
					s.spawner = end
					p, err := s.Spawn(&child.Spec{})
					if err != nil {
						t.Fatal(err)
					}
					count = tt.counts[i+1]
					if end.ours {
						_ = p.Signal(syscall.SIGKILL, true)
					}
					got = append(got, p.Wait().OOM)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
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
