package bundle

import "slices"

// notYet are the keys that are read, but whose effect at run time is not built yet: a file that uses one is refused.
// To enable a key, delete its line. A path with = names one value of a key.
var notYet = []string{
	"notify",

	"attach",
	"cap_add",
	"cap_drop",
	"configs",
	"critical",
	"depends_on.condition=service_completed_successfully",
	"depends_on.condition=service_healthy",
	"depends_on.required=false",
	"depends_on.restart=true",
	"healthcheck",
	"oom_score_adj",
	"post_start",
	"pre_start",
	"pre_stop",
	"ready",
	"secrets",
	"security_opt",
	"ulimits",
}

// supported reports whether a key has its effect; if not, that is a problem of the service.
func (r *reader) supported(s *service, at pos, path string) bool {
	if !r.everything && slices.Contains(notYet, path) {
		s.late.add(at, "%s is not supported yet", path)
		return false
	}
	return true
}
