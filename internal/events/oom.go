package events

import (
	"bufio"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const sigkill = syscall.SIGKILL

// A killCounter says whether a kill was the OOM killer's. The kernel does not tell of a process what killed it, only how
// many of the cgroup the OOM killer has ended: one more than before means that this was it. When several end at once, as
// many of them as the counter has gone up are taken for it; a kill that hit none of the daemons' main processes is
// forgotten after a while.
type killCounter struct {
	read   func() (uint64, bool)
	last   uint64
	open   uint64    // kills that no daemon has been found for
	openAt time.Time // when the last of them was seen
}

// openTime is how long a kill waits for its daemon.
const openTime = 2 * time.Second

// note looks at the counter; at is the time of the event that makes it look.
func (k *killCounter) note(at time.Time) {
	if at.Sub(k.openAt) > openTime {
		k.open = 0
	}
	n, ok := k.read()
	if !ok || n <= k.last {
		return
	}
	k.open += n - k.last
	k.openAt, k.last = at, n
}

// took reports whether a process that ended by SIGKILL was ended by the OOM killer.
func (k *killCounter) took() bool {
	if k.open == 0 {
		return false
	}
	k.open--
	return true
}

// cgroupKills returns a function that reads the OOM kills of the cgroup of this process, of either version.
func cgroupKills() func() (uint64, bool) {
	for _, file := range counterFiles("/proc/self/cgroup", "/sys/fs/cgroup") {
		if _, ok := readKills(file); ok {
			return func() (uint64, bool) { return readKills(file) }
		}
	}
	return func() (uint64, bool) { return 0, false }
}

// counterFiles are the places where the counter can be, the likeliest first. In a container /proc/self/cgroup names a
// path from the container's own root (cgroup namespace) or from that of the host, of which the container sees only the
// end, at the mount point.
func counterFiles(self, mount string) []string {
	var files []string
	text, _ := os.ReadFile(self)
	for line := range strings.Lines(string(text)) {
		// HIERARCHY:CONTROLLERS:PATH, and 0::PATH for version 2
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, dir, _ := strings.Cut(rest, ":")
		if controllers == "" {
			files = append(files,
				path.Join(mount, dir, "memory.events"), path.Join(mount, "memory.events"),
				path.Join(mount, "unified", dir, "memory.events"))
		}
		for c := range strings.SplitSeq(controllers, ",") {
			if c == "memory" {
				files = append(files, path.Join(mount, "memory", dir, "memory.oom_control"), path.Join(mount, "memory", "memory.oom_control"))
			}
		}
	}
	return files
}

// readKills reads the line "oom_kill N" of memory.events or memory.oom_control.
func readKills(file string) (uint64, bool) {
	f, err := os.Open(file)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "oom_kill "); ok {
			n, err := strconv.ParseUint(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
