package child

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// credential resolves User and Groups as Docker does: a name or number that /etc/passwd knows brings its group and the
// groups that list it, a number that it does not know has group 0; a group that is named replaces all these. It returns
// nil where the process would get just what we have, so that no privilege is needed.
func credential(spec *Spec) (*syscall.Credential, error) {
	if spec.User == "" && len(spec.Groups) == 0 {
		return nil, nil
	}
	cred := &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	name, group, hasGroup := strings.Cut(spec.User, ":")
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
	for _, g := range spec.Groups {
		gid, err := findGroup(g)
		if err != nil {
			return nil, err
		}
		cred.Groups = append(cred.Groups, gid)
	}
	if os.Getuid() != 0 && len(spec.Groups) == 0 && cred.Uid == uint32(os.Getuid()) && cred.Gid == uint32(os.Getgid()) {
		return nil, nil
	}
	return cred, nil
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
