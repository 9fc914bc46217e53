package reap

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// children lists the direct children of this program, dead or alive: its own, which are those of the main thread, and
// those of its other threads. Where the kernel does not tell (CONFIG_PROC_CHILDREN), they are all among the others.
func (s *sweep) children(late func() bool) (own, others []int) {
	list, err := readInts(fmt.Sprintf("/proc/self/task/%d/children", s.self))
	if err != nil || s.scan {
		return nil, s.childrenByParent(late)
	}
	for _, tid := range proc.PIDs("/proc/self/task") {
		if tid != s.self {
			pids, _ := readInts(fmt.Sprintf("/proc/self/task/%d/children", tid)) // fails if the thread has ended
			others = append(others, pids...)
		}
	}
	return list, others
}

// childrenByParent is what can be known from the parents of all processes.
func (s *sweep) childrenByParent(late func() bool) (pids []int) {
	for _, pid := range proc.PIDs("/proc") {
		if late() {
			break
		}
		if proc.Read(pid).Parent == s.self {
			pids = append(pids, pid)
		}
	}
	return pids
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
