package root

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// shutdown begins the shutdown. The event why has the signal or the reason. A second shutdown changes nothing.
func (r *Root) shutdown(why child.Event) {
	if r.phase != serving {
		return
	}
	why.Kind = EventShutdown
	r.soFar.Store(int32(r.exitCode())) // an observer of the event may call ExitCode
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
	for _, n := range r.nodes { // before the first is stopped, so that none can start any more, whatever the order in which they stop
		r.tell(n, child.Retire{})
	}
}

// critical begins the shutdown when a critical daemon has ended and will not be restarted.
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

// leftGrace is the longest grace period for remaining members of the process group of a dead daemon when the bundle ends by itself.
// Other orphans get no more either.
const leftGrace = time.Second

// finish ends the bundle when all daemons have exited and none will be restarted. A daemon that was stopped by hand keeps it alive,
// and so does the run of a job. If no daemon has failed, a job with a schedule keeps it alive too.
//
// The status of a child is exact once the child has handled all messages: in these states only a message can start it again.
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

// stopInOrder tells each child to end whose dependents are gone. After half of the grace period it tells all of them.
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

// deadlines kills the remaining processes at the deadline, and arms the timer for the next step.
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

// kill sends SIGKILL to all. The killWait starts at the deadline, or now if that is later: if the container was frozen, nobody
// could run when the deadline passed.
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

// remaining returns the daemons that may still have a process, if only another member of the process group.
func (r *Root) remaining() []*node {
	var left []*node
	for _, n := range r.nodes {
		if !n.gone && n.status.State.Alive() {
			left = append(left, n)
		}
	}
	return left
}

// ended handles the end of a child's actor. The error is not nil if it has panicked.
func (r *Root) ended(n *node, err error) {
	n.gone = true
	if n.leaving != stays && err == nil && r.phase == serving {
		r.remove(n)
	}
	if err == nil || r.err != nil {
		return
	}
	// A panic: nothing supervises the daemon any more, so the bundle cannot continue.
	code := internalError
	r.code, r.err = &code, err
	reason := err.Error()
	var panicked *actor.PanicError
	if errors.As(err, &panicked) { // without the stack, which has many lines; Run returns it
		reason = fmt.Sprintf("panic: %v", panicked.Value)
	}
	r.shutdown(child.Event{Daemon: n.spec.Name, Reason: "internal error: " + reason})
}
