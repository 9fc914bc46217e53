//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is the memory of a supervisor's own processes, in kB.
type usage struct {
	private, pss, rss float64
	processes         int
}

func (u *usage) ofPrivate() float64 { return u.private }
func (u *usage) ofPSS() float64     { return u.pss }
func (u *usage) ofRSS() float64     { return u.rss }

// memory asks the kernel about the processes that are no daemon.
func (t *trial) memory(child string) *usage {
	var u usage
	t.processes(func(pid int, _ string, _ int) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || exe == child {
			return
		}
		u.processes++
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			k, v, _ := strings.Cut(s.Text(), ":")
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			switch k {
			case "Private_Clean", "Private_Dirty":
				u.private += kb
			case "Pss":
				u.pss += kb
			case "Rss":
				u.rss += kb
			}
		}
	})
	return &u
}

// A memoryGroup is a control group that counts memory, as an engine makes one for a container.
type memoryGroup struct {
	dir           string
	current, file string // the names of what counts all, and of the part that the kernel takes back first
}

// groupVariable tells the stage which group to enter. The supervisor does not see it.
const groupVariable = "COMPARE_GROUP"

func newMemoryGroup() (*memoryGroup, error) {
	g := &memoryGroup{current: "memory.usage_in_bytes", file: "total_inactive_file"}
	root := "/sys/fs/cgroup/memory"
	if text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil && strings.Contains(string(text), "memory") {
		root = "/sys/fs/cgroup"
		g.current, g.file = "memory.current", "inactive_file"
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0) // it may be there
	}
	g.dir = filepath.Join(root, fmt.Sprintf("compare-%d-%d", os.Getpid(), now()))
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("no memory controller can be used: %w", err)
	}
	return g, nil
}

// enter moves the calling process.
func enter(group string) error {
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0)
}

// charge is what Kubernetes calls the working set, and kills by.
func (g *memoryGroup) charge() (kb float64, err error) {
	text, err := os.ReadFile(filepath.Join(g.dir, g.current))
	if err != nil {
		return 0, err
	}
	all, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(filepath.Join(g.dir, "memory.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(stat)) {
		if k, v, _ := strings.Cut(strings.TrimSpace(line), " "); k == g.file {
			inactive, err := strconv.ParseFloat(v, 64)
			return (all - inactive) / 1024, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", filepath.Join(g.dir, "memory.stat"), g.file)
}

// close removes the group, once its last process has gone.
func (g *memoryGroup) close() {
	for range 100 {
		if os.Remove(g.dir) == nil {
			return
		}
		rest(10 * time.Millisecond)
	}
}
