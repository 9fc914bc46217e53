package child

import "time"

// proof is how long a process that the policy has started after a failure must have lived to be taken for well again, where
// [Backoff.ResetAfter] is not shorter. A crash loop would look well whenever it is looked at between two crashes.
const proof = 10 * time.Second

// Well reports whether the daemon does not count against the health of the bundle. One that has ended with exit code 0
// does not, and one that was stopped by hand. A job does only if it is critical and its last run has failed.
func (s *Status) Well(now time.Time) bool {
	if s.IsJob() { // what runs, or is cancelled, has not failed
		return !s.Spec.Critical || s.Result == 0
	}
	switch s.State {
	case StateRunning, StateReady:
		return !now.Before(s.Proven)
	case StateStopping:
		return s.Requested
	case StateExited:
		return s.Last == nil || s.Completed
	case StateStopped:
		return true
	}
	return false
}
