package bundle

import "slices"

// notYet are the keys that are read, but whose effect at run time is not built yet: a file that uses one is refused.
// To enable a key, delete its line. A path with = names one value of a key.
var notYet = []string{}

// supported reports whether a key has its effect; if not, that is a problem of the service.
func (r *reader) supported(s *service, at pos, path string) bool {
	if !r.everything && slices.Contains(notYet, path) {
		s.late.add(at, "%s is not supported yet", path)
		return false
	}
	return true
}
