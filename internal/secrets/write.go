package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/bot-bottle/sidecar-init/internal/bounded"
)

// prepare writes the content beside the target; "" means that the target has it already, with this owner and mode. Who may not read
// the target can never read that file either.
func (f *File) prepare() (name string, err error) {
	if f.Content == nil {
		return "", fmt.Errorf("the variable %s, whose value it is, is not set", f.Variable)
	}
	uid, gid, err := f.owner()
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(f.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(f.Target), 0o755); err != nil {
			return "", fmt.Errorf("cannot make the directory of %s: %w", f.Target, err)
		}
	case err != nil:
		return "", fmt.Errorf("cannot look at what is there: %w", err)
	case info.IsDir():
		return "", fmt.Errorf("%s is there, and is a directory", f.Target)
	case info.Mode()&fs.ModeSymlink != 0: // which is replaced, and what it leads to is not
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is there, and is not a plain file", f.Target)
	default:
		has := info.Sys().(*syscall.Stat_t)
		if info.Mode() == f.Mode && int(has.Uid) == uid && int(has.Gid) == gid && info.Size() == int64(len(*f.Content)) {
			if text, err := bounded.ReadFile(f.Target); err == nil && string(text) == *f.Content {
				return "", nil
			}
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.Target), ".sidecar-init-*") // 0600, and ours
	if err != nil {
		return "", fmt.Errorf("cannot write %s: %w", f.Target, reason(err))
	}
	_, err = tmp.WriteString(*f.Content)
	if err == nil {
		err = tmp.Chmod(f.Mode) // first: to change the mode of what is another's takes one capability more
	}
	if err == nil && (uid != os.Geteuid() || gid != os.Getegid()) {
		err = tmp.Chown(uid, gid)
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return "", fmt.Errorf("cannot write %s for user %d and group %d: %w", f.Target, uid, gid, reason(err))
	}
	return tmp.Name(), nil
}

// replace makes a file that was prepared the target.
func (f *File) replace(name string) error {
	err := os.Rename(name, f.Target)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EBUSY):
		err = errors.New("it is a mount of its own: say file instead, or another target")
	}
	_ = os.Remove(name)
	return fmt.Errorf("cannot write %s: %w", f.Target, reason(err))
}

// owner is the user and the group whose file it becomes: UID and GID, else those of User, else our own.
func (f *File) owner() (uid, gid int, err error) {
	uid, gid = os.Geteuid(), os.Getegid()
	name, group, _ := strings.Cut(f.User, ":")
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			if _, err := strconv.Atoi(name); err != nil {
				return 0, 0, fmt.Errorf("there is no user %q in /etc/passwd", name)
			}
			if u, err = user.LookupId(name); err != nil { // a number needs no entry
				u = &user.User{Uid: name, Gid: "0"}
			}
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	if group != "" {
		if g, err := user.LookupGroup(group); err == nil {
			group = g.Gid
		}
		if gid, err = strconv.Atoi(group); err != nil {
			return 0, 0, fmt.Errorf("there is no group %q in /etc/group", group)
		}
	}
	for _, o := range []struct {
		id *int
		s  string
	}{{&uid, f.UID}, {&gid, f.GID}} {
		if o.s != "" {
			if *o.id, err = strconv.Atoi(o.s); err != nil {
				return 0, 0, fmt.Errorf("%q is not a numeric user or group ID", o.s)
			}
		}
	}
	return uid, gid, nil
}

// reason is an error without the name of a file that nobody knows.
func reason(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
