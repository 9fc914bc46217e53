package root

import (
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// turnTime bounds how long a daemon that is being executed holds up those that come after it in the file: in the usual
// case none overtakes another, and one whose file system hangs delays the others by this much only.
const turnTime = 100 * time.Millisecond

// verdict is what a dependency means for a daemon that waits.
type verdict int

const (
	pending verdict = iota
	holds
	never
)

// judge says whether the condition on dep holds, may hold later, or can hold no more; in the latter two cases also why.
func judge(c child.Condition, dep *node) (verdict, string) {
	s := dep.status
	dead := s.State == child.StateExited || s.State == child.StateGaveUp // for good, unless by a command
	switch {
	case dep.revision != nil:
		return pending, fmt.Sprintf("%s is about to be restarted", s.Name)
	case c == child.ServiceHealthy:
		switch {
		case s.State.Up():
			return holds, ""
		case dead:
			return never, ended(s)
		}
		return pending, fmt.Sprintf("%s is not ready", s.Name)
	case c == child.ServiceCompletedSuccessfully:
		switch {
		case s.Completed && !s.State.Alive():
			return holds, ""
		case dead:
			return never, ended(s)
		}
		return pending, fmt.Sprintf("%s has not completed", s.Name)
	case s.Starts > 0:
		return holds, ""
	case dead:
		return never, ended(s)
	}
	return pending, fmt.Sprintf("%s has not started", s.Name)
}

func ended(s child.Status) string {
	switch {
	case s.Last == nil:
		return fmt.Sprintf("%s was not started", s.Name)
	case s.Last.Err != nil && s.Starts == 0:
		return fmt.Sprintf("%s could not be started", s.Name)
	}
	return fmt.Sprintf("%s ended with %s", s.Name, s.Last)
}

// advance starts what can be started, the first in file order at each turn, and ends the waiting of what can never be.
func (r *Root) advance() {
	for r.phase == serving {
		n := r.startable()
		switch {
		case n == nil:
			return
		case !r.turnOver():
			r.actor.Arm(time.Until(r.turnEnds))
			return
		}
		n.begun = true
		r.turn, r.turnEnds = n, time.Now().Add(turnTime)
		r.tell(n, child.Start{})
	}
}

// startable returns the first daemon that waits for nothing but its turn. Those behind it are not looked at: it is asked after
// each message, and there may be a thousand of them.
func (r *Root) startable() *node {
	for i := 0; i < len(r.waiting); {
		n := r.waiting[i]
		if n.begun || n.status.State != child.StateWaiting {
			r.waiting = slices.Delete(r.waiting, i, i+1)
			continue
		}
		verdict, why := n.mayStart()
		n.waits = why
		switch verdict {
		case holds:
			return n
		case never:
			n.begun = true
			r.tell(n, child.Skip{Reason: why})
		default:
			i++
		}
	}
	return nil
}

// turnOver reports whether the daemon whose turn it is has been executed, or takes too long.
func (r *Root) turnOver() bool {
	n := r.turn
	if n == nil || !time.Now().Before(r.turnEnds) {
		return true
	}
	return n.status.Seen == n.sent && (n.status.State != child.StateStarting || n.status.PID != 0 || n.status.Step != "")
}

// mayStart is the verdict over all dependencies.
func (n *node) mayStart() (verdict, string) {
	result, reason := holds, ""
	for i, d := range n.spec.After {
		v, why := judge(d.Condition, n.deps[i])
		switch {
		case v == never && !d.Optional:
			return never, why
		case v == pending && result == holds:
			result, reason = pending, why
		}
	}
	return result, reason
}

// followers notes the daemons that are to be restarted after n, which is being restarted by a command or signal.
func (r *Root) followers(n *node) {
	for _, d := range n.dependents {
		for _, dep := range d.spec.After {
			if dep.Name == n.spec.Name && dep.Restart && d.spec.Job == "" {
				d.follows, d.followsAt = n, n.sent
			}
		}
	}
}

// follow restarts those whose dependency has been restarted, and is up again as they need it. The dead stay dead.
func (r *Root) follow() {
	for _, n := range r.nodes {
		dep := n.follows
		if dep == nil || dep.status.Seen < n.followsAt {
			continue
		}
		s := dep.status
		switch {
		case s.State.Final() || s.State == child.StateBackoff || n.status.State.Final() || n.status.State == child.StateWaiting:
			n.follows = nil
		case s.State == child.StateStopping || s.PID == 0:
		default:
			if v, _ := n.mayStart(); v == holds {
				n.follows = nil
				r.do(n.spec.Name, child.Restart{})
			}
		}
	}
}
