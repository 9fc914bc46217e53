package shim

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// abi is the kernel's version of Landlock.
func abi(t testing.TB) int {
	t.Helper()
	abi := kernel.Landlock()
	if abi < 2 {
		t.Skipf("the kernel's Landlock has version %d, and walls take 2", abi)
	}
	return abi
}

// The variables of TestLook: it looks at the process with this ID, and tries its way out of the wall with these words.
const lookAt, secretValue = "SHIM_TEST_LOOK_AT", "SHIM_TEST_SECRET=hunter2"

// TestLook is no test: it prints what this process can do to another one.
func TestLook(t *testing.T) {
	pid, err := strconv.Atoi(os.Getenv(lookAt))
	if err != nil {
		return
	}
	file := func(name string) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		return err == nil && len(text) > 0
	}
	link := func(name string) bool {
		_, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
		return err == nil
	}
	word := make([]byte, 8)
	look := map[string]bool{
		"environ": file("environ"), "maps": file("maps"), "auxv": file("auxv"), "cmdline": file("cmdline"), "stat": file("stat"),
		"fd": link("fd/0"), "root": link("root"), "cwd": link("cwd"), "exe": link("exe"),
		"kill": unix.Kill(pid, 0) == nil,
	}
	if f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid)); err == nil {
		look["mem"] = true
		f.Close()
	}
	here := unix.RemoteIovec{Base: uintptr(unsafe.Pointer(&word[0])), Len: len(word)} // the same program: the address is there too
	local := unix.Iovec{Base: &word[0]}
	local.SetLen(len(word))
	_, err = unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{here}, 0)
	look["vm"] = err == nil || err == unix.EFAULT // which was allowed
	look["ptrace"] = unix.PtraceSeize(pid) == nil
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		got, err := unix.PidfdGetfd(fd, 0, 0)
		look["getfd"] = err == nil
		if err == nil {
			unix.Close(got)
		}
		look["pidfd kill"] = unix.PidfdSendSignal(fd, 0, nil, 0) == nil
		unix.Close(fd)
	}
	look["mount"] = unix.Mount("none", "/", "nosuchfs", 0, "") == unix.ENODEV // which is not refused
	names := slices.Sorted(maps.Keys(look))
	names = slices.DeleteFunc(names, func(n string) bool { return !look[n] })
	fmt.Printf("can: %s\n", strings.Join(names, ", "))
}

// can is what a process in a wall can do to another one of the same user.
func can(t *testing.T, user string, attr child.Attr, pid int) []string {
	t.Helper()
	out, err := run(t, &child.Spec{
		Program: child.Program{
			Argv: []string{self, "-test.run=^TestLook$"}, User: user, Dir: "/", Attr: &attr,
			Env: []string{lookAt + "=" + strconv.Itoa(pid), "GORACE=atexit_sleep_ms=0"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "can: "); ok {
			return strings.Split(list, ", ")
		}
	}
	t.Fatalf("it says nothing: %s", out)
	return nil
}

// bystander is a process of that user with a secret in its environment.
func bystander(t *testing.T, user string) int {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	p, err := child.Exec{Shim: Prepare, Stdin: r}.Spawn(&child.Spec{Program: child.Program{Argv: []string{"/bin/cat"}, User: user, Env: []string{secretValue}, Dir: "/", Attr: ordinary()}})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { p.Signal(unix.SIGKILL, false); p.Wait(); p.Release(true) })
	return p.PID()
}

// ordinary is what a container's root has, for this: neither CAP_SYS_ADMIN, CAP_PERFMON nor CAP_SYS_PTRACE.
func ordinary() *child.Attr {
	return &child.Attr{CapDrop: []string{"SYS_ADMIN", "PERFMON", "SYS_PTRACE"}}
}

// TestWallTable: what a process can do to another one of the same user, as root and as nobody, on each version of Landlock up to
// the kernel's.
func TestWallTable(t *testing.T) {
	newest := abi(t)
	users := []string{""}
	if os.Getuid() == 0 {
		users = []string{"", "65534"}
	}
	everything := []string{"auxv", "cmdline", "cwd", "environ", "exe", "fd", "getfd", "kill", "maps", "mem", "pidfd kill", "ptrace", "root", "stat", "vm"}
	const visible, signals = "cmdline stat", "cmdline kill pidfd kill stat"
	for _, user := range users {
		pid := bystander(t, user)
		t.Run("user "+user, func(t *testing.T) {
			without := *ordinary()
			without.NoNewPrivileges = true
			if got := can(t, user, without, pid); !slices.Equal(got, everything) {
				// A container's seccomp profile, or the machine's ptrace_scope, refuses some of them to everybody.
				t.Logf("without a wall: %v", got)
				if !slices.Contains(got, "environ") || !slices.Contains(got, "mem") || !slices.Contains(got, "fd") {
					t.Errorf("without a wall nothing can be read: %v", got)
				}
			}
			for abi := 2; abi <= newest; abi++ {
				for _, wall := range []child.Wall{
					{ABI: abi},
					{ABI: abi, Signals: true},
					{ABI: abi, Signals: true, ReadOnly: true, Writable: []string{"/proc", "/dev"}},
					{ABI: abi, Closed: []string{"/tmp"}},
				} {
					attr := *ordinary()
					attr.Wall = &wall
					want := signals
					if wall.Signals && abi >= 6 {
						want = visible
					}
					if got := strings.Join(can(t, user, attr, pid), " "); got != want {
						t.Errorf("%+v: it can %s; want %s", wall, got, want)
					}
				}
			}
		})
	}
}

// TestWallOfTheMighty: of what a wall closes, root with CAP_SYS_ADMIN can read some on newer kernels, and nothing more. Where the
// kernel scopes signals, the wall of a daemon leaves mount alone, which bubblewrap and the like need.
func TestWallOfTheMighty(t *testing.T) {
	if have, err := current(); err != nil || !have.permitted.has(unix.CAP_SYS_ADMIN) {
		t.Skip("only root has CAP_SYS_ADMIN")
	}
	pid := bystander(t, "")
	newest := abi(t)
	for abi := 2; abi <= newest; abi++ {
		for _, signals := range []bool{false, true} {
			got := can(t, "", child.Attr{Wall: &child.Wall{ABI: abi, Signals: signals}}, pid)
			t.Logf("ABI %d, signals %t: it can %v", abi, signals, got)
			for _, what := range []string{"mem", "fd", "getfd", "root", "cwd", "exe", "ptrace", "vm"} {
				if slices.Contains(got, what) {
					t.Errorf("ABI %d, signals %t: it can %s", abi, signals, what)
				}
			}
			if can, want := slices.Contains(got, "mount"), signals && abi >= 6; can != want {
				t.Errorf("ABI %d, signals %t: mount: got %t, want %t", abi, signals, can, want)
			}
		}
	}
}

// TestWallInside: behind a wall a process can do to its own children what it could do without, rename across directories and
// set no privileges free; and its wall leaves abstract sockets alone.
func TestWallInside(t *testing.T) {
	newest := abi(t)
	for abi := 2; abi <= newest; abi++ {
		for _, wall := range []child.Wall{{ABI: abi}, {ABI: abi, Signals: true}} {
			dir := t.TempDir()
			out, err := run(t, &child.Spec{
				Program: child.Program{
					Argv: []string{"/bin/sh", "-c", `sleep 60 & cat /proc/$!/environ >/dev/null && readlink /proc/$!/root && kill $! && mkdir a b && echo x >a/f && mv a/f b/f && ln b/f a/g && cat a/g; grep NoNewPrivs /proc/self/status`},
					Dir:  dir, Attr: &child.Attr{Wall: &wall}, Env: []string{"PATH=/usr/bin:/bin"},
				},
			})
			if want := "/\nx\nNoNewPrivs:\t1\n"; err != nil || out != want {
				t.Errorf("%+v: got %q, %v, want %q", wall, out, err, want)
			}
		}
	}
}

// TestWallWrites: which files can be changed, by what is closed and what is not.
func TestWallWrites(t *testing.T) {
	newest := abi(t)
	base := t.TempDir()
	if os.Getuid() == 0 {
		base, _ = os.MkdirTemp("/var/tmp", "shim-wall-")
		t.Cleanup(func() { os.RemoveAll(base) })
	}
	base, err := filepath.EvalSymlinks(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"data", "data/conf", "data/conf/cache", "data/other", "free"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"file", "data/conf/file"} {
		if err := os.WriteFile(filepath.Join(base, file), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("data", filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(base, n))
		}
		return paths
	}
	all := []string{"data/new", "data/conf/new", "data/conf/file", "data/conf/cache/new", "data/other/new", "free/new", "file"}
	for _, tt := range []struct {
		name string
		wall child.Wall
		want []string
	}{
		{"nothing closed", child.Wall{}, all},
		{"read-only", child.Wall{ReadOnly: true}, nil},
		{"read-only but one", child.Wall{ReadOnly: true, Writable: in("free", "nowhere")}, []string{"free/new"}},
		{"read-only but a file", child.Wall{ReadOnly: true, Writable: in("file")}, []string{"file"}},
		{"by a symbolic link", child.Wall{ReadOnly: true, Writable: in("link/other")}, []string{"data/other/new"}},
		{"one closed in one that is not", child.Wall{ReadOnly: true, Writable: in("data"), Closed: in("data/conf")}, []string{"data/other/new"}},
		{"one closed", child.Wall{Closed: in("data/conf")}, []string{"data/other/new", "free/new", "file"}},
		{"one closed, by a link", child.Wall{Closed: in("link/conf", "nowhere")}, []string{"data/other/new", "free/new", "file"}},
		{"one in one that is closed", child.Wall{Closed: in("data"), Writable: in("data/conf/cache")}, []string{"data/conf/cache/new", "free/new", "file"}},
	} {
		for abi := 2; abi <= newest; abi++ {
			wall := tt.wall
			wall.ABI = abi
			wall.Writable = append(slices.Clip(wall.Writable), "/dev") // the shell's /dev/null
			out, err := run(t, &child.Spec{
				Program: child.Program{
					Argv: append([]string{"/bin/sh", "-c", `for f in "$@"; do if (: >>$f) 2>/dev/null; then echo $f; fi; done`, "sh"}, all...),
					Dir:  base, Env: []string{"PATH=/usr/bin:/bin"}, Attr: &child.Attr{Wall: &wall},
				},
			})
			if got := strings.Fields(out); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s, ABI %d: got %q, %v, want %q", tt.name, abi, got, err, tt.want)
			}
			for _, name := range all {
				if strings.HasSuffix(name, "new") {
					os.Remove(filepath.Join(base, name))
				}
			}
		}
	}
}
