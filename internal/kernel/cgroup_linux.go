package kernel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Cgroup is the control group (version 2) of this process.
type Cgroup struct {
	// Dir is its directory.
	Dir string
	// Writable: groups may be made below it.
	Writable bool
}

// OwnCgroup returns the control group of this process. The error says why there is none that it could see.
func OwnCgroup() (Cgroup, error) { return cgroup("/sys/fs/cgroup", "/proc/self/cgroup") }

func cgroup(mount, file string) (Cgroup, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(mount, &fs); err != nil {
		return Cgroup{}, &os.PathError{Op: "statfs", Path: mount, Err: err}
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return Cgroup{}, fmt.Errorf("%s is not cgroup version 2", mount)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Cgroup{}, err
	}
	path, err := unified(text)
	if err != nil {
		return Cgroup{}, err
	}
	c := Cgroup{Dir: filepath.Join(mount, path)}
	if _, err := os.Stat(c.Dir); err != nil { // /sys/fs/cgroup is that of another namespace
		return Cgroup{}, err
	}
	procs := filepath.Join(c.Dir, "cgroup.procs") // whoever may not move processes has no use for groups
	c.Writable = unix.Access(c.Dir, unix.W_OK) == nil && unix.Access(procs, unix.W_OK) == nil
	return c, nil
}

// unified returns the path of version 2 in the text of /proc/PID/cgroup.
func unified(text []byte) (string, error) {
	for line := range bytes.Lines(text) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "0::")
		switch {
		case !ok:
		case strings.HasPrefix(path, "/.."):
			return "", fmt.Errorf("the control group %s is outside of what can be seen", path)
		default:
			return path, nil
		}
	}
	return "", fmt.Errorf("this process is in no control group of version 2")
}
