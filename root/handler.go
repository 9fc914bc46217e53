package root

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// handler has the methods of [actor.Handler], so that [Root] does not export them.
type handler Root

// Receive handles one message.
func (h *handler) Receive(msg Msg) error {
	r := (*Root)(h)
	switch msg := msg.(type) {
	case begin:
	case changed:
		r.changed(msg.n, msg.status)
	case gone:
		r.ended(msg.n, msg.err)
	case Update:
		r.update(msg)
	case Signal:
		r.signal(msg.Sig)
	case Shutdown:
		r.shutdown(child.Event{Reason: msg.Reason})
	case Do:
		msg.Reply.Send(r.do(msg.Name, msg.Msg))
	case Fact:
		r.fact(msg)
	case List:
		msg.Reply.Send(r.Statuses())
	case Await:
		r.awaits = append(r.awaits, msg)
	}
	return r.next()
}

// Timeout is called when the next daemon may be started, or the next step of a shutdown is due.
func (h *handler) Timeout() error { return (*Root)(h).next() }

// Refuse answers a message that came after the end.
func (h *handler) Refuse(msg Msg) {
	switch msg := msg.(type) {
	case Do:
		msg.Reply.Send(Accepted{Err: ErrShuttingDown})
	case Update:
		msg.refuse(ErrShuttingDown)
	}
}

// changed stores the new status of a daemon.
func (r *Root) changed(n *node, s child.Status) {
	if s.State.Final() != n.status.State.Final() {
		n.died = s.State.Final()
		if n.died && n.leaving == stays && n.spec.Job == "" {
			r.held = false
		}
	}
	n.status = s
}

// next does everything that is due, arms the timer for what is due later, and ends root when all children have ended.
func (r *Root) next() error {
	if r.phase == serving {
		if r.converge() {
			r.advance()
		}
		r.follow()
		r.critical()
		r.finish()
	}
	if r.phase != serving {
		r.stopInOrder()
		r.deadlines()
		r.soFar.Store(int32(r.exitCode()))
	}
	r.answer()
	if r.phase != serving && !slices.ContainsFunc(r.nodes, func(n *node) bool { return !n.gone }) {
		return actor.ErrStop
	}
	if r.phase == killing && !time.Now().Before(r.giveUp) {
		r.err = fmt.Errorf("%s outlived SIGKILL", strings.Join(names(r.remaining()), ", "))
		return actor.ErrStop
	}
	return nil
}

// tell sends a message to a child and counts it, so that root can recognize a status that does not reflect it yet.
func (r *Root) tell(n *node, m child.Msg) {
	if n.ref.Tell(m) == nil {
		n.sent++
	}
}

func (r *Root) observe(e child.Event) {
	e.Time = time.Now()
	r.cfg.Observe(e)
}

// signal handles a signal to the supervisor.
func (r *Root) signal(sig syscall.Signal) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGQUIT:
		r.shutdown(child.Event{Signal: sig})
		return
	case syscall.SIGINT:
		if r.phase == serving {
			r.shutdown(child.Event{Signal: sig})
		} else if r.phase == stopping {
			r.observe(child.Event{Kind: EventKillNow, Signal: sig, Names: names(r.remaining())})
			r.kill()
		}
		return
	}
	route, ok := r.cfg.Routes[sig]
	if !ok {
		if !silent(sig) {
			r.observe(child.Event{Kind: EventIgnored, Signal: sig})
		}
		return
	}
	for _, name := range route.Absent {
		r.observe(child.Event{Kind: EventIgnored, Signal: sig, Daemon: name, Reason: name + " does not run in this bundle"})
	}
	for _, name := range route.Forward {
		for _, n := range r.find(name) {
			if n.gone {
				n.Observe(dropped(n, sig))
				continue
			}
			r.tell(n, child.Signal{Sig: sig, Wait: true})
		}
	}
	for _, name := range route.Restart {
		r.do(name, child.Restart{})
	}
	if route.Reload && r.phase == serving && r.cfg.Reload != nil {
		r.cfg.Reload()
	}
	if route.Shutdown {
		r.shutdown(child.Event{Signal: sig})
	}
}

// dropped returns the event that the child would have reported if its actor had not ended.
func dropped(n *node, sig syscall.Signal) child.Event {
	e := child.Event{Time: time.Now(), Kind: child.EventDropped, Daemon: n.spec.Name, Signal: sig}
	if n.status.Last == nil {
		e.Reason = "it was not started"
	} else {
		e.Exit = *n.status.Last
	}
	return e
}

// silent reports whether a signal without a route is so usual that it is ignored without an event.
func silent(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGPIPE:
		return true
	}
	return false
}

// do sends a command to the daemon, or all daemons of the service, of that name.
func (r *Root) do(name string, m child.Command) Accepted {
	nodes := r.find(name)
	if len(nodes) == 0 {
		return Accepted{Err: &UnknownError{name}}
	}
	if r.phase != serving {
		if _, ok := m.(child.Restart); ok {
			for _, n := range nodes {
				r.observe(child.Event{Kind: EventSkipped, Daemon: n.spec.Name})
			}
		}
		return Accepted{Err: ErrShuttingDown}
	}
	if m == nil {
		return Accepted{Err: errors.New("root: nil is not a command")}
	}
	if t, ok := m.(child.Terminate); ok && t.Final {
		return Accepted{Err: fmt.Errorf("root: %T with Final is not for one daemon", m)}
	}
	for _, n := range nodes {
		if err := n.refuses(m); err != nil {
			return Accepted{Err: err}
		}
	}
	seen := map[string]uint64{}
	for _, n := range nodes {
		switch m.(type) {
		case child.Start, child.Terminate:
			n.begun = true // root no longer starts it by itself
		}
		r.tell(n, m)
		seen[n.spec.Name] = n.sent
		if _, ok := m.(child.Restart); ok {
			r.followers(n)
		}
	}
	return Accepted{Seen: seen}
}

// refuses returns an error if the command is only for daemons and n is a job, or the other way round.
func (n *node) refuses(m child.Command) error {
	job := n.spec.Job != ""
	switch m := m.(type) {
	case child.Start:
		if job != (m.Trigger != "") {
			return &JobError{n.spec.Name, job}
		}
	case child.Restart:
		if job {
			return &JobError{n.spec.Name, job}
		}
	}
	return nil
}

// fact passes a fact to the daemon that it is about.
func (r *Root) fact(f Fact) {
	if n := r.node(f.Name); n != nil {
		hand(n.ref, f.Msg)
	}
}

// answer replies to the Awaits whose condition holds, and forgets them.
func (r *Root) answer() {
	if len(r.awaits) == 0 {
		return
	}
	all := r.Statuses()
	r.awaits = slices.DeleteFunc(r.awaits, func(a Await) bool {
		if !a.Until(all) {
			return false
		}
		a.Reply.Send(all)
		return true
	})
}

func names(nodes []*node) []string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.spec.Name
	}
	return list
}
