package child

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrUser is wrapped by the error of [Exec.Shim]'s function where the user and groups of the process could not be set.
var ErrUser = errors.New("cannot become its user")

// credential resolves User and Groups as Docker does: a name or number that /etc/passwd knows brings its group and the
// groups that list it, a number that it does not know has group 0; a group that is named replaces all these. It returns
// nil where the process would get just what we have, so that no privilege is needed.
func credential(p *Program) (*syscall.Credential, error) {
	if p.User == "" && len(p.Groups) == 0 {
		return nil, nil
	}
	cred := &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	name, group, hasGroup := strings.Cut(p.User, ":")
	if name != "" {
		uid, u, err := findUser(name)
		if err != nil {
			return nil, err
		}
		cred.Uid, cred.Gid = uid, 0
		if u != nil {
			cred.Gid = number(u.Gid)
			if !hasGroup {
				ids, _ := u.GroupIds() // no /etc/group: no further groups
				for _, id := range ids {
					cred.Groups = append(cred.Groups, number(id))
				}
			}
		}
	}
	if hasGroup && group != "" {
		gid, err := findGroup(group)
		if err != nil {
			return nil, err
		}
		cred.Gid = gid
	}
	for _, g := range p.Groups {
		gid, err := findGroup(g)
		if err != nil {
			return nil, err
		}
		cred.Groups = append(cred.Groups, gid)
	}
	tooMany, tooFew := groups(cred)
	cred.NoSetGroups = !tooMany && !tooFew
	if isOurs(cred) && !tooFew && (!tooMany || !maySetGroups()) {
		return nil, nil
	}
	if !mapped("/proc/self/uid_map", cred.Uid) {
		return nil, &StartError{Reason: fmt.Sprintf("user %q (%d) is not mapped in this user namespace", name, cred.Uid), Code: 126}
	}
	for _, gid := range append(cred.Groups, cred.Gid) {
		if !mapped("/proc/self/gid_map", gid) {
			return nil, &StartError{Reason: fmt.Sprintf("group %d of user %q is not mapped in this user namespace", gid, p.User), Code: 126}
		}
	}
	return cred, nil
}

// isOurs reports whether the user and the group of cred are those that we have.
func isOurs(cred *syscall.Credential) bool {
	return int(cred.Uid) == os.Getuid() && os.Getuid() == os.Geteuid() && int(cred.Gid) == os.Getgid() && os.Getgid() == os.Getegid()
}

// groups reports whether we have further groups that cred has not, and the other way round. The group of the process itself
// changes nothing as a further one. Whoever may not give up groups that are too many keeps them, if all else stays.
func groups(cred *syscall.Credential) (tooMany, tooFew bool) {
	var ours []uint32
	ids, _ := os.Getgroups()
	for _, id := range ids {
		ours = append(ours, uint32(id))
	}
	lack := func(have, want []uint32) bool {
		return slices.ContainsFunc(want, func(g uint32) bool { return g != cred.Gid && !slices.Contains(have, g) })
	}
	return lack(cred.Groups, ours), lack(ours, cred.Groups)
}

// mapped reports whether the user namespace that has this map knows the ID. Without a map it is for the kernel to say.
func mapped(file string, id uint32) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		var first, outside, n uint64
		if _, err := fmt.Sscan(line, &first, &outside, &n); err != nil || uint64(id) >= first && uint64(id) < first+n {
			return true
		}
	}
	return false
}

// findUser returns the ID of the user, and its entry of /etc/passwd if there is one.
func findUser(name string) (uint32, *user.User, error) {
	if u, err := user.Lookup(name); err == nil {
		return number(u.Uid), u, nil
	}
	n, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, nil, &StartError{Reason: fmt.Sprintf("there is no user %q in /etc/passwd", name), Code: 126}
	}
	u, err := user.LookupId(name)
	if err != nil {
		u = nil // a number needs no entry
	}
	return uint32(n), u, nil
}

func findGroup(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return number(g.Gid), nil
	}
	n, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, &StartError{Reason: fmt.Sprintf("there is no group %q in /etc/group", name), Code: 126}
	}
	return uint32(n), nil
}

// number converts an ID that os/user has read from a file of numbers.
func number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32)
	return uint32(n)
}
