package root

import (
	"slices"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// An Update describes the bundle as it should be from now on: the wanted set of daemons, not a list of steps. It is checked as
// [New] checks a [Config]. An Update with a mistake changes nothing. Daemons are identified by their names:
//
//   - A new daemon is started when its dependencies hold.
//   - A daemon that is missing from the Update is stopped, after those of its dependents that are missing too, with the grace
//     period of a stop by hand. It stays in [List] until its actor has ended, and no longer counts for the exit code.
//   - A daemon whose Spec has another program ([child.Spec.Compare]) is restarted in place, after its dependencies. One that has
//     exited by itself is started; one that was stopped by hand stays stopped.
//   - A daemon whose Spec differs in another way keeps running, under the new Spec.
//   - Other daemons are not touched.
//
// Daemons are first removed, then restarted, then started. An Update never ends the bundle unless MayEnd is set. A shutdown in the
// middle of an Update wins, as always. For a daemon that the bundle already has, only [Daemon.Spec] is used, and [Daemon.Close] is
// called if it is set: the daemon keeps the other fields with which it was added.
type Update struct {
	// Daemons lists the wanted daemons, in the order in which they start.
	Daemons []Daemon
	// Grace, Routes and ExitCodeFrom are as in [Config].
	Grace        time.Duration
	Routes       map[syscall.Signal]Route
	ExitCodeFrom string
	// MayEnd: the bundle ends if all daemons that stay are dead and none will be restarted, as when the last daemon exits by
	// itself.
	MayEnd bool
	// Reply is answered when the Update was accepted or refused, not when it is done.
	Reply actor.Reply[Updated]

	edit   bool          // Daemons are added to the present ones, which stay, except those in remove
	remove []string      // the daemons, or services, that an edit removes
	left   chan struct{} // closed when they have left; nil unless edit
}

func (Update) rootMsg() {}

// Updated is the answer to [Update].
type Updated struct {
	// Added, Removed, Restarted and Revised name the daemons that the Update changes; Unchanged counts the others.
	Added, Removed, Restarted, Revised []string
	Unchanged                          int
	// Err is [ErrShuttingDown], the joined *[ConfigError]s, or nil.
	Err error
}

// The events of an [Update].
const (
	EventAdded   child.Kind = "added"   // Daemon was added to the bundle
	EventRemoved child.Kind = "removed" // Daemon has left the bundle
	EventRevised child.Kind = "revised" // Daemon has a new definition
)

// update accepts or refuses an Update, or delays it until a leaving daemon with one of its names is gone.
func (r *Root) update(u Update) {
	if r.phase != serving {
		u.refuse(ErrShuttingDown)
		return
	}
	if slices.ContainsFunc(r.nodes, func(n *node) bool { return n.leaving == retired && u.has(n.spec.Name) }) || len(r.updates) > 0 {
		r.updates = append(r.updates, u)
		return
	}
	if u.edit {
		if err := r.complete(&u); err != nil {
			u.refuse(err)
			return
		}
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

// complete turns an edit into an Update that describes the whole bundle.
func (r *Root) complete(u *Update) error {
	removed := map[*node]bool{}
	for _, name := range u.remove {
		found := r.find(name)
		if len(found) == 0 {
			return &UnknownError{name}
		}
		for _, n := range found {
			removed[n] = true
		}
	}
	var all []Daemon
	for _, n := range r.nodes {
		if n.leaving == stays && !removed[n] {
			all = append(all, Daemon{Spec: *n.spec})
		}
	}
	u.Daemons = append(all, u.Daemons...)
	u.Grace, u.Routes, u.ExitCodeFrom = r.cfg.Grace, r.cfg.Routes, r.cfg.ExitCodeFrom
	return nil
}

// refuse answers with err, and closes the daemons, which are not added.
func (u Update) refuse(err error) {
	for i := range u.Daemons {
		u.Daemons[i].discard()
	}
	u.Reply.Send(Updated{Err: err})
}

// discard calls Close of a Daemon that is not, or no longer, part of the bundle.
func (d *Daemon) discard() {
	if d.Close != nil {
		d.Close()
	}
}

func (u Update) has(name string) bool {
	return slices.ContainsFunc(u.Daemons, func(d Daemon) bool { return d.Spec.Name == name })
}

// apply changes the set of daemons. The method next then stops, restarts and starts them.
func (r *Root) apply(u Update) (done Updated) {
	r.cfg.Grace, r.cfg.Routes, r.cfg.ExitCodeFrom = u.Grace, u.Routes, u.ExitCodeFrom
	present := map[string]*node{}
	for _, n := range r.nodes {
		present[n.spec.Name] = n
	}
	going := &departure{over: u.left}
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
	for _, n := range r.nodes { // a daemon that leaves stays at the end of the list until it is gone
		if present[n.spec.Name] == nil {
			continue
		}
		nodes = append(nodes, n)
		if n.leaving == stays {
			n.leaving, n.died = leaves, false
			n.going = going
			going.nodes++
			done.Removed = append(done.Removed, n.spec.Name)
		}
	}
	r.nodes = nodes
	r.waiting = slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n.begun })
	r.link()
	r.held = !u.MayEnd
	return done
}

// revise gives a daemon of the bundle its new definition.
func (r *Root) revise(n *node, spec *child.Spec, done *Updated) {
	has := n.spec
	if n.revision != nil { // an earlier revision that was not sent yet; this one replaces it
		has = n.status.Spec
	}
	change := has.Compare(spec)
	back := n.leaving == stopped || n.revision != nil && n.revision.Start // it is wanted again while it is being stopped
	n.leaving, n.revision = stays, nil
	n.departed()
	switch {
	case (change == child.OtherProgram || back) && (has.Job == "" || spec.Job == ""): // the run of a job continues as it was started
		n.spec, n.died = spec, false // an earlier exit no longer ends the bundle
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

// converge continues the accepted Updates: first it stops the daemons that leave, then it restarts daemons. It reports whether new
// daemons may start.
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
	return !restarting // a revision that still waits for a dependency delays no start
}

// settled reports whether dep, which an Update may have restarted, is again in the state that n needs, or can never be in it.
func (r *Root) settled(dep, n *node) bool {
	switch s := &dep.status; {
	case s.Seen != dep.sent, s.State == child.StateStopping, s.State == child.StateStarting && s.PID == 0:
		return false
	case s.State == child.StateWaiting, s.State == child.StateStopped:
		return true // a revision of n does not wait for a daemon that was not started yet or was stopped by hand
	}
	for i, d := range n.deps {
		if d == dep {
			v, _ := judge(n.spec.After[i].Condition, dep)
			return v != pending
		}
	}
	return true
}

// A departure is what one Update removes.
type departure struct {
	nodes int           // that have not left yet
	over  chan struct{} // closed when there are none; nil if nobody waits
}

// departed says that a daemon has left the bundle, or is wanted again.
func (n *node) departed() {
	d := n.going
	if d == nil {
		return
	}
	n.going = nil
	if d.nodes--; d.nodes == 0 && d.over != nil {
		close(d.over)
	}
}

// remove removes a daemon that has left, and continues the Updates that waited for it.
func (r *Root) remove(n *node) {
	r.nodes = slices.DeleteFunc(r.nodes, func(m *node) bool { return m == n })
	r.link()
	r.tellOf(EventRemoved, n)
	n.discard()
	n.departed()
	updates := r.updates
	r.updates = nil
	for _, u := range updates {
		r.update(u)
	}
}
