package kernel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOwn: to ask leaves nothing behind, and a no is not due to how it was asked. (A refusal by the system is a test of
// those that rely on the feature.)
func TestOwn(t *testing.T) {
	before := descriptors(t)
	got := ask()
	t.Logf("%+v", got)
	if after := descriptors(t); !slices.Equal(after, before) {
		t.Errorf("descriptors: got %q, want %q", after, before)
	}
	if Own() != got {
		t.Errorf("Own: got %+v, want %+v", Own(), got)
	}
	if status, _ := os.ReadFile("/proc/self/status"); !bytes.Contains(status, []byte("\nSeccomp:\t0\n")) {
		t.Skip("a seccomp filter may refuse what the kernel has")
	}
	for _, f := range []struct {
		name  string
		have  bool
		since string
	}{
		{"pidfd", got.Pidfd, "5.3"},
		{"signal", got.PidfdSignal, "5.1"},
		{"group signal", got.GroupSignal, "6.9"},
		{"close_range", got.CloseRange, "5.9"},
		{"subreaper", got.Subreaper, "3.4"},
	} {
		if want := version(t, release(t)) >= version(t, f.since); f.have != want {
			t.Errorf("%s: got %t on Linux %s, want it since %s", f.name, f.have, release(t), f.since)
		}
	}
}

func release(t *testing.T) string {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(name.Release[:])
}

func version(t *testing.T, text string) int {
	t.Helper()
	var major, minor int
	if _, err := fmt.Sscanf(text, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return major*1000 + minor
}

func descriptors(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil {
			open = append(open, name+" "+target)
		}
	}
	return open
}

func TestUnified(t *testing.T) {
	for _, tt := range []struct{ name, text, want, err string }{
		{name: "root of its namespace", text: "0::/\n", want: "/"},
		{name: "a slice", text: "0::/user.slice/a b.scope\n", want: "/user.slice/a b.scope"},
		{name: "hybrid", text: "12:pids:/x\n1:name=systemd:/y\n0::/z\n", want: "/z"},
		{name: "version 1", text: "12:pids:/x\n", err: "this process is in no control group of version 2"},
		{name: "outside", text: "0::/../../x\n", err: "the control group /../../x is outside of what can be seen"},
		{name: "nothing", err: "this process is in no control group of version 2"},
	} {
		got, err := unified([]byte(tt.text))
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: got %q, %v, want %q, %s", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestCgroup(t *testing.T) {
	if c, err := cgroup(t.TempDir(), "/proc/self/cgroup"); err == nil {
		t.Errorf("a directory: got %+v", c)
	}
	if c, err := cgroup("/does/not/exist", "/proc/self/cgroup"); err == nil {
		t.Errorf("nothing: got %+v", c)
	}
	c, err := OwnCgroup()
	if err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "cgroup.procs")); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(c.Dir, "kernel-test")
	err = unix.Mkdir(dir, 0o755)
	if err == nil {
		err = unix.Rmdir(dir)
	}
	if c.Writable != (err == nil) {
		t.Errorf("writable: got %t, and a group cannot be made: %v", c.Writable, err)
	}
}
