package bundle

import (
	"math"
	"strconv"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// An UpdateConfig is Compose's deploy.update_config: how the replicas of a service change, a batch after the other. Each batch is
// stopped before its new processes start (order: stop-first).
type UpdateConfig struct {
	// Parallelism is the size of a batch; 0 is all replicas at once.
	Parallelism int
	// Delay is the time between the end of a batch and the begin of the next.
	Delay time.Duration
	// Monitor is how long a replica that is ready is watched: one that ends or becomes unhealthy in this time has failed.
	Monitor time.Duration
	// Failure is what happens when more than MaxFailureRatio of the replicas have failed.
	Failure         FailureAction
	MaxFailureRatio float32
}

// A FailureAction is what happens to the rest when an update fails.
type FailureAction string

// The failure actions; that of an UpdateConfig without one is FailurePause.
const (
	FailurePause    FailureAction = "pause"    // the replicas whose turn has not come stay as they are
	FailureContinue FailureAction = "continue" // they are updated all the same
	FailureRollback FailureAction = "rollback" // and those that were updated get back what they had
)

// updateConfig reads deploy.update_config; nil where it says nothing.
func (r *reader) updateConfig(s *service, n *compose.Node) *UpdateConfig {
	if n.Kind == compose.Null || n.Kind == compose.Dict && !meansDeep(n) {
		return nil
	}
	u := &UpdateConfig{Parallelism: 1, Failure: FailurePause}
	known := []string{"parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"}
	ok := r.mapping(n, "update_config", known, func(e compose.Entry) bool {
		switch e.Key {
		case "parallelism":
			u.Parallelism = r.whole(e.Val, e.Key, 0, math.MaxInt32)
		case "delay":
			u.Delay = r.duration(e.Val, e.Key)
		case "monitor":
			u.Monitor = r.duration(e.Val, e.Key)
		case "max_failure_ratio":
			u.MaxFailureRatio = r.ratio(e.Val, e.Key)
		case "failure_action":
			switch action := FailureAction(r.str(e.Val, e.Key)); action {
			case FailurePause, FailureContinue, FailureRollback:
				u.Failure = action
			case "":
			default:
				s.late.Add(e.Val.At, "failure_action must be pause, continue or rollback, not %s%s", e.Val.Show(),
					compose.DidYouMean(string(action), []string{"pause", "continue", "rollback"}))
			}
		case "order":
			if r.oneOf(e.Val, e.Key, "stop-first", "start-first") == "start-first" {
				s.late.Add(e.Val.At, "order: start-first is not supported: for a while two replicas would want one port; use stop-first")
			}
		default:
			return false
		}
		return true
	})
	if !ok {
		return nil
	}
	return u
}

// ratio reads a number between 0 and 1.
func (r *reader) ratio(n *compose.Node, what string) float32 {
	v, err := strconv.ParseFloat(n.Text, 32)
	switch {
	case n.Kind != compose.Text && n.Kind != compose.Number || err != nil:
		r.want(n, what, "a number between 0 and 1")
	case !(v >= 0 && v <= 1):
		r.probs.Add(n.At, "%s must be between 0 and 1", what)
	default:
		return float32(v)
	}
	return 0
}
