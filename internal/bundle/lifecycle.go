package bundle

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
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
				if !empty(e.key, e.val) {
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

// A fileRef is an entry of secrets or configs of a service.
type fileRef struct {
	kind   string // "secrets" or "configs"
	source string
	target string
	name   *node // the source as written
}

// fileRefs reads the secrets or configs of a service.
func (r *reader) fileRefs(s *service, n *node, kind string) (out []fileRef) {
	if n.kind != list {
		r.want(n, kind, "a list")
		return nil
	}
	dir := "/"
	if kind == "secrets" {
		dir = "/run/secrets"
	}
	for _, item := range n.items {
		f := fileRef{kind: kind, name: item}
		if item.kind == text {
			f.source = r.str(item, kind)
		} else if !r.mapping(item, kind, []string{"source", "target", "uid", "gid", "mode"}, func(e entry) bool {
			switch e.key {
			case "source":
				f.source, f.name = r.str(e.val, e.key), e.val
			case "target":
				f.target = r.str(e.val, e.key)
			case "uid", "gid", "mode":
				switch {
				case e.key != "mode":
					r.str(e.val, e.key)
				case e.val.kind == text && e.val.text == "", e.val.kind != text && e.val.kind != number:
					r.want(e.val, e.key, "a whole number")
				}
				s.passed = append(s.passed, passed(e, s.section(), s.name, kind, e.key)) // the file is used where it is, as it is
			default:
				return false
			}
			return true
		}) {
			continue
		}
		if f.target == "" {
			f.target = f.source
		}
		if !filepath.IsAbs(f.target) {
			f.target = filepath.Join(dir, f.target)
		}
		out = append(out, f)
	}
	return out
}

// A fileSource is an entry of secrets or configs at the top.
type fileSource struct {
	at   pos
	path string // absolute
	what string // the key that makes it more than a file, or none
}

// fileSources reads the secrets or configs at the top. What is no file is a problem only where a service uses it.
func (r *reader) fileSources(tree *node, kind string) map[string]fileSource {
	e := tree.get(kind)
	if e == nil {
		return nil
	}
	out := map[string]fileSource{}
	known := []string{"file", "environment", "external", "labels", "name", "template_driver"}
	if kind == "secrets" {
		known = append(known, "driver", "driver_opts")
	} else {
		known = append(known, "content")
	}
	if e.val.kind != dict {
		r.want(e.val, kind, "a mapping")
		return nil
	}
	for _, e := range e.val.keys {
		f := fileSource{at: e.at}
		if !validName(e.key) {
			r.probs.add(e.at, "%q is no name in %s: use letters, digits, dots, dashes and underscores", e.key, kind)
		}
		ways := 0
		r.mapping(e.val, kind+"."+e.key, known, func(e entry) bool {
			switch {
			case e.key == "file":
				f.path = r.path(r.str(e.val, e.key))
				ways++
			case e.key == "environment", e.key == "content" && kind == "configs":
				r.str(e.val, e.key)
				f.what = e.key
				ways++
			case e.key == "external":
				if e.val.kind == dict || r.truth(e.val, e.key) { // a mapping is an old form of true
					f.what = e.key
				}
			case e.key == "template_driver", kind == "secrets" && e.key == "driver":
				f.what = e.key
				r.str(e.val, e.key)
			case kind == "secrets" && e.key == "driver_opts":
				f.what = e.key
				if e.val.kind != dict {
					r.want(e.val, e.key, "a mapping")
				}
			case e.key == "labels":
				r.labels(e.val)
			case e.key == "name":
				r.str(e.val, e.key)
			default:
				return slices.Contains(known, e.key)
			}
			return true
		})
		switch {
		case ways > 1:
			r.probs.add(e.at, "%s.%s can have only one of file, environment and content", kind, e.key)
		case ways == 0 && e.val.get("external") == nil && e.val.get("driver") == nil:
			r.probs.add(e.at, "%s.%s needs a file", kind, e.key)
		}
		out[e.key] = f
	}
	return out
}

// path makes a path absolute, as Compose does: ~ is the home directory, and a relative path starts beside the first file.
func (r *reader) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~"); ok && r.home != "" {
		return filepath.Join(r.home, rest)
	}
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(r.base, p)
}
