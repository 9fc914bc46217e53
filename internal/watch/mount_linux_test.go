package watch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inside = "WATCH_TEST_INSIDE"

// TestMount: a file that is mounted by itself, on the same file system, is told when it is written in place, outside, and that
// it was replaced there. It runs in a mount namespace of its own.
func TestMount(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMount$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if uid := os.Getuid(); uid != 0 {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) {
			t.Skip("there is no mount namespace to be had: ", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}

	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	for _, tt := range []struct{ name, path string }{{"file", "/in/f"}, {"directory", "/in"}, {"link", "/l"}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/out/f", "1")
			write(t, dir+"/in/f", "")
			must(t, os.Symlink("in/f", dir+"/l"), unix.Mount(dir+"/out/f", dir+"/in/f", "", unix.MS_BIND, ""))
			t.Cleanup(func() { must(t, unix.Unmount(dir+"/in/f", 0)) })
			path := dir + tt.path
			l := newLines()
			w := New(Options{Printf: l.printf})
			calls := make(chan string, 10)
			stop := run(t, w)
			w.Set([]Watch{{Path: path, Debounce: 50 * time.Millisecond, Changed: func(p string) { calls <- p }}})
			if err := Replaced(path); err != nil {
				t.Errorf("before it was replaced: %v", err)
			}
			write(t, dir+"/out/f", "22")
			await(t, calls, "call for a write in place")
			for len(calls) > 0 {
				<-calls
			}
			write(t, dir+"/out/tmp", "3")
			must(t, os.Rename(dir+"/out/tmp", dir+"/out/f"))
			await(t, l.more, "line")
			stop()
			file := path
			if tt.name == "directory" {
				file = path + "/f"
			}
			want := file + " was replaced outside of the container; mount its directory"
			if got := l.String(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			var replaced *ReplacedError
			if err := Replaced(path); !errors.As(err, &replaced) || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if len(calls) > 0 {
				t.Error("it was called for")
			}
		})
	}
}

// TestLookUnreadable takes root's privileges from its thread, because root reads everything.
func TestLookUnreadable(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	must(t, unix.Capget(&header, &caps[0]))
	all := caps[0].Effective
	caps[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	must(t, unix.Capset(&header, &caps[0]))
	defer func() {
		caps[0].Effective = all
		must(t, unix.Capset(&header, &caps[0]))
	}()

	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "1")
	must(t, os.Chmod(dir+"/f", 0))
	for _, path := range []string{dir, dir + "/f"} {
		l, err := new(Scanner).Look(path, Filter{})
		if want := "open " + dir + "/f: permission denied"; err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
		if names, ok := l.Places[dir]; !ok || names != nil && !names["f"] {
			t.Errorf("%s: what could make it readable is not among %v", path, l.Places)
		}
	}
}
