package shim

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
)

// The variables of TestTry: the directory that it tries to change, and one that it may.
const tryIn, tryFree = "SHIM_TEST_TRY", "SHIM_TEST_FREE"

// TestTry is no test: it tries all ways to change something in a directory, and prints those that work.
func TestTry(t *testing.T) {
	dir, free := os.Getenv(tryIn), os.Getenv(tryFree)
	if dir == "" {
		return
	}
	open := func(file string, flags int) (int, error) {
		return unix.Open(filepath.Join(dir, file), flags|unix.O_CLOEXEC, 0o644)
	}
	at := func(file string) string { return filepath.Join(dir, file) }
	var worked []string
	for name, try := range ways(open, at, free) {
		if try() == nil {
			worked = append(worked, name)
		}
	}
	slices.Sort(worked)
	fmt.Printf("\nworked: %s\n", strings.Join(worked, ","))
}

// ways are the ways to change something in a directory, which populate has filled.
func ways(open func(string, int) (int, error), at func(string) string, free string) map[string]func() error {
	opened := func(file string, flags int) func() error {
		return func() error { _, err := open(file, flags); return err }
	}
	return map[string]func() error{
		"create": opened("new", unix.O_WRONLY|unix.O_CREAT), "open": opened("file", unix.O_WRONLY), "append": opened("file", unix.O_WRONLY|unix.O_APPEND),
		"truncate by open": opened("file", unix.O_WRONLY|unix.O_TRUNC), "truncate by open for reading": opened("file", unix.O_RDONLY|unix.O_TRUNC), "temporary file": opened("", unix.O_RDWR|unix.O_TMPFILE),
		"truncate": func() error { return unix.Truncate(at("file"), 0) },
		"mkdir":    func() error { return unix.Mkdir(at("newdir"), 0o755) },
		"rmdir":    func() error { return unix.Rmdir(at("dir")) },
		"unlink":   func() error { return unix.Unlink(at("gone")) },
		"rename":   func() error { return unix.Rename(at("here"), at("there")) },
		"rename into": func() error {
			return unix.Rename(filepath.Join(free, "into"), at("into"))
		},
		"rename out of": func() error { return unix.Rename(at("out"), filepath.Join(free, "out")) },
		"exchange": func() error {
			return unix.Renameat2(unix.AT_FDCWD, at("one"), unix.AT_FDCWD, at("two"), unix.RENAME_EXCHANGE)
		},
		"hard link":     func() error { return unix.Link(filepath.Join(free, "linked"), at("link")) },
		"symbolic link": func() error { return unix.Symlink("x", at("symlink")) },
		"FIFO":          func() error { return unix.Mkfifo(at("fifo"), 0o644) },
		"device":        func() error { return unix.Mknod(at("null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))) },
		"socket": func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: at("socket")})
		},
		"shared map": func() error {
			fd, err := open("mapped", unix.O_RDWR)
			if err != nil {
				return err
			}
			_, err = unix.Mmap(fd, 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			return err
		},
		"mode":               func() error { return unix.Chmod(at("attributes"), 0o600) },
		"owner":              func() error { return unix.Chown(at("attributes"), os.Getuid(), os.Getgid()) },
		"times":              func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, at("attributes"), make([]unix.Timespec, 2), 0) },
		"read":               opened("file", unix.O_RDONLY),
		"list":               func() error { _, err := os.ReadDir(at("")); return err },
		"execute":            func() error { return unix.Access(at("file"), unix.R_OK) },
		"extended attribute": func() error { return unix.Setxattr(at("attributes"), "user.x", []byte("y"), 0) },
	}
}

// populate makes a directory for ways, which everybody may change; the other is free.
func populate(t *testing.T, dir, free string) {
	t.Helper()
	for _, name := range []string{dir, free, filepath.Join(dir, "dir")} {
		if err := os.Mkdir(name, 0o777); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file", "gone", "here", "out", "one", "two", "mapped", "attributes"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"into", "linked"} {
		if err := os.WriteFile(filepath.Join(free, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWallReadOnly: all that changes content and names is refused outside of what is writable, and allowed inside; what Landlock
// does not cover is not.
func TestWallReadOnly(t *testing.T) {
	newest := abi(t)
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Sorted(maps.Keys(ways(nil, nil, "")))
	attributes := []string{"mode", "owner", "times", "extended attribute"}
	n := 0
	try := func(wall *child.Wall, inside bool) []string {
		n++
		dir, free := filepath.Join(base, fmt.Sprint("dir", n)), filepath.Join(base, fmt.Sprint("free", n))
		populate(t, dir, free)
		if wall != nil {
			w := *wall
			w.Writable = append(slices.Clip(w.Writable), free, "/dev")
			switch {
			case inside:
				w.Writable = append(w.Writable, dir)
			case !w.ReadOnly:
				w.Closed = []string{dir}
			}
			wall = &w
		}
		out, err := run(t, &child.Spec{
			Program: child.Program{
				Argv: []string{self, "-test.run=^TestTry$"}, Dir: "/", Attr: &child.Attr{Wall: wall, NoNewPrivileges: true},
				Env: []string{tryIn + "=" + dir, tryFree + "=" + free, "GORACE=atexit_sleep_ms=0"},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, list, found := strings.Cut(out, "\nworked: ")
		list, _, _ = strings.Cut(list, "\n")
		if !found {
			t.Fatalf("it says nothing: %s", out)
		}
		return strings.Split(list, ",")
	}
	could := try(nil, true)
	t.Logf("without a wall, of %d: %v", len(all), could)
	if len(could) < len(all)-4 { // a device takes CAP_MKNOD, an extended attribute and the like a file system
		t.Errorf("without a wall only these work: %v", could)
	}
	for abi := 2; abi <= newest; abi++ {
		for _, wall := range []child.Wall{{ABI: abi, ReadOnly: true}, {ABI: abi}} {
			if got := try(&wall, true); !slices.Equal(got, could) {
				t.Errorf("%+v: inside: got %v, want %v", wall, got, could)
			}
			want := slices.DeleteFunc(slices.Clone(could), func(way string) bool {
				return way != "read" && way != "list" && way != "execute" && !slices.Contains(attributes, way) && (abi >= abiTruncate || way != "truncate" && way != "truncate by open for reading")
			})
			if got := try(&wall, false); !slices.Equal(got, want) {
				t.Errorf("%+v: outside: got %v, want %v", wall, got, want)
			}
		}
	}
}
