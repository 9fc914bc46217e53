package watch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxFiles = 10_000    // entries of directories below one path
	maxBytes = 256 << 20 // content below one path
	maxLinks = 40        // as in the kernel's path walk
	// settled is the age from which a file's ctime tells one content from the next: timestamps are as coarse as a tick, or,
	// on some file systems, two seconds.
	settled = 3 * time.Second
)

// ErrUnstable says that a file changed while it was read: look again later.
var ErrUnstable = errors.New("changed while it was read")

// A Filter chooses the files below a directory. A pattern, of path.Match's syntax, is compared with the path relative to the
// directory and with the base name. What Ignore matches is not looked into, and Include is for files alone; none includes all.
type Filter struct{ Include, Ignore []string }

// A Look is what was found at a path.
type Look struct {
	Sum  [sha256.Size]byte // of names and content
	Gone bool              // the path does not exist; the nearest directory that does is one of Places
	// Places are the directories in which entries decide about Sum, with the names of these (nil: each), and the files of which
	// no directory reports a write (nil).
	Places map[string]map[string]bool
	// Replaced is a file of which only a mount is left. A lookup may see a file at the moment at which it is removed, so that
	// only what two looks found is true.
	Replaced *ReplacedError
}

// A ReplacedError says that a file, mounted by itself, was replaced outside: this container keeps the old one for ever.
type ReplacedError struct {
	Path     string
	dev, ino uint64
}

// Error names the file and the way out.
func (e *ReplacedError) Error() string {
	return e.Path + " was replaced outside of the container; mount its directory"
}

// is says whether both are of the same file.
func (e *ReplacedError) is(other *ReplacedError) bool {
	return e != nil && other != nil && *e == *other
}

// Replaced returns a *ReplacedError if path, or a file below it, is one. What else is wrong with path is not its subject.
func Replaced(path string) error {
	var s Scanner
	first, _ := s.Look(path, Filter{})
	if first.Replaced == nil {
		return nil
	}
	if second, _ := s.Look(path, Filter{}); first.Replaced.is(second.Replaced) {
		return second.Replaced
	}
	return nil
}

// An id names a content of a file without its being read.
type id struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// A Scanner looks at one path, and remembers the sums of files that have not changed since its last look. It is for one
// goroutine.
type Scanner struct {
	old, known map[id][sha256.Size]byte
	now        func() time.Time // nil: time.Now
}

// Look looks at path, which is absolute.
func (s *Scanner) Look(path string, f Filter) (Look, error) {
	w := walk{s: s, f: f, root: path, places: map[string]map[string]bool{}, now: time.Now()}
	if s.now != nil {
		w.now = s.now()
	}
	s.old, s.known = s.known, map[id][sha256.Size]byte{}
	err := w.add(path, ".")
	l := Look{Places: w.places, Replaced: w.replaced}
	if errors.Is(err, fs.ErrNotExist) {
		l.Gone, w.lines, err = true, nil, nil
	}
	slices.Sort(w.lines)
	l.Sum = sha256.Sum256([]byte(strings.Join(w.lines, "")))
	return l, err
}

type walk struct {
	s        *Scanner
	f        Filter
	root     string
	places   map[string]map[string]bool
	replaced *ReplacedError
	lines    []string // one for each file
	above    []id     // the directories that we are in
	files    int
	bytes    int64
	now      time.Time
}

// add adds what path leads to; rel is its name.
func (w *walk) add(path, rel string) error {
	real, st, err := w.resolve(path)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return w.addDir(real, rel, id{dev: uint64(st.Dev), ino: st.Ino})
	case unix.S_IFREG:
		if !w.includes(rel) {
			return nil
		}
		w.mounted(real, rel, st)
		sum, err := w.sum(real, st)
		w.lines = append(w.lines, fmt.Sprintf("%q %x\n", rel, sum))
		return err
	}
	return nil // a FIFO, a socket, a device: opening one may block, or do something
}

func (w *walk) addDir(dir, rel string, me id) error {
	if slices.Contains(w.above, me) {
		return fmt.Errorf("%s: a link leads back to %s", filepath.Join(w.root, rel), dir)
	}
	w.above = append(w.above, me)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	w.places[dir] = nil
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(maxFiles - w.files + 1)
	d.Close()
	if err != nil && err != io.EOF {
		return err
	}
	if w.files += len(names); w.files > maxFiles {
		return fmt.Errorf("%s has more than %d files", w.root, maxFiles)
	}
	slices.Sort(names) // of several mistakes it is always the same that is told
	for _, name := range names {
		below := filepath.Join(rel, name)
		// kubelet's atomic writer keeps names that begin with two dots for itself: the content is what links lead to.
		if strings.HasPrefix(name, "..") || matches(w.f.Ignore, below) {
			continue
		}
		// What vanished since the directory was read, and a link that leads nowhere, are no content.
		if err := w.add(filepath.Join(dir, name), below); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// decides says that the entry name of dir decides about the sum.
func (w *walk) decides(dir, name string) {
	names, ok := w.places[dir]
	if !ok {
		names = map[string]bool{}
		w.places[dir] = names
	}
	if names != nil {
		names[name] = true
	}
}

// mounted makes a place of a file that was mounted by itself, or has other names: a write is reported to the directory of the
// name by which it was opened, and that of a mounted file is outside of the container. Its removal there shows in its link
// count alone. Before Linux 5.8 no file says whether it was mounted.
func (w *walk) mounted(path, rel string, st *unix.Stat_t) {
	var x unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &x)
	asked := err == nil && x.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0
	mount := !asked || x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	if mount || st.Nlink != 1 {
		w.places[path] = nil
	}
	if mount && st.Nlink == 0 {
		w.replaced = &ReplacedError{filepath.Join(w.root, rel), uint64(st.Dev), st.Ino}
	}
}

func (w *walk) includes(rel string) bool {
	return rel == "." || len(w.f.Include) == 0 || matches(w.f.Include, rel)
}

func matches(patterns []string, rel string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		whole, _ := filepath.Match(p, rel)
		base, _ := filepath.Match(p, filepath.Base(rel))
		return whole || base
	})
}

// resolve follows path part by part, because the directory of each link on the way decides as well.
func (w *walk) resolve(path string) (string, *unix.Stat_t, error) {
	real, rest, links := "/", strings.Split(path, "/"), 0
	st := new(unix.Stat_t)
	if err := unix.Lstat(real, st); err != nil {
		return "", nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		next := filepath.Join(real, part) // real has no links, so that .. is its parent
		if err := unix.Lstat(next, st); err != nil {
			w.decides(real, part)
			return "", nil, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		if part != ".." {
			w.decides(real, part)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, &fs.PathError{Op: "stat", Path: path, Err: unix.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", nil, err
		}
		if filepath.IsAbs(target) {
			real = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if err := unix.Lstat(real, st); err != nil { // st may be that of a link, or of what a .. left
		return "", nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return real, st, nil
}

// sum reads the file, unless it is known.
func (w *walk) sum(path string, st *unix.Stat_t) (sum [sha256.Size]byte, err error) {
	if w.bytes += st.Size; w.bytes > maxBytes {
		return sum, fmt.Errorf("%s has more than %d MiB", w.root, maxBytes>>20)
	}
	before := idOf(st)
	if sum, ok := w.s.old[before]; ok {
		w.s.known[before] = sum
		return sum, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) // a FIFO may have taken its place
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, st.Size+1)); err != nil {
		return sum, err
	}
	after := new(unix.Stat_t)
	if err := unix.Fstat(int(f.Fd()), after); err != nil {
		return sum, err
	}
	if idOf(after) != before {
		return sum, fmt.Errorf("%s %w", path, ErrUnstable)
	}
	h.Sum(sum[:0])
	if w.now.Sub(time.Unix(after.Ctim.Unix())) > settled {
		w.s.known[before] = sum
	}
	return sum, nil
}

func idOf(st *unix.Stat_t) id {
	return id{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// Same says whether two looks found the same.
func (l Look) Same(other Look) bool { return l.Gone == other.Gone && l.Sum == other.Sum }
