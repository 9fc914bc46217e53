// Package needs checks whether the container provides what a bundle file requires.
//
// Guarantees:
//
//  1. It changes nothing and starts nothing.
//  2. It returns within seconds: a name that no resolver answers is missing after lookupTime.
//  3. What it cannot find out counts as missing, with the reason.
package needs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// lookupTime is how long all lookups of names may take together.
const lookupTime = 3 * time.Second

// A Miss is a requirement that the container does not meet.
type Miss struct {
	bundle.Requirement
	Why string
	// Warning: a daemon can do without it.
	Warning bool
}

// String is a line: the place, what is missing, and the flag of docker run that brings it.
func (m *Miss) String() string {
	return fmt.Sprintf("%s: %s: %s; %s", &m.Requirement, m.Key, m.Why, m.Way())
}

// Way is the way out.
func (m *Miss) Way() string {
	switch {
	case m.Kind == bundle.NeedsReadOnly:
		return "start the container with --read-only, or on a kernel with Landlock (Linux 5.19)"
	case len(m.Flag) == 0:
		return "make it in the image, or take it out"
	}
	return "start the container with " + m.FlagText()
}

// Missing returns those requirements that the container does not meet.
func Missing(all []bundle.Requirement) (missing []Miss) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	l := look{root: "/", landlock: kernel.Landlock()}
	for _, q := range all {
		if why := l.holds(ctx, &q); why != "" {
			missing = append(missing, Miss{q, why, q.Kind == bundle.NeedsShm})
		}
	}
	return missing
}

// A look has what is looked at once.
type look struct {
	root   string // of the file system; tests have another one
	mounts []string
	// landlock is the kernel's version of it; read_only takes 2.
	landlock int
}

// holds says why a requirement does not hold; "" if it does.
func (l *look) holds(ctx context.Context, q *bundle.Requirement) string {
	target := filepath.Join(l.root, q.Target)
	switch q.Kind {
	case bundle.NeedsPath:
		if _, err := os.Stat(target); err != nil {
			return q.Target + " is not there" + because(err)
		}
	case bundle.NeedsMount:
		return l.mount(q.Target, target)
	case bundle.NeedsTmpfs:
		var st unix.Statfs_t
		switch err := unix.Statfs(target, &st); {
		case err != nil:
			return q.Target + " is not there" + because(err)
		case int64(st.Type) != unix.TMPFS_MAGIC:
			return q.Target + " is not a tmpfs"
		}
	case bundle.NeedsReadOnly:
		var st unix.Statfs_t
		if err := unix.Statfs(l.root, &st); l.landlock < 2 && (err != nil || st.Flags&unix.ST_RDONLY == 0) {
			return "/ can be written to, and there is no Landlock that could keep " + q.Service + " from it"
		}
	case bundle.NeedsHost:
		return l.host(ctx, q.Target, q.Value)
	case bundle.NeedsSysctl:
		return l.sysctl(q.Target, q.Value)
	case bundle.NeedsDevice:
		info, err := os.Stat(target)
		switch {
		case err != nil:
			return q.Target + " is not there" + because(err)
		case info.Mode()&fs.ModeDevice == 0 && !info.IsDir():
			return q.Target + " is no device"
		}
	case bundle.NeedsShm:
		var st unix.Statfs_t
		if err := unix.Statfs(target, &st); err != nil {
			return q.Target + " is not there" + because(err)
		}
		if has := int64(st.Blocks) * int64(st.Bsize); has < q.Size {
			return fmt.Sprintf("%s has %d bytes, of which %d are wanted", q.Target, has, q.Size)
		}
	}
	return ""
}

// because is the reason of an error, unless that is that the thing is not there.
func because(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return " to be seen: " + err.Error()
}

// mount says whether a path is on a mount other than that of /.
func (l *look) mount(name, target string) string {
	at, err := filepath.EvalSymlinks(target)
	if err != nil {
		return name + " is not there" + because(err)
	}
	if l.mounts == nil {
		if l.mounts, err = mountPoints(filepath.Join(l.root, "proc/self/mountinfo")); err != nil {
			return "it cannot be found out whether " + name + " is a mount: " + err.Error()
		}
	}
	for ; at != "/" && at != "."; at = path.Dir(at) {
		if slices.Contains(l.mounts, at) {
			return ""
		}
	}
	return name + " is no mount: what is written there is lost with the container"
}

// mountPoints are the fifth fields of mountinfo; see proc_pid_mountinfo(5).
func mountPoints(file string) (points []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			points = append(points, unescape(fields[4]))
		}
	}
	return points, lines.Err()
}

// unescape gives back the characters that the kernel writes as \040.
func unescape(s string) string {
	for i := 0; i+3 < len(s); i++ {
		if s[i] == '\\' {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				s = s[:i] + string(byte(c)) + s[i+4:]
			}
		}
	}
	return s
}

// host says whether a name means an address; with host-gateway any will do, since only the engine knows it.
func (l *look) host(ctx context.Context, name, address string) string {
	has := l.hosts(name)
	if len(has) == 0 {
		var err error
		if has, err = net.DefaultResolver.LookupHost(ctx, name); err != nil || len(has) == 0 {
			return "the name " + name + " means nothing"
		}
	}
	want := net.ParseIP(address)
	if address == "host-gateway" || want != nil && slices.ContainsFunc(has, func(a string) bool { return want.Equal(net.ParseIP(a)) }) {
		return ""
	}
	return fmt.Sprintf("the name %s means %s, not %s", name, strings.Join(has, ", "), address)
}

// hosts are the addresses of a name in /etc/hosts.
func (l *look) hosts(name string) (addresses []string) {
	text, err := os.ReadFile(filepath.Join(l.root, "etc/hosts"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) > 1 && slices.ContainsFunc(fields[1:], func(n string) bool { return strings.EqualFold(n, name) }) {
			addresses = append(addresses, fields[0])
		}
	}
	return addresses
}

// sysctl says whether a kernel parameter has the fields of a value.
func (l *look) sysctl(name, value string) string {
	if strings.Contains(name, "..") {
		return name + " is not a kernel parameter"
	}
	text, err := os.ReadFile(filepath.Join(l.root, "proc/sys", strings.ReplaceAll(name, ".", "/")))
	if err != nil {
		return "the kernel parameter " + name + " is not there" + because(err)
	}
	if has := strings.Fields(string(text)); !slices.Equal(has, strings.Fields(value)) {
		return fmt.Sprintf("the kernel parameter %s is %q, not %q", name, strings.Join(has, " "), value)
	}
	return ""
}
