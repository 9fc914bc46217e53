// Package secrets puts secrets and configs where daemons look for them.
//
// In Compose, a secret or config that is a file is mounted into the container of its service. Here it is in the container already, or
// mounted by whoever runs the container, so only the path under which the daemons open it has to be made. The value of a variable, or
// content in the bundle file, is written there.
//
// Guarantees:
//
//  1. After Ensure has returned nil, each target has the content of its source: it had it before, or it is now a symbolic link to the
//     source. A target without a source has its content, its owner and its mode.
//  2. For a target with a source nothing that exists is replaced or written to, except a dangling link: an earlier start may have made it
//     for a source that has moved since. A target with other content is an error.
//  3. A written target replaces a plain file or a link atomically, and only if everything else is in order. At no moment can anybody
//     read it who may not read the result.
//  4. All errors are returned, not only the first. Contents are compared, but never printed.
package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/sidecar-init/internal/bounded"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// A File is a secret or config.
type File struct {
	Kind   string // "secret" or "config"
	Name   string
	Source string // absolute; empty where Content is written
	Target string // absolute
	At     string // FILE:LINE:COL of its definition

	// Content is the value of Variable, if that has a name; nil where it is not set.
	Content  *string
	Variable string
	// User is USER[:GROUP], as in a bundle file, whose file it becomes; UID and GID, as numbers, go before it.
	User, UID, GID string
	Mode           fs.FileMode
}

// Ensure makes each target have the content of its source, or its own. Directories are made as they are needed.
func Ensure(list []File) error {
	var errs []error
	failed := func(f *File, err error) {
		errs = append(errs, errors.New(printable.Line(fmt.Sprintf("%s: %s %s: %v", f.At, f.Kind, f.Name, err))))
	}
	written := map[string]*File{} // by their targets
	for i := range list {
		f := &list[i]
		if w := written[f.Target]; f.Source == "" && w == nil {
			written[f.Target] = f
		}
	}
	ready := map[*File]string{}
	for i := range list {
		f := &list[i]
		var err error
		switch w := written[f.Target]; {
		case w == nil:
			err = f.ensure()
		case w != f && !w.same(f):
			err = fmt.Errorf("%s is that of %s %s (%s) too, with another content, owner or mode: give each user a target of its own, or both a mode and a uid",
				f.Target, w.Kind, w.Name, w.At)
		case w == f:
			var name string
			if name, err = f.prepare(); name != "" {
				ready[f] = name
			}
		}
		if err != nil {
			failed(f, err)
		}
	}
	for i := range list {
		f := &list[i]
		if name := ready[f]; name != "" && len(errs) > 0 {
			_ = os.Remove(name)
		} else if name != "" {
			if err := f.replace(name); err != nil {
				failed(f, err)
			}
		}
	}
	return errors.Join(errs...)
}

// same reports whether two files that are to be written are alike.
func (f *File) same(o *File) bool {
	if o.Source != "" || (f.Content == nil) != (o.Content == nil) || f.Content != nil && *f.Content != *o.Content {
		return false
	}
	uid, gid, err := f.owner()
	uid2, gid2, err2 := o.owner()
	return f.Mode == o.Mode && uid == uid2 && gid == gid2 && fmt.Sprint(err) == fmt.Sprint(err2)
}

func (f *File) ensure() error {
	source, err := os.Stat(f.Source)
	switch {
	case err != nil:
		return fmt.Errorf("cannot find its file: %w", err)
	case source.IsDir():
		return fmt.Errorf("%s is a directory", f.Source)
	case !source.Mode().IsRegular():
		return fmt.Errorf("%s is not a plain file", f.Source)
	}
	for range 2 {
		if leadsNowhere(f.Target) {
			if err := os.Remove(f.Target); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cannot replace a link that leads nowhere: %w", err)
			}
		}
		if _, err := os.Lstat(f.Target); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(filepath.Dir(f.Target), 0o755); err != nil {
				return fmt.Errorf("cannot make the directory of %s: %w", f.Target, err)
			}
			err := os.Symlink(f.Source, f.Target)
			if errors.Is(err, fs.ErrExist) {
				continue // somebody was faster: look what it is
			}
			if err != nil {
				return fmt.Errorf("cannot make a link: %w", err)
			}
			return nil
		}
		break
	}
	target, err := os.Stat(f.Target)
	switch {
	case err != nil:
		return fmt.Errorf("cannot look at what is there: %w", err)
	case os.SameFile(source, target):
		return nil
	case target.IsDir():
		return fmt.Errorf("%s is there, and is a directory", f.Target)
	case !target.Mode().IsRegular():
		return fmt.Errorf("%s is there, and is not a plain file", f.Target)
	case source.Size() != target.Size():
		return differ(f)
	case source.Size() > bounded.Max:
		return fmt.Errorf("%s is there, and %s is %w, so they are not compared", f.Target, f.Source, bounded.ErrTooLarge)
	}
	same, err := sameContent(f.Source, f.Target)
	switch {
	case err != nil:
		return fmt.Errorf("cannot compare: %w", err)
	case !same:
		return differ(f)
	}
	return nil
}

func differ(f *File) error {
	return fmt.Errorf("%s is there, with another content than %s", f.Target, f.Source)
}

// leadsNowhere reports whether a file is a symbolic link, and there is nothing at its end.
func leadsNowhere(name string) bool {
	if _, err := os.Readlink(name); err != nil {
		return false
	}
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// sameContent compares two files.
func sameContent(one, two string) (bool, error) {
	a, err := os.Open(one)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(two)
	if err != nil {
		return false, err
	}
	defer b.Close()
	bufA, bufB := make([]byte, 16<<10), make([]byte, 16<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		end := errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
		switch {
		case end:
			return errors.Is(errB, io.EOF) || errors.Is(errB, io.ErrUnexpectedEOF), nil
		case errA != nil:
			return false, errA
		case errB != nil:
			return false, errB
		}
	}
}
