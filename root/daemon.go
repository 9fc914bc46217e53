package root

import (
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// A Daemon is one daemon of a bundle, with what belongs to it alone. Only Spec is needed.
//
// The functions are called by root and by the daemon's actor, so none of them may block.
type Daemon struct {
	// Spec describes it. It is not changed after it was handed over.
	Spec child.Spec
	// Spawner starts its processes; nil means that of Config.
	Spawner child.Spawner
	// Observe, unless nil, is told its events, in order, in place of Config.Observe; and that the bundle shuts down.
	Observe func(child.Event)
	// Attach, unless nil, is called once, before anything is started: what is found out about a process (child.Ready,
	// child.Unhealthy, child.Stopping, child.Extend, child.Note) goes to tell, from any goroutine.
	Attach func(tell func(child.Fact))
	// Data is what its user wants to find in its Status; nothing here looks at it.
	Data any
	// Close, unless nil, is called once, when the daemon has left the bundle by an Update and nothing more will be told of it.
	// At the end of the bundle it is not called.
	Close func()
}

// A node is what root knows of a daemon.
type node struct {
	Daemon
	own        bool        // Observe is the daemon's own
	spec       *child.Spec // the newest, which an Update may have changed
	ref        actor.Ref[child.Msg]
	child      *child.Child
	deps       []*node // as in spec.After; nil for one that has left before this one, which leaves too
	dependents []*node
	status     child.Status // a projection; exact where Seen equals sent
	sent       uint64       // commands that the child was told
	begun      bool         // was told to start, or is not to be started by itself any more
	waits      string       // for what it waits
	follows    *node        // is being restarted, and this one is to be restarted after it
	followsAt  uint64       // the Status.Seen of follows that reflects the restart
	told       bool         // to end
	gone       bool         // its actor has ended
	died       bool         // has ended, with nothing due, since it was given its definition

	revision *child.Revise // is to be told when it is its turn
	revising bool          // was told, and has not come to an end
	leaving  leave
}

// leave says how far a daemon is that leaves the bundle.
type leave int

const (
	stays   leave = iota
	leaves        // as soon as the dependents that leave too are gone
	stopped       // was told to stop
	retired       // was told, being dead, to end its actor
)

// add makes the node of a daemon.
func (r *Root) add(d Daemon) *node {
	n := &node{Daemon: d}
	n.spec = &n.Spec
	if n.Spawner == nil {
		n.Spawner = r.cfg.Spawner
	}
	own := n.Observe != nil
	if !own {
		n.Observe = r.cfg.Observe
	}
	n.own = own
	n.child = child.New(n.spec, n.Spawner, child.Hooks{
		Event:  n.Observe,
		Status: func(s child.Status) { _ = r.actor.Ref().Tell(changed{n, s}) },
	})
	n.ref = n.child.Ref()
	n.status = child.Status{Name: n.spec.Name, Spec: n.spec, State: child.StateWaiting, Since: time.Now()}
	if n.spec.Job != "" {
		n.status.State = child.StateScheduled
	}
	if n.Attach != nil {
		n.Attach(func(m child.Fact) { hand(n.ref, m) })
	}
	return n
}

// hand hands on what was found out about a process; what is not a fact is not.
func hand(to actor.Ref[child.Msg], m child.Msg) {
	switch m.(type) {
	case child.Ready, child.Unhealthy, child.Stopping, child.Extend, child.Note:
		_ = to.Tell(m) // it may have just ended
	}
}

// run lets the child live.
func (r *Root) run(n *node) {
	r.children.Go(func() error {
		err := n.child.Run()
		_ = r.actor.Ref().Tell(gone{n, err})
		return err
	})
}

// link finds the dependencies and dependents of all nodes.
func (r *Root) link() {
	by := make(map[string]*node, len(r.nodes)) // no two have one name: who comes back is the one that was leaving
	for _, n := range r.nodes {
		n.deps, n.dependents = nil, nil
		by[n.spec.Name] = n
	}
	for _, n := range r.nodes {
		for _, d := range n.spec.After {
			dep := by[d.Name]
			n.deps = append(n.deps, dep)
			if dep != nil {
				dep.dependents = append(dep.dependents, n)
			}
		}
	}
}

// node is the daemon of that name, unless it leaves.
func (r *Root) node(name string) *node {
	for _, n := range r.nodes {
		if n.spec.Name == name && n.leaving == stays {
			return n
		}
	}
	return nil
}

// find returns the daemon of that name, or all of that service.
func (r *Root) find(name string) []*node {
	if n := r.node(name); n != nil {
		return []*node{n}
	}
	var all []*node
	for _, n := range r.nodes {
		if n.spec.Service == name && n.leaving == stays {
			all = append(all, n)
		}
	}
	return all
}
