package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
)

// limits are the control groups of the daemons that have limits. They are made when the first one does. The zero limits are ready for use.
type limits struct {
	mu   sync.Mutex
	tree *cgroup.Tree
	why  error // there is none
}

// confine says what of the bundle's limits holds, and makes sure of it; with dry it only looks. The lines are for the log; the error, a
// *bundle.Errors, is that limits are required and do not hold.
func (l *limits) confine(b *bundle.Bundle, dry bool) (lines []string, err error) {
	if len(b.Limited()) == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	why, memory := l.why, int64(0)
	switch {
	case l.tree != nil:
		memory = l.tree.Limit()
	case l.why != nil: // once and for all, so that a definition means the same after a reload
	case dry:
		why = cgroup.Available()
	default:
		if l.tree, why = cgroup.Open(); why == nil {
			memory = l.tree.Limit()
		}
		l.why = why
	}
	return b.Confine(func(d *bundle.Daemon) string {
		if why != nil {
			return why.Error()
		}
		if l.tree == nil {
			return ""
		}
		if lacks := l.tree.Lacks(d.Limits); len(lacks) > 0 {
			return "the container has no controller " + strings.Join(lacks, ", ")
		}
		return ""
	}, memory)
}

// scarce are lines about daemons that use more memory now than they may have when they are started anew.
func (l *limits) scarce(b *bundle.Bundle) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.Daemons {
		d := &b.Daemons[i]
		if l.tree == nil || d.Limits.Memory == 0 {
			continue
		}
		if u, ok := l.tree.Leaf(d.Spec.Name).Usage(); ok && u.Memory > d.Limits.Memory {
			lines = append(lines, fmt.Sprintf("warning: %s:%d:%d: %s uses %s of memory now, and may have %s when it is started anew",
				d.LimitsAt.File, d.LimitsAt.Line, d.LimitsAt.Col, d.Spec.Name, size(u.Memory), size(d.Limits.Memory)))
		}
	}
	return lines
}

// group is the control group of a daemon, for its attributes; nil where it has none.
func (l *limits) group(d *bundle.Daemon) *child.Cgroup {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree == nil || d.Limits.None() {
		return nil
	}
	return l.tree.Leaf(d.Spec.Name).Attr(d.Limits)
}

// leaf is the control group of a daemon, or of a step or check of one, by its attributes; nil where it has none.
func (l *limits) leaf(attr *child.Attr) *cgroup.Leaf {
	if attr == nil || attr.Cgroup == nil {
		return nil
	}
	return &cgroup.Leaf{Dir: attr.Cgroup.Dir}
}

// of is the daemon in whose control group a process is; "" if it is in none of them.
func (l *limits) of(pid int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree == nil {
		return ""
	}
	return l.tree.Of(pid)
}

// usage is what a daemon with a control group of its own uses.
func (l *limits) usage(attr *child.Attr) (u cgroup.Usage, ok bool) {
	leaf := l.leaf(attr)
	if leaf == nil {
		return u, false
	}
	u, ok = leaf.Usage()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil { // the container's own limit can change at any time
		if all := l.tree.Limit(); all != 0 && (u.Limit == 0 || all < u.Limit) {
			u.Limit = all
		}
	}
	return u, ok
}

// close undoes all of it.
func (l *limits) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil {
		l.tree.Close()
		l.tree = nil
	}
}
