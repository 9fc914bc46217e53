package root

import (
	"slices"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// Update says what the bundle is to be from now on: a wanted set, not a list of steps. It is checked as [New] checks a [Config],
// and one that is wrong changes nothing. Daemons are known by their names:
//
//   - one that the bundle does not have is started, when its dependencies hold;
//   - one that the Update does not have is stopped, after the dependents that leave with it, with the grace of a stop by hand;
//     it is in [List] until its actor has ended, and counts no more for the exit code;
//   - one whose Spec is another program ([child.Spec.Compare]) is restarted in place, after what it depends on. One that has
//     ended by itself is started, one that was stopped by hand stays stopped;
//   - one whose Spec differs otherwise goes on under the new one;
//   - the others do not notice.
//
// First goes what leaves, then the restarts, then the starts. An Update never ends the bundle, unless MayEnd is set; a shutdown in the middle of it
// wins as ever. Of a daemon that the bundle has only [Daemon.Spec] is looked at, and Close is called if it is set: what belongs
// to the daemon is what it was added with.
type Update struct {
	// Daemons are those that the bundle is to have, in the order of their start.
	Daemons []Daemon
	// Grace, Routes and ExitCodeFrom are as in Config.
	Grace        time.Duration
	Routes       map[syscall.Signal]Route
	ExitCodeFrom string
	// MayEnd: where all daemons that stay are dead with none to be restarted the bundle ends, as when the last one dies by itself.
	MayEnd bool
	// Reply is answered as soon as the Update was taken or refused, not when it is done.
	Reply actor.Reply[Updated]
}

func (Update) rootMsg() {}

// Updated is the answer to [Update].
type Updated struct {
	// Added, Removed, Restarted and Revised are the daemons that the Update concerns; Unchanged counts the others.
	Added, Removed, Restarted, Revised []string
	Unchanged                          int
	// Err is ErrShuttingDown, or the list of *ConfigErrors, or nil.
	Err error
}

// The events of an [Update].
const (
	EventAdded   child.Kind = "added"   // Daemon belongs to the bundle from now on
	EventRemoved child.Kind = "removed" // Daemon has left the bundle
	EventRevised child.Kind = "revised" // Daemon has a new definition
)

// update takes an Update, or puts it off for the moment that a daemon of one of its names needs to be gone.
func (r *Root) update(u Update) {
	if r.phase != up {
		u.refuse(ErrShuttingDown)
		return
	}
	if slices.ContainsFunc(r.nodes, func(n *node) bool { return n.leaving == retired && u.has(n.spec.Name) }) || len(r.updates) > 0 {
		r.updates = append(r.updates, u)
		return
	}
	if u.Grace == 0 {
		u.Grace = DefaultGrace
	}
	d := definition{grace: u.Grace, routes: u.Routes, exitCodeFrom: u.ExitCodeFrom}
	for i := range u.Daemons {
		d.specs = append(d.specs, &u.Daemons[i].Spec)
	}
	err := d.check()
	if len(u.Daemons) == 0 {
		err = &ConfigError{Field: "Daemons", Reason: "an update that leaves no daemons: to end the bundle, shut it down"}
	}
	if err != nil {
		u.refuse(err)
		return
	}
	u.Reply.Send(r.apply(u))
}

// refuse answers, and gives back what was made for daemons that do not come.
func (u Update) refuse(err error) {
	for i := range u.Daemons {
		u.Daemons[i].discard()
	}
	u.Reply.Send(Updated{Err: err})
}

// discard is for a Daemon that does not become one of the bundle.
func (d *Daemon) discard() {
	if d.Close != nil {
		d.Close()
	}
}

func (u Update) has(name string) bool {
	return slices.ContainsFunc(u.Daemons, func(d Daemon) bool { return d.Spec.Name == name })
}

// apply changes the set of daemons; next does what follows from it.
func (r *Root) apply(u Update) (done Updated) {
	r.cfg.Grace, r.cfg.Routes, r.cfg.ExitCodeFrom = u.Grace, u.Routes, u.ExitCodeFrom
	present := map[string]*node{}
	for _, n := range r.nodes {
		present[n.spec.Name] = n
	}
	var nodes []*node
	for _, d := range u.Daemons {
		n := present[d.Spec.Name]
		delete(present, d.Spec.Name)
		switch {
		case n == nil:
			n = r.add(d)
			r.run(n)
			r.tellOf(EventAdded, n)
			done.Added = append(done.Added, n.spec.Name)
		default:
			r.revise(n, &d.Spec, &done)
			d.discard()
		}
		nodes = append(nodes, n)
	}
	for _, n := range r.nodes { // what goes stays at the end of the list until it is gone
		if present[n.spec.Name] == nil {
			continue
		}
		nodes = append(nodes, n)
		if n.leaving == stays {
			n.leaving, n.died = leaves, false
			done.Removed = append(done.Removed, n.spec.Name)
		}
	}
	r.nodes = nodes
	r.waiting = slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n.begun })
	r.link()
	r.held = !u.MayEnd
	return done
}

// revise gives a daemon that the bundle has its new definition.
func (r *Root) revise(n *node, spec *child.Spec, done *Updated) {
	has := n.spec
	if n.revision != nil { // of an Update before, and not told yet: it is this one's now
		has = n.status.Spec
	}
	change := has.Compare(spec)
	back := n.leaving == stopped || n.revision != nil && n.revision.Start // it comes back while it is on its way out
	n.leaving, n.revision = stays, nil
	switch {
	case (change == child.OtherProgram || back) && (has.Job == "" || spec.Job == ""): // the run of a job goes on as it was begun
		n.spec, n.died = spec, false // what it would have ended the bundle by has come too late
		n.revision = &child.Revise{Spec: spec, Restart: true, Start: back}
		r.tellOf(EventRevised, n)
		done.Restarted = append(done.Restarted, spec.Name)
	case change != child.SameSpec || has != n.spec:
		n.spec, n.died = spec, false
		r.tell(n, child.Revise{Spec: spec})
		r.tellOf(EventRevised, n)
		done.Revised = append(done.Revised, spec.Name)
	default:
		done.Unchanged++
	}
}

func (r *Root) tellOf(kind child.Kind, n *node) {
	r.observe(child.Event{Kind: kind, Daemon: n.spec.Name})
}

// converge goes on with the Updates: what leaves, then what is restarted. It reports whether new daemons may start.
func (r *Root) converge() bool {
	leaving := false
	for _, n := range r.nodes {
		if n.leaving == stays {
			continue
		}
		leaving = true
		quiet := n.status.Seen == n.sent
		switch {
		case n.leaving == leaves && !slices.ContainsFunc(n.dependents, func(d *node) bool { return d.leaving != stays && !d.gone }):
			n.leaving, n.begun = stopped, true
			r.tell(n, child.Terminate{})
		case n.leaving == stopped && quiet && n.status.State.Final():
			n.leaving = retired
			r.tell(n, child.Retire{})
		}
	}
	if leaving {
		return false
	}
	for _, n := range r.nodes {
		if n.revision != nil && !slices.ContainsFunc(n.deps, func(d *node) bool { return !r.settled(d, n) }) {
			r.tell(n, *n.revision)
			n.revision, n.revising = nil, true
			r.followers(n)
		}
	}
	restarting := false
	for _, n := range r.nodes {
		s := &n.status
		n.revising = n.revising && (s.Seen != n.sent || s.State == child.StateStopping || s.State == child.StateStarting && s.PID == 0)
		restarting = restarting || n.revising
	}
	return !restarting // what waits for its turn behind a dependency that does not become ready holds up no start
}

// settled reports whether dep, which may have been restarted by an Update, is again as n needs it, or will never be.
func (r *Root) settled(dep, n *node) bool {
	switch s := &dep.status; {
	case s.Seen != dep.sent, s.State == child.StateStopping, s.State == child.StateStarting && s.PID == 0:
		return false
	case s.State == child.StateWaiting, s.State == child.StateStopped:
		return true // a revision of n does not wait for what nobody has started
	}
	for i, d := range n.deps {
		if d == dep {
			v, _ := judge(n.spec.After[i].Condition, dep)
			return v != pending
		}
	}
	return true
}

// remove forgets a daemon that has left.
func (r *Root) remove(n *node) {
	r.nodes = slices.DeleteFunc(r.nodes, func(m *node) bool { return m == n })
	r.link()
	r.tellOf(EventRemoved, n)
	n.discard()
	updates := r.updates
	r.updates = nil
	for _, u := range updates {
		r.update(u)
	}
}
