package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// controllers are those that limits need.
var controllers = []string{"memory", "cpu", "pids"}

// own is the name of the group that this process moves into, prefix that of each daemon's.
const (
	own    = "sidecar-init"
	prefix = "daemon-"
)

// A Tree is the control group of this process, divided.
type Tree struct {
	dir   string
	root  bool     // it is the one of the machine, which may have processes and controllers
	given []string // the controllers that the groups below have
}

// Available reports whether Open could succeed, and changes nothing. The error says why not.
func Available() error {
	_, _, err := look()
	return err
}

// look finds the control group of this process, and who is in it.
func look() (dir string, pids []int, err error) {
	c, err := kernel.OwnCgroup()
	if err != nil {
		return "", nil, err
	}
	if !c.Writable {
		return "", nil, fmt.Errorf("%s is not writable", c.Dir)
	}
	if pids, err = members(c.Dir); err != nil {
		return "", nil, err
	}
	for _, pid := range pids {
		if !ours(pid) {
			return "", nil, fmt.Errorf("%s has processes that are not the supervisor's", c.Dir)
		}
	}
	return c.Dir, pids, nil
}

// ours reports whether a process is one of this process's: itself, one that descends from it, or, for PID 1, any that it sees.
func ours(pid int) bool {
	self := os.Getpid()
	if self == 1 {
		return pid > 0 // 0 is one of another pid namespace
	}
	for range maxDepth {
		switch {
		case pid == self:
			return true
		case pid <= 1:
			return false
		}
		pid = proc.Read(pid).Parent
	}
	return false
}

// maxDepth bounds the search for ancestors: numbers can be used again meanwhile.
const maxDepth = 1000

// moves is how often it is looked for processes that were forked while others were moved.
const moves = 100

// Open divides the control group of this process. It must be called once at most.
func Open() (*Tree, error) {
	dir, _, err := look()
	if err != nil {
		return nil, err
	}
	t := &Tree{dir: dir}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.type")); errors.Is(err, fs.ErrNotExist) {
		t.root = true
	}
	if !t.root {
		if err := os.Mkdir(t.path(own), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := move(dir, t.path(own)); err != nil {
			t.Close()
			return nil, err
		}
	}
	had, err := os.ReadFile(t.path("cgroup.controllers"))
	if err != nil {
		t.Close()
		return nil, err
	}
	for _, c := range controllers {
		if slices.Contains(strings.Fields(string(had)), c) && write(t.path("cgroup.subtree_control"), "+"+c) == nil {
			t.given = append(t.given, c)
		}
	}
	return t, nil
}

// move moves all processes of one group into another.
func move(from, to string) error {
	var last error
	for range moves {
		pids, err := members(from)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if pid == 0 {
				return fmt.Errorf("%s has processes that are not the supervisor's", from)
			}
			if err := write(filepath.Join(to, "cgroup.procs"), strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
				last = err
			}
		}
	}
	if last == nil {
		last = errors.New("processes are started all the time")
	}
	return fmt.Errorf("cannot move all processes into %s: %w", to, last)
}

// Lacks returns those of the controllers that limits need which the groups do not have.
func (t *Tree) Lacks(l Limits) (names []string) {
	return slices.DeleteFunc(l.Controllers(), func(c string) bool { return slices.Contains(t.given, c) })
}

// Leaf is the group of a daemon. It is made when the daemon is started.
func (t *Tree) Leaf(daemon string) *Leaf {
	return &Leaf{Dir: t.path(prefix + daemon), given: t.given}
}

// Of returns the daemon in whose group a process is; "" if it is in none of them, or has ended.
func (t *Tree) Of(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	_, path, ok := strings.Cut("\n"+string(text), "\n0::")
	if !ok {
		return ""
	}
	path, _, _ = strings.Cut(path, "\n")
	dir, name := filepath.Split(path)
	name, isLeaf := strings.CutPrefix(name, prefix)
	if !isLeaf || filepath.Join(mount, dir) != t.dir {
		return ""
	}
	return name
}

// mount is where the hierarchy is.
const mount = "/sys/fs/cgroup"

// Limit returns the most memory that the group of this process, and those above that can be seen, let it have, in bytes; 0 is no limit.
// It can change at any time.
func (t *Tree) Limit() (most int64) {
	for dir := t.dir; strings.HasPrefix(dir, mount); dir = filepath.Dir(dir) {
		if v, ok := number(filepath.Join(dir, "memory.max")); ok && (most == 0 || v < most) {
			most = v
		}
	}
	return most
}

// Close undoes what was done: it ends who is left in the groups, removes them, and moves this process back.
func (t *Tree) Close() {
	if leaves, err := filepath.Glob(t.path(prefix + "*")); err == nil {
		for _, dir := range leaves {
			l := &Leaf{Dir: dir}
			l.Kill()
			l.await(closeWait)
			_ = os.Remove(dir) // who hangs in the kernel keeps it
		}
	}
	for _, c := range t.given {
		_ = write(t.path("cgroup.subtree_control"), "-"+c) // fails where a leaf is left
	}
	if !t.root {
		_ = move(t.path(own), t.dir)
		_ = os.Remove(t.path(own))
	}
}

// closeWait bounds the wait for a group that was killed, at the end.
const closeWait = 20 * time.Millisecond

func (t *Tree) path(name string) string { return filepath.Join(t.dir, name) }

// members are the processes of a group. One that cannot be seen from here is 0.
func members(dir string) (pids []int, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	for word := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// write writes a file of the kernel's.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}
