package root

import (
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// turnTime is the longest time for which a daemon that is being executed delays those after it in the file. So daemons normally
// start in file order, and one whose file system hangs delays the others by this much only.
const turnTime = 100 * time.Millisecond

// A verdict says what a dependency means for a daemon that waits for it.
type verdict int

const (
	pending verdict = iota
	holds
	never
)

// judge returns whether the condition on dep holds, may hold later, or can no longer hold. In the last two cases it also returns
// the reason.
func judge(c child.Condition, dep *node) (verdict, string) {
	s := dep.status
	dead := s.State == child.StateExited || s.State == child.StateGaveUp // only a command can start it again
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

// advance starts the daemons that can be started, one at a time in file order, and skips those that can never be started.
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

// startable returns the first daemon that waits only for its turn. It does not look at those after it, because it is called after
// each message and there may be a thousand daemons.
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

// turnOver reports whether the next daemon may start: the one whose turn it is was executed, runs a step, has failed to start, or
// has used up its turnTime.
func (r *Root) turnOver() bool {
	n := r.turn
	if n == nil || !time.Now().Before(r.turnEnds) {
		return true
	}
	return n.status.Seen == n.sent && (n.status.State != child.StateStarting || n.status.PID != 0 || n.status.Step != "")
}

// mayStart returns the verdict over all dependencies, and the reason if it is not holds.
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

// followers marks the daemons that will be restarted after n, which is being restarted by a command, a signal or an Update.
func (r *Root) followers(n *node) {
	for _, d := range n.dependents {
		for _, dep := range d.spec.After {
			if dep.Name == n.spec.Name && dep.Restart && d.spec.Job == "" {
				d.follows, d.followsAt = n, n.sent
			}
		}
	}
}

// follow restarts the marked daemons whose dependency was restarted and satisfies their condition again. Daemons that are dead are
// not started.
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
