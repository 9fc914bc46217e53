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

	"github.com/bot-bottle/sidecar-init/child"
)

// A Leaf is the group of one daemon.
type Leaf struct {
	// Dir is its directory.
	Dir   string
	given []string // controllers
}

// emptyWait bounds the wait for who was killed before a start. Only a process stuck in the kernel makes it wait so long.
const emptyWait = 2 * time.Second

// errLeft is the error of a start while somebody is left who cannot be killed.
var errLeft = errors.New("processes of its last run do not end")

// Attr is the group for the attributes of a process, with limits.
func (l *Leaf) Attr(limits Limits) *child.Cgroup {
	c := &child.Cgroup{Dir: l.Dir, Files: map[string]string{}}
	for _, s := range limits.settings() {
		if slices.Contains(l.given, s.controller) {
			c.Files[s.file] = s.value
		}
	}
	return c
}

// prepare makes the group ready for the next life of the daemon. With kill it ends who is left in it, and the group is a new one.
func (l *Leaf) prepare(files map[string]string, kill bool) error {
	if kill {
		l.Kill()
		if !l.await(emptyWait) {
			return errLeft
		}
		if err := os.Remove(l.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Mkdir(l.Dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := l.Freeze(false); err != nil {
		return err
	}
	for name, value := range files {
		// A kernel without swap has no memory.swap.max, and one before 4.19 no memory.oom.group.
		if err := write(filepath.Join(l.Dir, name), value); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Kill ends everybody in the group.
func (l *Leaf) Kill() {
	if err := write(filepath.Join(l.Dir, "cgroup.kill"), "1"); errors.Is(err, fs.ErrNotExist) { // before Linux 5.14, or there is no group
		l.killEach()
	}
}

// killEach is Kill without cgroup.kill.
func (l *Leaf) killEach() {
	_ = l.Freeze(true) // so that nobody forks meanwhile; who is frozen can still be killed
	pids, _ := members(l.Dir)
	for _, pid := range pids {
		if pid > 0 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// Freeze stops everybody in the group, or lets them go on.
func (l *Leaf) Freeze(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return write(filepath.Join(l.Dir, "cgroup.freeze"), value)
}

// Populated reports whether somebody lives in the group.
func (l *Leaf) Populated() bool {
	v, _ := field(filepath.Join(l.Dir, "cgroup.events"), "populated")
	return v == 1
}

// await waits until nobody is left in the group.
func (l *Leaf) await(most time.Duration) bool {
	for begin, wait := time.Now(), time.Millisecond; l.Populated(); wait = min(2*wait, 20*time.Millisecond) {
		if time.Since(begin) > most {
			return false
		}
		<-time.After(wait)
	}
	return true
}

// OOMKills is how often the OOM killer has ended somebody in the group.
func (l *Leaf) OOMKills() int64 {
	v, _ := field(filepath.Join(l.Dir, "memory.events"), "oom_kill")
	return v
}

// Remove removes the group, if nobody is left in it.
func (l *Leaf) Remove() { _ = os.Remove(l.Dir) }

// Usage returns what the group uses; ok is false where there is none.
func (l *Leaf) Usage() (u Usage, ok bool) {
	µs, ok := field(filepath.Join(l.Dir, "cpu.stat"), "usage_usec")
	if !ok {
		return u, false
	}
	u.CPU = time.Duration(µs) * time.Microsecond
	µs, _ = field(filepath.Join(l.Dir, "cpu.stat"), "throttled_usec")
	u.Throttled = time.Duration(µs) * time.Microsecond
	if total, ok := number(filepath.Join(l.Dir, "memory.current")); ok {
		cold, _ := field(filepath.Join(l.Dir, "memory.stat"), "inactive_file")
		u.Memory = max(total-cold, 0)
	}
	u.Limit, _ = number(filepath.Join(l.Dir, "memory.max"))
	u.Pids, _ = number(filepath.Join(l.Dir, "pids.current"))
	u.CPUPressure, u.MemoryPressure = pressure(filepath.Join(l.Dir, "cpu.pressure")), pressure(filepath.Join(l.Dir, "memory.pressure"))
	return u, true
}

// pressure is the total of the line "some" of a file of PSI.
func pressure(file string) time.Duration {
	text, _ := os.ReadFile(file)
	line, _, _ := strings.Cut(string(text), "\n")
	if _, total, ok := strings.Cut(line, "total="); ok && strings.HasPrefix(line, "some ") {
		µs, _ := strconv.ParseInt(total, 10, 64)
		return time.Duration(µs) * time.Microsecond
	}
	return 0
}

// number reads a file that has one number; "max" is none.
func number(file string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	v, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return v, err == nil
}

// field reads the line "NAME NUMBER" of a file.
func field(file, name string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			v, err := strconv.ParseInt(value, 10, 64)
			return v, err == nil
		}
	}
	return 0, false
}
