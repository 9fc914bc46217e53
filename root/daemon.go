package root

import (
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// A Daemon is a daemon of a bundle. Only Spec is required.
//
// The functions are called by root and by the daemon's actor, so they must not block.
type Daemon struct {
	// Spec describes the daemon. It must not be changed after it was passed to [New] or in an [Update].
	Spec child.Spec
	// Spawner starts its processes; nil means [Config].Spawner.
	Spawner child.Spawner
	// Observe, if not nil, is called for its events, in order, in place of [Config].Observe; and for [EventShutdown].
	Observe func(child.Event)
	// Attach, if not nil, is called once, before anything is started. Facts about the daemon's process ([child.Ready],
	// [child.Unhealthy], [child.Stopping], [child.Extend], [child.Note]) are passed to tell, from any goroutine.
	Attach func(tell func(child.Fact))
	// Data is copied to [child.Status].Data. It is not looked at.
	Data any
	// Close, if not nil, is called once, when the daemon has left the bundle by an [Update] and nothing more will be reported of it,
	// or when it was not added or already there ([Update]). It is not called at the end of the bundle.
	Close func()
}

// A node is what root knows of a daemon.
type node struct {
	Daemon
	own        bool        // Observe is the daemon's own
	spec       *child.Spec // the newest; an Update may have changed it
	ref        actor.Ref[child.Msg]
	child      *child.Child
	deps       []*node // as in spec.After; nil for one that has already left, if this one leaves too
	dependents []*node
	status     child.Status // may be old; exact if Seen equals sent
	sent       uint64       // the number of commands that were sent to the child
	begun      bool         // was told to start, or will not be started by itself any more
	waits      string       // what it waits for
	follows    *node        // is being restarted; this one will be restarted after it
	followsAt  uint64       // the Status.Seen of follows that reflects the restart
	endSent    bool         // was told to end
	gone       bool         // its actor has ended
	died       bool         // has ended, without a restart due, since it got its definition

	revision *child.Revise // will be sent when it is its turn
	revising bool          // the revision was sent and is not done
	leaving  leave
}

// leave says how far a daemon has come that leaves the bundle.
type leave int

const (
	stays   leave = iota
	leaves        // will be stopped when the dependents that leave too are gone
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

// hand passes on a fact about a process; other messages are dropped.
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

// link sets the dependencies and dependents of all nodes.
func (r *Root) link() {
	by := make(map[string]*node, len(r.nodes)) // names are unique: a daemon that returns is the node that was leaving
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

// node returns the daemon of that name, unless it leaves.
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
