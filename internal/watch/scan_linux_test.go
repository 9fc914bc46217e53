package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

func look(t *testing.T, s *Scanner, path string, f Filter) Look {
	t.Helper()
	l, err := s.Look(path, f)
	must(t, err)
	return l
}

// swap publishes text as the file app of dir, as kubelet's atomic writer does.
func swap(t *testing.T, dir, version, text string) {
	t.Helper()
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	write(t, filepath.Join(dir, version, "app"), text)
	must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")),
		os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if old == "" {
		must(t, os.Symlink("..data/app", filepath.Join(dir, "app")))
	} else {
		must(t, os.RemoveAll(filepath.Join(dir, old)))
	}
}

// A change is one that happens to path, below a directory with a file f.
type change struct {
	name  string
	path  string
	f     Filter
	setup func(t *testing.T, dir string)
	do    func(t *testing.T, dir string)
	same  bool // it is none of content
	gone  bool // it is one that a Watcher does not call for
}

func changesOf() []change {
	return []change{
		{name: "write", path: "f", do: func(t *testing.T, d string) { write(t, d+"/f", "2") }},
		{name: "write of the same", path: "f", do: func(t *testing.T, d string) { write(t, d+"/f", "1") }, same: true},
		{name: "touch", path: "f", do: func(t *testing.T, d string) { must(t, os.Chtimes(d+"/f", time.Now(), time.Now())) }, same: true},
		{name: "chmod", path: "f", do: func(t *testing.T, d string) { must(t, os.Chmod(d+"/f", 0o600)) }, same: true},
		{name: "rename over", path: "f", do: func(t *testing.T, d string) {
			write(t, d+"/tmp", "2")
			must(t, os.Rename(d+"/tmp", d+"/f"))
		}},
		{name: "gone", path: "f", do: func(t *testing.T, d string) { must(t, os.Remove(d+"/f")) }, gone: true},
		{name: "appears", path: "x/y/z", do: func(t *testing.T, d string) { write(t, d+"/x/y/z", "") }},
		{name: "added", path: ".", do: func(t *testing.T, d string) { write(t, d+"/g", "") }},
		{name: "renamed", path: ".", do: func(t *testing.T, d string) { must(t, os.Rename(d+"/f", d+"/g")) }},
		{name: "nested", path: ".", do: func(t *testing.T, d string) { write(t, d+"/a/b/c", "") }},
		{name: "ignored", path: ".", f: Filter{Ignore: []string{"a"}}, do: func(t *testing.T, d string) { write(t, d+"/a/b", "") }, same: true},
		{name: "not included", path: ".", f: Filter{Include: []string{"*.conf"}}, do: func(t *testing.T, d string) { write(t, d+"/a/b", "") }, same: true},
		{name: "included", path: ".", f: Filter{Include: []string{"*.conf"}}, do: func(t *testing.T, d string) { write(t, d+"/a/b.conf", "") }},
		{name: "FIFO", path: ".", do: func(t *testing.T, d string) { must(t, syscall.Mkfifo(d+"/p", 0o600)) }, same: true},
		{
			name: "certificate", path: "live/cert",
			setup: func(t *testing.T, d string) {
				write(t, d+"/archive/cert1", "1")
				write(t, d+"/archive/cert2", "2")
				must(t, os.Mkdir(d+"/live", 0o755), os.Symlink("../archive/cert1", d+"/live/cert"))
			},
			do: func(t *testing.T, d string) {
				must(t, os.Symlink("../archive/cert2", d+"/live/tmp"), os.Rename(d+"/live/tmp", d+"/live/cert"))
			},
		},
		{
			name: "swap with the same content", path: ".", same: true,
			setup: func(t *testing.T, d string) { swap(t, d, "..1", "a") },
			do:    func(t *testing.T, d string) { swap(t, d, "..2", "a") },
		},
	}
}

func TestLook(t *testing.T) {
	for _, tt := range changesOf() {
		t.Run(tt.name, func(t *testing.T) {
			dir, s := t.TempDir(), new(Scanner)
			write(t, dir+"/f", "1")
			if tt.setup != nil {
				tt.setup(t, dir)
			}
			before := look(t, s, filepath.Join(dir, tt.path), tt.f)
			tt.do(t, dir)
			if got := look(t, s, filepath.Join(dir, tt.path), tt.f).Same(before); got != tt.same {
				t.Errorf("same: %t, want %t", got, tt.same)
			}
		})
	}
}

// TestLookSwaps: each swap shows, of the file and of its directory, and the directory of ..data is one to watch.
func TestLookSwaps(t *testing.T) {
	dir := t.TempDir()
	var file, all Scanner
	swap(t, dir, "..0", "0")
	f, d := look(t, &file, dir+"/app", Filter{}), look(t, &all, dir, Filter{})
	for i := 1; i <= 100; i++ {
		swap(t, dir, fmt.Sprintf("..%d", i), fmt.Sprint(i))
		f2, d2 := look(t, &file, dir+"/app", Filter{}), look(t, &all, dir, Filter{})
		if f2.Same(f) || d2.Same(d) {
			t.Fatalf("swap %d was not seen", i)
		}
		f, d = f2, d2
	}
	if got, want := fmt.Sprint(f.Places[dir], f.Places[dir+"/..100"]), "map[..100:true ..data:true app:true] map[app:true]"; got != want {
		t.Errorf("the file is decided by %s, want %s", got, want)
	}
}

func TestLookErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(t *testing.T, dir string)
		want  string
	}{
		{"link to itself", func(t *testing.T, d string) { must(t, os.Symlink("l", d+"/l")) }, "stat DIR/l: too many levels of symbolic links"},
		{"link to above", func(t *testing.T, d string) { must(t, os.Symlink(".", d+"/l")) }, "DIR/l: a link leads back to DIR"},
		{"many files", func(t *testing.T, d string) {
			for i := range maxFiles + 1 {
				must(t, os.Symlink("nowhere", fmt.Sprint(d, "/", i)))
			}
		}, "DIR has more than 10000 files"},
		{"many bytes", func(t *testing.T, d string) {
			write(t, d+"/f", "")
			must(t, os.Truncate(d+"/f", maxBytes+1))
		}, "DIR has more than 256 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.setup(t, dir)
			_, err := new(Scanner).Look(dir, Filter{})
			if got := strings.ReplaceAll(fmt.Sprint(err), dir, "DIR"); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestLookReadsOnce: what has settled is not read again, and what has changed in the same tick is.
func TestLookReadsOnce(t *testing.T) {
	for _, tt := range []struct {
		age  time.Duration
		want int
	}{{0, 0}, {2 * settled, 1}} {
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, "1")
		s := Scanner{now: func() time.Time { return time.Now().Add(tt.age) }}
		look(t, &s, path, Filter{})
		if got := len(s.known); got != tt.want {
			t.Errorf("after %v %d files are known, want %d", tt.age, got, tt.want)
		}
		for k := range s.known {
			s.known[k] = [32]byte{1} // what a read would not find
		}
		before := look(t, new(Scanner), path, Filter{})
		if got := look(t, &s, path, Filter{}).Same(before); got != (tt.want == 0) {
			t.Errorf("after %v it was read again: %t", tt.age, got)
		}
	}
}

// TestLookUnstable: what is written between the look at a file and the end of its read is no content yet.
func TestLookUnstable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "1")
	w := walk{s: new(Scanner), root: path, places: map[string]map[string]bool{}}
	real, st, err := w.resolve(path)
	must(t, err)
	write(t, path, "longer")
	if _, err := w.sum(real, st); !errors.Is(err, ErrUnstable) {
		t.Errorf("got %v, want %v", err, ErrUnstable)
	}
}
