package root

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// shutdown begins the end of the bundle; why has the signal or the reason. A second one changes nothing.
func (r *Root) shutdown(why child.Event) {
	if r.phase != serving {
		return
	}
	why.Kind = EventShutdown
	r.soFar.Store(int32(r.exitCode())) // whoever is told of the shutdown may ask
	r.observe(why)
	for _, n := range r.nodes {
		if n.own {
			n.Observe(why)
		}
	}
	r.stop(r.cfg.Grace)
}

func (r *Root) stop(grace time.Duration) {
	r.phase, r.began, r.grace = stopping, time.Now(), grace
	for _, u := range r.updates {
		u.refuse(ErrShuttingDown)
	}
	r.updates = nil
	for _, n := range r.nodes { // before the first is stopped: none may start any more, whatever the order of the stop
		r.tell(n, child.Retire{})
	}
}

// critical ends the bundle when a critical daemon has ended.
func (r *Root) critical() {
	for _, n := range r.nodes {
		s := n.status
		if n.spec.Critical && n.spec.Job == "" && n.died && s.Seen == n.sent && s.Last != nil && (s.State == child.StateExited || s.State == child.StateGaveUp) {
			code := s.Result
			r.code = &code
			r.shutdown(child.Event{Daemon: s.Name, Reason: s.Name + " is critical and has ended"})
			return
		}
	}
}

// leftGrace is what the rest of a process group gets whose daemon is dead when the bundle ends by itself: no more than other
// orphans.
const leftGrace = time.Second

// finish ends the bundle when all daemons are dead with none to be restarted. One that was stopped by hand keeps it alive, and so
// does the run of a job; where no daemon has failed, a job with a schedule does too.
// A projection can be trusted once its child has seen all commands: in those states nothing else can wake it.
func (r *Root) finish() {
	if r.phase != serving || r.held {
		return
	}
	scheduled, failed := false, false
	for _, n := range r.nodes {
		s := n.status.State
		rests := s == child.StateExited || s == child.StateGaveUp
		if n.spec.Job != "" {
			rests = s == child.StateScheduled
			scheduled = scheduled || n.spec.Job == child.TriggerSchedule
		}
		if n.status.Seen != n.sent || !rests {
			return
		}
		failed = failed || n.spec.Job == "" && n.status.Result != 0
	}
	if scheduled && !failed {
		return
	}
	r.stop(min(leftGrace, r.cfg.Grace))
}

// stopInOrder tells those children to end whose dependents are gone; from half of the grace period on, all of them.
func (r *Root) stopInOrder() {
	left := time.Until(r.began.Add(r.grace / 2))
	half := left <= 0
	for _, n := range r.nodes {
		if !n.endSent && (half || !slices.ContainsFunc(n.dependents, func(d *node) bool { return !d.gone })) {
			n.endSent = true
			r.tell(n, child.Terminate{Final: true, Half: left})
		}
	}
}

// deadlines kills what is left at the deadline, and arms the timer for the next moment that matters.
func (r *Root) deadlines() {
	deadline := r.began.Add(r.grace)
	if r.phase == stopping && !time.Now().Before(deadline) {
		if left := r.remaining(); len(left) > 0 {
			r.observe(child.Event{Kind: EventDeadline, Delay: r.grace, Names: names(left)})
		}
		r.kill()
	}
	moment := deadline
	switch {
	case r.phase == killing:
		moment = r.giveUp
	case slices.ContainsFunc(r.nodes, func(n *node) bool { return !n.endSent }):
		moment = r.began.Add(r.grace / 2)
	}
	r.actor.Arm(time.Until(moment))
}

// kill sends SIGKILL to all. It is waited for from the deadline on, or from now if that is later: in a container that was frozen
// nobody has had any of that time.
func (r *Root) kill() {
	r.phase, r.giveUp = killing, r.began.Add(r.grace)
	if now := time.Now(); now.After(r.giveUp) {
		r.giveUp = now
	}
	r.giveUp = r.giveUp.Add(killWait)
	for _, n := range r.nodes {
		if !n.gone {
			n.endSent = true
			r.tell(n, child.Kill{})
		}
	}
}

// remaining are the daemons that may still have a process, be it the rest of a process group.
func (r *Root) remaining() []*node {
	var left []*node
	for _, n := range r.nodes {
		if !n.gone && n.status.State.Alive() {
			left = append(left, n)
		}
	}
	return left
}

// ended: the actor of a child has ended, after Terminate or by a panic.
func (r *Root) ended(n *node, err error) {
	n.gone = true
	if n.leaving != stays && err == nil && r.phase == serving {
		r.remove(n)
	}
	if err == nil || r.err != nil {
		return
	}
	// A panic: the daemon has no owner, so the bundle cannot go on.
	code := internalError
	r.code, r.err = &code, err
	reason := err.Error()
	var panicked *actor.PanicError
	if errors.As(err, &panicked) { // its stack has many lines; Run returns it
		reason = fmt.Sprintf("panic: %v", panicked.Value)
	}
	r.shutdown(child.Event{Daemon: n.spec.Name, Reason: "internal error: " + reason})
}
