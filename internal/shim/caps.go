package shim

import (
	"fmt"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// A capSet is a set of capabilities, as in /proc/PID/status.
type capSet uint64

func (s capSet) has(c int) bool { return s>>c&1 != 0 }

// capNames are the capabilities by the kernel's number.
var capNames = kernel.Capabilities()

// String names the capabilities.
func (s capSet) String() string {
	var names []string
	for c := range 64 {
		switch {
		case !s.has(c):
		case c < len(capNames):
			names = append(names, capNames[c])
		default:
			names = append(names, fmt.Sprintf("capability %d", c))
		}
	}
	return strings.Join(names, ", ")
}

// parseCaps reads names, of which ALL is kept apart.
func parseCaps(names []string) (set capSet, all bool, err error) {
next:
	for _, name := range names {
		bare := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if bare == "ALL" {
			all = true
			continue
		}
		for c, known := range capNames {
			if bare == known {
				set |= 1 << c
				continue next
			}
		}
		return 0, false, fmt.Errorf("there is no capability %q", name)
	}
	return set, all, nil
}

// A change is what cap_add and cap_drop say.
type change struct {
	Add, Drop       capSet
	AddAll, DropAll bool
}

func (c change) none() bool { return c == change{} }

// A privilege is what a process has.
type privilege struct {
	bounding, permitted, inheritable, ambient capSet
	root                                      bool // its user ID is 0
}

// apply returns what a process that has p gets by c, where it becomes root or stays it, or else another user.
func (c change) apply(p privilege, root bool) (privilege, error) {
	have := p.permitted
	if p.root { // a program that root executes has all of the bounding set
		have = p.bounding
	}
	if missing := c.Add &^ have; missing != 0 {
		return privilege{}, fmt.Errorf("cannot add capabilities that the supervisor does not have: %s", missing)
	}
	var want capSet
	switch {
	case c.AddAll:
		want = have &^ c.Drop
	case c.DropAll:
		want = c.Add
	default:
		want = have&^c.Drop | c.Add
	}
	to := privilege{bounding: want, root: root, ambient: p.ambient & want}
	switch {
	case root:
		to.permitted = p.permitted & want
		to.inheritable = p.inheritable & want
		return to, nil
	case p.root: // who was root loses them with the user ID
		to.ambient = 0
	}
	to.ambient |= c.Add & want
	to.permitted, to.inheritable = to.ambient, to.ambient
	return to, nil
}
