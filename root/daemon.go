package root

import (
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// A Daemon is a daemon of a bundle. Only Spec is required.
//
// Its functions are called on the goroutines of root and of the daemon's actor, so they must not block.
type Daemon struct {
	// Spec describes the daemon. It must not be changed after it was passed to [New] or in an [Update].
	Spec child.Spec
	// Spawner starts its processes; nil means [Config].Spawner.
	Spawner child.Spawner
	// Observe, if not nil, is called in place of [Config].Observe for the daemon's events that package child defines, in order. It
	// is also called for [EventShutdown].
	Observe func(child.Event)
	// Attach, if not nil, is called once, before the daemon is started. Call tell, from any goroutine, to report facts about the
	// daemon's process ([child.Ready], [child.Unhealthy], [child.Stopping], [child.Extend], [child.Note]).
	Attach func(tell func(child.Fact))
	// Data is copied to [child.Status].Data. The package does not use it.
	Data any
	// Close, if not nil, is called once, when an [Update] has removed the daemon and nothing more will be reported about it, or
	// when an Update did not add this Daemon, because it was refused or the bundle already has the daemon. It is not called when
	// the bundle ends.
	Close func()
}

// A node is root's record of a daemon.
type node struct {
	Daemon
	own        bool        // Observe was set in the Daemon
	spec       *child.Spec // the newest; an Update may have changed it
	ref        actor.Ref[child.Msg]
	child      *child.Child
	deps       []*node // in the order of spec.After; nil for a daemon that has already left, if this one leaves too
	dependents []*node
	status     child.Status // can be out of date; exact if Seen equals sent
	sent       uint64       // the number of messages that were sent to the child
	begun      bool         // it was told to start, or will be started only by a command
	waits      string       // the reason why it waits
	follows    *node        // the dependency that is being restarted, after which this daemon will be restarted
	followsAt  uint64       // the Status.Seen of follows from which its status reflects the restart
	endSent    bool         // it was told to end
	gone       bool         // its actor has ended
	died       bool         // it has ended, and no restart is due, since it got its definition

	revision *child.Revise // will be sent when its dependencies are ready for it
	revising bool          // the revision was sent and is not done yet
	leaving  leave
	going    *departure // with whom it leaves; nil if it stays
}

// A leave is the progress of a daemon that leaves the bundle.
type leave int

const (
	stays   leave = iota
	leaves        // it will be stopped when the dependents that leave too are gone
	stopped       // it was told to stop
	retired       // it is dead, and its actor was told to end
)

// add returns a new node for a daemon.
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

// hand sends a fact about a process to a child, and drops other messages.
func hand(to actor.Ref[child.Msg], m child.Msg) {
	switch m.(type) {
	case child.Ready, child.Unhealthy, child.Stopping, child.Extend, child.Note:
		_ = to.Tell(m) // fails if the child has just ended
	}
}

// run starts the goroutine of a child.
func (r *Root) run(n *node) {
	r.children.Go(func() error {
		err := n.child.Run()
		_ = r.actor.Ref().Tell(gone{n, err})
		return err
	})
}

// link sets the dependencies and dependents of all nodes.
func (r *Root) link() {
	by := make(map[string]*node, len(r.nodes)) // names are unique: a daemon that is added while it leaves keeps its node
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

// node returns the daemon of that name, or nil if there is none or it is leaving.
func (r *Root) node(name string) *node {
	for _, n := range r.nodes {
		if n.spec.Name == name && n.leaving == stays {
			return n
		}
	}
	return nil
}

// find returns the daemon of that name, or all daemons of the service of that name, without those that are leaving.
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
