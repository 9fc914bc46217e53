package oom

import (
	"bufio"
	"os"
	"path"
	"strconv"
	"strings"
)

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
