package bundle

import (
	"math"
	"slices"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// healthcheck reads a healthcheck; nil where it is disabled.
func (r *reader) healthcheck(s *service, n *compose.Node) *Healthcheck {
	h := &Healthcheck{}
	disabled := false
	var test []string
	known := []string{"test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"}
	ok := r.mapping(n, "healthcheck", known, func(e compose.Entry) bool {
		switch e.Key {
		case "test":
			test = r.healthTest(s, e.Val)
		case "interval":
			h.Interval = r.duration(e.Val, e.Key)
		case "timeout":
			h.Timeout = r.duration(e.Val, e.Key)
		case "start_period":
			h.StartPeriod = r.duration(e.Val, e.Key)
		case "start_interval":
			h.StartInterval = r.duration(e.Val, e.Key)
		case "retries":
			h.Retries = r.whole(e.Val, e.Key, 0, math.MaxInt32)
		case "disable":
			disabled = r.truth(e.Val, e.Key)
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
		s.late.Add(n.At, "the healthcheck has no test, and nothing supplies one here")
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
func (r *reader) healthTest(s *service, n *compose.Node) []string {
	switch n.Kind {
	case compose.Text:
		if r.str(n, "test") == "" {
			return nil
		}
		return []string{"CMD-SHELL", n.Text}
	case compose.List:
		test := r.strings(n, "test", false)
		if len(test) == 0 {
			return nil
		}
		known := []string{"CMD", "CMD-SHELL", "NONE"}
		switch {
		case !slices.Contains(known, test[0]):
			s.late.Add(n.Items[0].At, "test must start with CMD, CMD-SHELL or NONE, not %s%s", n.Items[0].Show(), compose.DidYouMean(test[0], known))
		case len(test) == 1 && test[0] != "NONE":
			s.late.Add(n.At, "test has no command after %s", test[0])
		}
		return test
	}
	r.want(n, "test", "a string or a list of strings")
	return nil
}

// A hook is a step of pre_start, post_start or pre_stop, as the file has it.
type hook struct {
	at                  compose.Pos
	command, entrypoint []string
	hasEntrypoint       bool
	environment         []variable
	envFiles            []envFile
	dir, user           string
	perReplica          bool
}

// hooks reads a list of hooks. A step of pre_start is a container of its own in Compose, so it can have more keys.
func (r *reader) hooks(s *service, n *compose.Node, what string) (out []hook) {
	if n.Kind != compose.List {
		r.want(n, what, "a list")
		return nil
	}
	initial := what == "pre_start"
	known := []string{"command", "environment", "user", "working_dir", "privileged"}
	if initial {
		known = append(known, "entrypoint", "env_file", "per_replica")
	}
	for _, item := range n.Items {
		h := hook{at: item.At}
		ok := r.mapping(item, what, known, func(e compose.Entry) bool {
			switch {
			case e.Key == "command":
				h.command = r.command(e.Val, e.Key)
			case e.Key == "environment":
				h.environment = r.variables(e.Val, e.Key)
			case e.Key == "user":
				h.user = r.str(e.Val, e.Key)
			case e.Key == "working_dir":
				h.dir = r.str(e.Val, e.Key)
			case e.Key == "privileged":
				if r.truth(e.Val, e.Key) {
					s.late.Add(e.At, "privileged is not supported: %s", why(e.Key))
				}
			case !initial:
				return false
			case e.Key == "entrypoint":
				h.entrypoint, h.hasEntrypoint = r.command(e.Val, e.Key), e.Val.Kind != compose.Null
			case e.Key == "env_file":
				h.envFiles = r.envFiles(e.Val)
			case e.Key == "per_replica":
				h.perReplica = r.truth(e.Val, e.Key)
			case passedOver[e.Key] != nil:
				r.passOver(s, e, passedOver[e.Key], s.section(), s.name, what, e.Key)
			case slices.Contains(refused, e.Key) || slices.Contains(honoured, e.Key):
				of := s.node.Child(e.Key) // docker compose config prints what the service has
				if !empty(e.Key, e.Val) && (of == nil || !of.Equal(e.Val)) {
					s.late.Add(e.At, "%s is not supported in pre_start: a step runs with what the service has", e.Key)
				}
			default:
				return false
			}
			return true
		})
		if ok && !initial && item.Get("command") == nil {
			r.probs.Add(item.At, "%s needs a command", what)
		}
		if ok && !initial && len(h.command) == 0 {
			s.late.Add(item.At, "the command of %s is empty", what)
		}
		out = append(out, h)
	}
	return out
}
