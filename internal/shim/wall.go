package shim

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
)

// Any domain separates its processes from those outside, if it restricts something at all. The scope of signals alone does
// so at no cost for files, and leaves mount(2) alone, which is refused where there are rights of files.
const (
	// littleRights are rights of files that can be handled and then be allowed everywhere, with no effect but the domain's.
	// Where any is handled and REFER is not, that is refused.
	littleRights = unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	// writeRights change content or names.
	writeRights = fileRights | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	// fileRights are those of writeRights that a rule about a file can have.
	fileRights = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// The versions of Landlock since which there is what is used here.
const (
	abiTruncate = 3
	abiScope    = 6
)

// ruleset makes the Landlock ruleset of a wall, in a descriptor that the execve closes.
func ruleset(w *child.Wall) (fd int, err error) {
	attr := unix.LandlockRulesetAttr{}
	if w.Signals && w.ABI >= abiScope {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
	}
	b := &builder{closed: resolved(w.Closed)}
	roots := []string{"/"}
	switch {
	case w.ReadOnly:
		b.rights, roots = writeRights, w.Writable
	case len(b.closed) > 0:
		b.rights, roots = writeRights, append(roots, w.Writable...)
	case attr.Scoped == 0:
		b.rights = littleRights
	default:
		roots = nil
	}
	if w.ABI < abiTruncate {
		b.rights &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	attr.Handled_access_fs = b.rights
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return -1, errno
	}
	b.ruleset = int(set)
	for _, root := range resolved(roots) {
		if err := b.allow(root); err != nil {
			unix.Close(b.ruleset)
			return -1, err
		}
	}
	return b.ruleset, nil
}

// wallError is what could not be done, and why, of an error of ruleset.
func wallError(err error) (what string, reason error) {
	var path *os.PathError
	if errors.As(err, &path) {
		return "its wall: " + path.Op + " " + path.Path, path.Err
	}
	return "its wall", err
}

// resolved are the paths that are there, without symbolic links.
func resolved(paths []string) (out []string) {
	for _, path := range paths {
		if path, err := filepath.EvalSymlinks(path); err == nil {
			out = append(out, path)
		}
	}
	return out
}

// A builder adds rules to a ruleset.
type builder struct {
	ruleset int
	rights  uint64
	closed  []string
}

// allow allows the rights at path, which is no symbolic link, and below, save for what is closed. Landlock knows no exceptions: to
// leave out something is to allow everything beside it.
func (b *builder) allow(path string) error {
	below := func(closed string) bool { return strings.HasPrefix(closed, strings.TrimSuffix(path, "/")+"/") }
	switch {
	case slices.Contains(b.closed, path):
		return nil
	case !slices.ContainsFunc(b.closed, below):
		return b.rule(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink != 0 { // what it names is beside something itself
			continue
		}
		if err := b.allow(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// rule allows the rights at path and below.
func (b *builder) rule(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT { // it was there a moment ago
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: b.rights, Parent_fd: int32(fd)}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		attr.Allowed_access &= fileRights
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(b.ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return &os.PathError{Op: "landlock_add_rule", Path: path, Err: errno}
	}
	return nil
}
