// Package hosts makes names resolve to 127.0.0.1, by a marked block of lines in /etc/hosts.
//
// Guarantees:
//
//  1. Look changes nothing, and returns within seconds.
//  2. Write changes only what is between the marks. It writes in place, since container engines mount the file.
//  3. No name gets a second meaning: Look returns an error for a name that already resolves to something else.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/bounded"
)

const (
	address = "127.0.0.1"
	begin   = "# begin sidecar-init: the services of the bundle file (x-sidecar-init.hosts)\n"
	end     = "# end sidecar-init\n"
	// lookupTime is how long all lookups of names may take together.
	lookupTime = 3 * time.Second
)

// A File is the one that names are looked up in. The zero value is /etc/hosts.
type File struct {
	// Path and Mounts are the file and the kernel's table of mounts, if they are others.
	Path, Mounts string
	// Ours: the file may be written though it is no mount. PID 1 of a container may write it.
	Ours bool
	// Lookup resolves a name, if not by the system.
	Lookup func(ctx context.Context, name string) ([]string, error)
}

// An Error says which names cannot be made to mean 127.0.0.1.
type Error struct {
	Names  []string
	Reason string
}

// Error is the reason with the way out.
func (e *Error) Error() string {
	if len(e.Names) == 0 {
		return e.Reason
	}
	return e.Reason + "; start the container with " + strings.Join(e.Flags(), " ")
}

// Flags are the words of docker run that make the names mean 127.0.0.1.
func (e *Error) Flags() (flags []string) {
	for _, name := range e.Names {
		flags = append(flags, "--add-host "+name+"="+address)
	}
	return flags
}

// A Change is what has to be written. Its zero value is nothing.
type Change struct {
	path, text string
	names      []string
}

// Look finds out what has to be written so that exactly these names are in the block; none takes it away. A name that means 127.0.0.1
// without it is not in it. The error is an *Error.
func (f File) Look(names []string) (Change, error) {
	c := Change{path: f.Path}
	if c.path == "" {
		c.path = "/etc/hosts"
	}
	data, err := bounded.ReadFile(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Change{}, &Error{names, fmt.Sprintf("cannot read %s: %v", c.path, cause(err))}
	}
	rest, block := cut(string(data))
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	text, wrong := begin, &Error{}
	for _, name := range names {
		has := meaning(rest, name)
		switch {
		case slices.Contains(has, address):
			continue
		case len(has) == 0 && len(meaning(block, name)) == 0: // what our own block says, a resolver would say too
			has = f.lookup(ctx, name)
		}
		if slices.ContainsFunc(has, func(a string) bool { return a != address }) {
			wrong.Names = append(wrong.Names, name)
			wrong.Reason += fmt.Sprintf("; the name %s means %s already", name, strings.Join(has, ", "))
			continue
		}
		text += address + "\t" + name + "\n"
		c.names = append(c.names, name)
	}
	if wrong.Reason = strings.TrimPrefix(wrong.Reason, "; "); wrong.Reason != "" {
		return Change{}, wrong
	}
	if rest != "" && !strings.HasSuffix(rest, "\n") {
		rest += "\n"
	}
	if c.text = rest; len(c.names) > 0 {
		c.text += text + end
	}
	if c.text == string(data) || len(c.names) == 0 && block == "" {
		return Change{}, nil
	}
	if !f.Ours && !f.mounted(c.path) {
		return Change{}, &Error{c.names, c.path + " is not this container's alone, as far as can be seen (no mount of its own, and this is not PID 1)"}
	}
	if err := syscall.Access(c.path, 2); err != nil && !errors.Is(err, fs.ErrNotExist) { // W_OK
		return Change{}, &Error{c.names, fmt.Sprintf("cannot write %s: %v", c.path, err)}
	}
	return c, nil
}

// Write makes the change. The error is an *Error.
func (c Change) Write() error {
	if c.path == "" {
		return nil
	}
	file, err := os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err == nil {
		_, err = file.WriteString(c.text)
		if err == nil {
			err = file.Truncate(int64(len(c.text)))
		}
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return &Error{c.names, fmt.Sprintf("cannot write %s: %v", c.path, cause(err))}
	}
	return nil
}

// cut takes the block out of the file.
func cut(text string) (rest, block string) {
	before, after, found := strings.Cut(text, begin)
	if !found {
		return text, ""
	}
	inside, behind, found := strings.Cut(after, end)
	if found {
		return before + behind, inside
	}
	// Somebody has taken the end away: ours are the lines that look so.
	for line := range strings.Lines(after) {
		if !strings.HasPrefix(line, address+"\t") {
			break
		}
		block += line
	}
	return before + after[len(block):], begin + block
}

// meaning are the addresses of a name in the text of a file of hosts.
func meaning(text, name string) (addresses []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) > 1 && slices.ContainsFunc(fields[1:], func(n string) bool { return strings.EqualFold(n, name) }) {
			addresses = append(addresses, fields[0])
		}
	}
	return addresses
}

func (f File) lookup(ctx context.Context, name string) []string {
	look := f.Lookup
	if look == nil {
		look = net.DefaultResolver.LookupHost
	}
	has, err := look(ctx, name)
	if err != nil {
		return nil
	}
	return has
}

// mounted reports whether a mount has the file as its root; see proc_pid_mountinfo(5).
func (f File) mounted(name string) bool {
	table := f.Mounts
	if table == "" {
		table = "/proc/self/mountinfo"
	}
	data, err := os.ReadFile(table)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == name {
			return true
		}
	}
	return false
}

// cause is the error without the operation and the path.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
