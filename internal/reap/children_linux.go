package reap

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// ownProc reports whether /proc is there, and is that of our own pid namespace. The numbers in another one's are those
// of other processes.
func ownProc() bool {
	link, err := os.Readlink("/proc/self")
	if err != nil || link != strconv.Itoa(os.Getpid()) {
		return false
	}
	status, _ := os.ReadFile("/proc/self/status")
	_, ids, found := bytes.Cut(status, []byte("\nNSpid:"))
	ids, _, _ = bytes.Cut(ids, []byte("\n"))
	return !found || len(bytes.Fields(ids)) == 1 // one number for each namespace from that of /proc down to ours
}

// children lists the direct children of this program, dead or alive: its own, which are those of the main thread, and
// those of its other threads. Where the kernel does not tell (CONFIG_PROC_CHILDREN), they are all among the others.
func (s *sweep) children(late func() bool) (own, others []int) {
	list, err := readInts(fmt.Sprintf("/proc/self/task/%d/children", s.self))
	if err != nil || s.scan {
		return nil, s.childrenByParent(late)
	}
	for _, tid := range readDirInts("/proc/self/task") {
		if tid != s.self {
			pids, _ := readInts(fmt.Sprintf("/proc/self/task/%d/children", tid)) // fails if the thread has ended
			others = append(others, pids...)
		}
	}
	return list, others
}

// childrenByParent is what can be known from the parents of all processes.
func (s *sweep) childrenByParent(late func() bool) (pids []int) {
	for _, pid := range readDirInts("/proc") {
		if late() {
			break
		}
		if parent, _ := stat(pid); parent == s.self {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat returns the parent and the state of a process; 0, 0 if there is none.
func stat(pid int) (parent int, state byte) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The second field is the name, in parentheses; it may contain anything, also those.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1]))
	return parent, fields[0][0]
}

// readInts returns the numbers in a file.
func readInts(name string) (ints []int, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for _, field := range bytes.Fields(data) {
		if i, err := strconv.Atoi(string(field)); err == nil {
			ints = append(ints, i)
		}
	}
	return ints, nil
}

// readDirInts returns the names in a directory that are numbers.
func readDirInts(name string) (ints []int) {
	dir, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if i, err := strconv.Atoi(name); err == nil {
			ints = append(ints, i)
		}
	}
	return ints
}
