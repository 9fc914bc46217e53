package bundle

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reader reads typed values out of a tree. Whatever it does not accept becomes a problem that says what is expected;
// it returns the zero value then.
type reader struct {
	probs *problems
	// base is the directory that relative paths start from: that of the first file.
	base string
	// home is the HOME of the environment, for paths that start with ~.
	home string
}

func (r *reader) want(n *node, what, want string) {
	not := n.kind.String()
	switch n.kind {
	case text, truth, number, date:
		not = n.show()
	}
	r.probs.bad(n, "%s must be %s, not %s", what, want, not)
}

// str reads a string. A number or boolean is none in Compose either.
func (r *reader) str(n *node, what string) string {
	switch n.kind {
	case text:
		if strings.ContainsRune(n.text, 0) {
			r.probs.add(n.at, "%s must not contain a NUL character", what)
		}
		return n.text
	case truth, number, date:
		r.probs.bad(n, "%s must be a string: write %q, with the quotes", what, n.text)
	default:
		r.want(n, what, "a string")
	}
	return ""
}

// truth reads a boolean. A string that says one serves too, as interpolation gives.
func (r *reader) truth(n *node, what string) bool {
	switch n.kind {
	case truth:
		return n.val.(bool)
	case text:
		if v, ok := parseTruth(n.text); ok {
			return v
		}
	}
	r.want(n, what, "true or false")
	return false
}

// whole reads a whole number between low and high.
func (r *reader) whole(n *node, what string, low, high int) int {
	v, ok := n.val.(int)
	if n.kind == text {
		var err error
		v, err = strconv.Atoi(n.text)
		ok = err == nil
	}
	switch {
	case !ok:
		r.want(n, what, "a whole number")
	case v < low || v > high:
		r.probs.add(n.at, "%s must be between %d and %d", what, low, high)
	default:
		return v
	}
	return low
}

// duration reads a duration that is not negative.
func (r *reader) duration(n *node, what string) time.Duration {
	if n.kind != text {
		r.want(n, what, `a duration, such as "10s" or "1m30s"`)
		return 0
	}
	d, ok := parseDuration(n.text)
	if !ok || d < 0 {
		r.want(n, what, `a duration, such as "10s" or "1m30s"`)
		return 0
	}
	return d
}

// strings reads a list of strings, each once if distinct.
func (r *reader) strings(n *node, what string, distinct bool) []string {
	if n.kind != list {
		r.want(n, what, "a list of strings")
		return nil
	}
	out := make([]string, 0, len(n.items))
	for _, item := range n.items {
		s := r.str(item, "an item of "+what)
		if distinct && slices.Contains(out, s) && item.kind == text {
			r.probs.add(item.at, "%s has %s twice", what, item.show())
			continue
		}
		out = append(out, s)
	}
	return out
}

// oneOf reads one of some strings.
func (r *reader) oneOf(n *node, what string, values ...string) string {
	s := r.str(n, what)
	if n.kind != text || slices.Contains(values, s) {
		return s
	}
	hint := ""
	if len(n.vars) == 0 {
		hint = didYouMean(s, values)
	}
	r.probs.bad(n, "%s must be %s, not %s%s", what, or(values), n.show(), hint)
	return ""
}

// or is a list of alternatives for people.
func or(values []string) string {
	values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}

// command reads a command: a string, which is split into words, or a list. Nil is a command that is not set.
func (r *reader) command(n *node, what string) []string {
	switch n.kind {
	case null:
		return nil
	case text:
		words, err := splitWords(r.str(n, what))
		if err != nil {
			r.probs.add(n.at, "%s %v", what, err)
		}
		return words
	case list:
		return r.strings(n, what, false)
	}
	r.want(n, what, "a string or a list of strings")
	return nil
}

// mapping calls read for each key of a mapping but the x- keys; read returns false for a key that it does not know.
// Nil for known means the keys of a service.
func (r *reader) mapping(n *node, what string, known []string, read func(e entry) bool) bool {
	if n.kind != dict {
		r.want(n, what, "a mapping")
		return false
	}
	for _, e := range n.keys {
		if strings.HasPrefix(e.key, "x-") {
			continue
		}
		if !read(e) {
			if known == nil {
				known = slices.Concat(honoured, joined, refused, keysOf(passedOver))
				if strings.HasPrefix(what, "jobs.") {
					known = slices.DeleteFunc(append(known, "triggers"), func(k string) bool { return slices.Contains(notOfJobs, k) })
				}
			}
			r.unknown(e, what, known)
		}
	}
	return true
}

// unknown reports a key that nobody knows.
func (r *reader) unknown(e entry, what string, known []string) {
	if what != "" {
		what = " in " + what
	}
	hint := didYouMean(e.key, known)
	if what == "" { // what is refused is no advice
		known = slices.DeleteFunc(slices.Clone(known), func(k string) bool { _, no := refusedTop[k]; return no })
	}
	if hint == "" && len(known) > 0 && len(known) <= 12 {
		hint = "; known are " + strings.Join(known, ", ")
	}
	r.probs.add(e.at, "unknown key %q%s%s", e.key, what, phrase(hint))
}

// A variable is an entry of an environment.
type variable struct {
	key   string
	value *string // nil: as in the environment of the supervisor, else unset
	at    pos
	named []string // the variables that interpolation put into the name, or into the item that has it
}

// variables reads an environment: a mapping, or a list of KEY=VALUE.
func (r *reader) variables(n *node, what string) []variable {
	out := r.pairs(n, what)
	for _, v := range out {
		switch {
		case v.key == "" || strings.ContainsAny(v.key, "=\x00") || strings.TrimSpace(v.key) != v.key:
			r.probs.add(v.at, "%s: %s is not a valid variable name", what, (&node{text: v.key, vars: v.named}).show())
		case v.value != nil && strings.ContainsRune(*v.value, 0):
			r.probs.add(v.at, "%s: a value must not contain a NUL character", what)
		}
	}
	return out
}

// pairs reads a mapping of strings, or a list of KEY=VALUE.
func (r *reader) pairs(n *node, what string) (out []variable) {
	switch n.kind {
	case dict:
		for _, e := range n.keys {
			v := variable{key: e.key, at: e.at}
			switch e.val.kind {
			case null:
			case text, truth, number:
				s := e.val.sprint()
				v.value = &s
			case date:
				r.str(e.val, e.key)
			default:
				r.want(e.val, e.key, "a string, a number or a boolean")
				continue
			}
			out = append(out, v)
		}
	case list:
		for i, item := range n.items {
			if item.kind != text {
				r.want(item, "an item of "+what, "a string KEY=VALUE")
				continue
			}
			if slices.ContainsFunc(n.items[:i], item.equal) {
				r.probs.add(item.at, "%s has an item twice", what)
				continue
			}
			if item.bad { // which was told
				continue
			}
			key, value, found := strings.Cut(item.text, "=")
			v := variable{key: key, at: item.at, named: item.vars}
			if found {
				v.value = &value
			}
			out = append(out, v)
		}
	default:
		r.want(n, what, "a mapping or a list of KEY=VALUE")
	}
	return out
}

// hostPath is path, where an absolute path of Windows stays as it is: the engine's machine may be one.
func (r *reader) hostPath(p string) string {
	if len(p) > 2 && p[1] == ':' && (p[2] == '\\' || p[2] == '/') || strings.HasPrefix(p, `\\`) {
		return p
	}
	return r.path(p)
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
