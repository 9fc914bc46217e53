package bundle

import (
	"math"
	"slices"
)

// healthcheck reads a healthcheck; nil where it is disabled.
func (r *reader) healthcheck(s *service, n *node) *Healthcheck {
	h := &Healthcheck{}
	disabled := false
	var test []string
	known := []string{"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
	ok := r.mapping(n, "healthcheck", known, func(e entry) bool {
		switch e.key {
		case "test":
			test = r.healthTest(s, e.val)
		case "interval":
			h.Interval = r.duration(e.val, e.key)
		case "timeout":
			h.Timeout = r.duration(e.val, e.key)
		case "start_period":
			h.StartPeriod = r.duration(e.val, e.key)
		case "start_interval":
			h.StartInterval = r.duration(e.val, e.key)
		case "retries":
			h.Retries = r.whole(e.val, e.key, 0, math.MaxInt32)
		case "disable":
			disabled = r.truth(e.val, e.key)
		default:
			return false
		}
		return true
	})
	if !ok || disabled || len(test) > 0 && test[0] == "NONE" {
		return nil
	}
	switch {
	case len(test) == 0:
		s.late.add(n.at, "the healthcheck has no test, and nothing supplies one here")
	case test[0] == "CMD":
		h.Test = test[1:]
	case test[0] == "CMD-SHELL":
		h.Test = append([]string{"/bin/sh", "-c"}, test[1:]...)
	}
	// 0 is the default, as in Docker.
	h.Interval = orDefault(h.Interval, DefaultHealthInterval)
	h.Timeout = orDefault(h.Timeout, DefaultHealthTimeout)
	h.StartInterval = orDefault(h.StartInterval, DefaultHealthStartInterval)
	h.Retries = orDefault(h.Retries, DefaultHealthRetries)
	return h
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// healthTest reads healthcheck.test: a string is for a shell; a list says what it is by its first item.
func (r *reader) healthTest(s *service, n *node) []string {
	switch n.kind {
	case text:
		if r.str(n, "test") == "" {
			return nil
		}
		return []string{"CMD-SHELL", n.text}
	case list:
		test := r.strings(n, "test", false)
		if len(test) == 0 {
			return nil
		}
		known := []string{"CMD", "CMD-SHELL", "NONE"}
		switch {
		case !slices.Contains(known, test[0]):
			s.late.add(n.items[0].at, "test must start with CMD, CMD-SHELL or NONE, not %s%s", n.items[0].show(), didYouMean(test[0], known))
		case len(test) == 1 && test[0] != "NONE":
			s.late.add(n.at, "test has no command after %s", test[0])
		}
		return test
	}
	r.want(n, "test", "a string or a list of strings")
	return nil
}

// A hook is a step of pre_start, post_start or pre_stop, as the file has it.
type hook struct {
	at                  pos
	command, entrypoint []string
	hasEntrypoint       bool
	environment         []variable
	envFiles            []envFile
	dir, user           string
	perReplica          bool
}

// hooks reads a list of hooks. A step of pre_start is a container of its own in Compose, so it can have more keys.
func (r *reader) hooks(s *service, n *node, what string) (out []hook) {
	if n.kind != list {
		r.want(n, what, "a list")
		return nil
	}
	initial := what == "pre_start"
	known := []string{"command", "environment", "user", "working_dir", "privileged"}
	if initial {
		known = append(known, "entrypoint", "env_file", "per_replica")
	}
	for _, item := range n.items {
		h := hook{at: item.at}
		ok := r.mapping(item, what, known, func(e entry) bool {
			switch {
			case e.key == "command":
				h.command = r.command(e.val, e.key)
			case e.key == "environment":
				h.environment = r.variables(e.val, e.key)
			case e.key == "user":
				h.user = r.str(e.val, e.key)
			case e.key == "working_dir":
				h.dir = r.str(e.val, e.key)
			case e.key == "privileged":
				if r.truth(e.val, e.key) {
					s.late.add(e.at, "privileged is not supported: %s", why(e.key))
				}
			case !initial:
				return false
			case e.key == "entrypoint":
				h.entrypoint, h.hasEntrypoint = r.command(e.val, e.key), e.val.kind != null
			case e.key == "env_file":
				h.envFiles = r.envFiles(e.val)
			case e.key == "per_replica":
				h.perReplica = r.truth(e.val, e.key)
			case passedOver[e.key] != nil:
				r.passOver(s, e, passedOver[e.key], s.section(), s.name, what, e.key)
			case slices.Contains(refused, e.key) || slices.Contains(honoured, e.key):
				of := s.node.child(e.key) // docker compose config prints what the service has
				if !empty(e.key, e.val) && (of == nil || !of.equal(e.val)) {
					s.late.add(e.at, "%s is not supported in pre_start: a step runs with what the service has", e.key)
				}
			default:
				return false
			}
			return true
		})
		if ok && !initial && item.get("command") == nil {
			r.probs.add(item.at, "%s needs a command", what)
		}
		if ok && !initial && len(h.command) == 0 {
			s.late.add(item.at, "the command of %s is empty", what)
		}
		out = append(out, h)
	}
	return out
}
