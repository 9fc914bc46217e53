package bundle

import (
	"fmt"
	"os"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// Walls says around which daemons there is a wall: a Landlock domain, behind which no process outside can be read or signalled.
type Walls string

// The walls of a bundle.
const (
	// WallsAuto: where a service has private_env, around every daemon that runs as root, or as the user of such a service.
	WallsAuto Walls = "auto"
	WallsOn   Walls = "on" // around every daemon
	WallsOff  Walls = "off"
	// WallsRequired is WallsAuto, and nothing is started where a private variable is not enforced by the kernel.
	WallsRequired Walls = "required"
)

// A Ground is what walls stand on.
type Ground struct {
	Lacks string // why there can be no walls; "" if there can
	// Mighty: the supervisor has CAP_SYS_ADMIN, CAP_PERFMON, by which root reads the environment of others through a wall.
	Mighty []string
}

// Stand says what the walls stand on. Where that lacks something there are none. The error, an *Errors, is that they are required and
// something private is not enforced.
func (b *Bundle) Stand(g Ground) error {
	b.ground = &g
	for i := range b.Daemons {
		b.stand(&b.Daemons[i])
	}
	var probs compose.Problems
	if b.Walls == WallsRequired {
		for _, line := range b.Unenforced() {
			probs.Add(b.wallsAt, "walls are required, and the private variables %s", line)
		}
	}
	return probs.Err(b.Files)
}

func (b *Bundle) stand(d *Daemon) {
	if b.ground != nil && b.ground.Lacks != "" {
		d.Wall, d.HelperWall = false, false
	}
}

// Walled are the daemons with a wall.
func (b *Bundle) Walled() (names []string) {
	for i := range b.Daemons {
		if b.Daemons[i].Wall {
			names = append(names, b.Daemons[i].Spec.Name)
		}
	}
	return names
}

// WantsWalls reports whether there would be walls, if there were a ground for them.
func (b *Bundle) WantsWalls() bool {
	return b.Walls == WallsOn || b.Walls != WallsOff && len(b.exposed) > 0
}

// Unenforced are the private variables that the kernel does not keep from other daemons, with their daemon and the reason.
func (b *Bundle) Unenforced() (lines []string) {
	for i := range b.Daemons {
		d := &b.Daemons[i]
		if how := b.Enforced(d); len(d.Private) > 0 && how != enforced {
			lines = append(lines, fmt.Sprintf("%s of %s: %s", strings.Join(d.Private, ", "), d.Spec.Name, how))
		}
	}
	return lines
}

// What is said of private variables.
const (
	enforced   = "enforced by the kernel"
	promised   = "by walls, where the kernel has Landlock"
	unenforced = "by environment only: "
)

// maxWhy is how many daemons are named that can read what is private.
const maxWhy = 3

// Enforced says how the private variables of d are kept from the other daemons; "" where it has none.
func (b *Bundle) Enforced(d *Daemon) string {
	switch {
	case len(d.Private) == 0:
		return ""
	case b.Walls == WallsOff:
		return unenforced + "walls are off"
	case b.ground != nil && b.ground.Lacks != "":
		return unenforced + b.ground.Lacks
	}
	var why []string
	for i := range b.Daemons {
		other := &b.Daemons[i]
		switch {
		case other.Spec.Service == d.Spec.Service:
		case !other.HelperWall && other.reads:
			why = append(why, other.Spec.Name+" has no wall")
		case b.mighty(other) != "":
			why = append(why, other.Spec.Name+" has CAP_"+b.mighty(other))
		}
	}
	switch {
	case len(why) > maxWhy:
		return fmt.Sprintf("%s%s and %d more", unenforced, strings.Join(why[:maxWhy], ", "), len(why)-maxWhy)
	case len(why) > 0:
		return unenforced + strings.Join(why, ", ")
	case b.ground == nil:
		return promised
	}
	return enforced
}

// mighty is a capability by which d reads through walls.
func (b *Bundle) mighty(d *Daemon) string {
	for _, c := range []string{"SYS_ADMIN", "PERFMON"} {
		added := slices.Contains(d.CapAdd, c)
		dropped := !added && (slices.Contains(d.CapDrop, c) || slices.Contains(d.CapDrop, "ALL") && !slices.Contains(d.CapAdd, "ALL"))
		if b.ground != nil && slices.Contains(b.ground.Mighty, c) && (added || d.root && !dropped) {
			return c
		}
	}
	return ""
}

// exposed are the IDs of the users who have something private: those of its services, and the supervisor's own.
func exposed(services []*service) map[string]bool {
	users := map[string]bool{}
	for _, s := range services {
		if len(s.own.private) > 0 {
			users[userID(s.user)], users[userID("")] = true, true
		}
	}
	return users
}

// reads reports whether a process of that user could read what is private to another one. Whoever has an unknown name could be anybody.
func (b *Bundle) reads(user string) bool {
	if len(b.exposed) == 0 {
		return false
	}
	id := userID(user)
	_, err := strconv.ParseUint(id, 10, 32)
	return id == "0" || b.exposed[id] || err != nil
}

// wall says whether d and its helpers are to have a wall.
func (b *Bundle) wall(d *Daemon) {
	own := b.reads(d.Spec.User)
	d.reads = own || slices.ContainsFunc(steps(d), func(s child.Step) bool { return b.reads(s.User) })
	d.root = len(b.exposed) > 0 && userID(d.Spec.User) == "0"
	if b.Walls == WallsOff || d.WallsOff {
		return
	}
	d.Wall = b.Walls == WallsOn || own
	d.HelperWall = d.Wall || d.reads
	b.stand(d)
}

// steps are all of a daemon.
func steps(d *Daemon) []child.Step {
	return slices.Concat(d.Spec.PreStart, d.Spec.PostStart, d.Spec.PreStop)
}

// userID is the number of USER[:GROUP], as package child finds it; or the name, where nobody here has it.
func userID(spec string) string {
	name, _, _ := strings.Cut(spec, ":")
	if name == "" {
		return strconv.Itoa(os.Getuid())
	}
	if u, err := user.Lookup(name); err == nil {
		return u.Uid
	}
	return name
}

// readOnly reads read_only. Landlock makes it so; without that the container must be.
func (r *reader) readOnly(s *service, e compose.Entry) {
	if s.readOnly = r.truth(e.Val, e.Key); s.readOnly {
		s.require(e.At, Requirement{Key: e.Key, Kind: NeedsReadOnly})
		s.note(e.At, "read_only of "+s.name+" is made by Landlock, and covers neither owner, mode, times nor extended attributes of files, and truncation of what is not open for writing from Linux 6.2 on only; without Landlock the container must be started with --read-only")
	}
}

// writable reads x-sidecar-init.writable.
func (r *reader) writable(s *service, n *compose.Node) {
	for i, dir := range r.strings(n, "writable", true) {
		at := n.Items[i].At
		if !path.IsAbs(dir) {
			r.probs.Bad(n.Items[i], "writable must have absolute paths, such as /var/lib/app, not %s", n.Items[i].Show())
			continue
		}
		s.own.writable = append(s.own.writable, path.Clean(dir))
		s.require(at, Requirement{Key: "x-sidecar-init.writable", Kind: NeedsPath, Target: path.Clean(dir)})
	}
}

// changes says which files the daemon may change where it is read-only, or where a volume is.
func (s *service) changes() (writable, closed []string) {
	for i := range s.requires {
		switch q := &s.requires[i]; {
		case q.Key != "volumes" && q.Key != "tmpfs":
		case q.ReadOnly:
			closed = append(closed, q.Target)
		default:
			writable = append(writable, q.Target)
		}
	}
	if !s.readOnly && len(closed) == 0 { // they make no difference
		return nil, nil
	}
	writable = append(writable, s.own.writable...)
	slices.Sort(writable)
	return slices.Compact(writable), closed
}

// What walls take away.
var (
	procOfOthers = lazily(`/proc/[0-9]+/(fd|environ|mem|root|cwd|exe|maps)\b`)
	setUserID    = []string{"sudo", "su", "doas", "pkexec", "newgrp", "chsh", "fusermount", "fusermount3", "newuidmap", "newgidmap"}
	mounts       = []string{"mount", "umount", "bwrap"}
)

// suspectWall warns where the programs of a service count on what its wall takes away.
func (l *loader) suspectWall(s *service, d *Daemon) {
	if !d.Wall && !d.HelperWall {
		return
	}
	programs := [][]string{d.Spec.Argv}
	for _, step := range steps(d) {
		programs = append(programs, step.Argv)
	}
	if d.Health != nil {
		programs = append(programs, d.Health.Test)
	}
	out := "; without its wall it works: x-sidecar-init: { walls: off } of " + s.name
	for _, argv := range programs {
		for _, word := range words(argv) {
			switch base := path.Base(word); {
			case procOfOthers().MatchString(word):
				l.warn(s.at, fmt.Sprintf("%s uses %s, which its wall closes: for the log use /dev/stdout%s", s.name, procOfOthers().FindString(word), out))
			case slices.Contains(setUserID, base):
				l.warn(s.at, fmt.Sprintf("%s uses %s, which is set-user-ID, and gets no privileges behind a wall%s", s.name, base, out))
			case slices.Contains(mounts, base):
				l.warn(s.at, fmt.Sprintf("%s uses %s, and behind a wall nothing can be mounted before Linux 6.12%s", s.name, base, out))
			}
		}
	}
	if l.options.Here && len(d.Spec.Argv) > 0 {
		if info, err := os.Stat(l.find(d.Spec.Argv[0])); err == nil && info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			l.warnings = append(l.warnings, Warning{
				s.at.File, s.at.Line, s.at.Col, fmt.Sprintf("the program of %s is set-user-ID or set-group-ID, and gets no privileges behind a wall%s", s.name, out), true,
			})
		}
	}
}

// words are the program, and the words of scripts of a shell.
func words(argv []string) (out []string) {
	for i, arg := range argv {
		switch {
		case i == 0:
			out = append(out, arg)
		case argv[i-1] == "-c":
			out = append(out, strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\n;|&()<>'\"`", r) })...)
		case procOfOthers().MatchString(arg):
			out = append(out, arg)
		}
	}
	return out
}
