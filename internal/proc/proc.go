// Package proc reads from /proc which processes exist.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// A Stat is what /proc/PID/stat says of a process.
type Stat struct {
	PID     int
	State   byte // R, S, D, T, Z, X and others
	Parent  int
	Group   int // process group
	Session int
	Start   uint64 // clock ticks since the boot, of which there are 100 a second
}

// Dead reports whether the process has ended, and only waits to be collected.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' || s.State == 0 }

// Read returns the Stat of a process; the zero Stat if there is none.
func Read(pid int) Stat {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}
	}
	s := parse(data)
	s.PID = pid
	return s
}

func parse(data []byte) (s Stat) {
	// The second field is the name, in parentheses; it may contain anything, also those.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return Stat{}
	}
	s.State = fields[0][0]
	for i, to := range []*int{&s.Parent, &s.Group, &s.Session} {
		*to, _ = strconv.Atoi(string(fields[i+1]))
	}
	s.Start, _ = strconv.ParseUint(string(fields[19]), 10, 64)
	return s
}

// PIDs returns the names in a directory that are numbers: in /proc, those of all processes.
func PIDs(dir string) (pids []int) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Orphans are the processes that this one has adopted, as PID 1 or subreaper: they are the children of its main thread, as
// long as that does not start any itself. There are none where the kernel does not tell (CONFIG_PROC_CHILDREN).
func Orphans() (pids []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	for _, field := range bytes.Fields(text) {
		if pid, err := strconv.Atoi(string(field)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// IsOwn reports whether /proc is there, and is that of our own pid namespace. The numbers in another one's are those of
// other processes.
func IsOwn() bool {
	link, err := os.Readlink("/proc/self")
	if err != nil || link != strconv.Itoa(os.Getpid()) {
		return false
	}
	status, _ := os.ReadFile("/proc/self/status")
	_, ids, found := bytes.Cut(status, []byte("\nNSpid:"))
	ids, _, _ = bytes.Cut(ids, []byte("\n"))
	return !found || len(bytes.Fields(ids)) == 1 // one number for each namespace from that of /proc down to ours
}

// A Scanner looks at all processes at once. The zero Scanner is ready for use, by any goroutine.
type Scanner struct {
	// List returns all processes; nil means those in /proc. A test brings its own.
	List func() []Stat

	mu    sync.Mutex
	began time.Time // of the last scan
	last  []Stat
}

// Look returns the processes that lived, or waited to be collected, at some time since it was called; nil where /proc does
// not tell. Those who look at the same time share scans, so that a thousand who wait for the end of something make two of
// them and not a thousand: a scan takes some 10 µs for each process.
func (s *Scanner) Look() []Stat {
	asked := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.After(asked) {
		return s.last
	}
	s.began = time.Now()
	if s.List != nil {
		s.last = s.List()
	} else {
		s.last = list()
	}
	return s.last
}

func list() (all []Stat) {
	if !IsOwn() {
		return nil
	}
	for _, pid := range PIDs("/proc") {
		if stat := Read(pid); stat.PID != 0 {
			all = append(all, stat)
		}
	}
	return all
}
