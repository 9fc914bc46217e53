package bundle

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// A reader reads typed values out of a tree. Whatever it does not accept becomes a problem that says what is expected;
// it returns the zero value then.
type reader struct {
	probs *compose.Problems
	// base is the directory that relative paths start from: that of the first file.
	base string
	// home is the HOME of the environment, for paths that start with ~.
	home string
}

func (r *reader) want(n *compose.Node, what, want string) {
	not := n.Kind.String()
	switch n.Kind {
	case compose.Text, compose.Truth, compose.Number, compose.Date:
		not = n.Show()
	}
	r.probs.Bad(n, "%s must be %s, not %s", what, want, not)
}

// str reads a string. A number or boolean is none in Compose either.
func (r *reader) str(n *compose.Node, what string) string {
	switch n.Kind {
	case compose.Text:
		if strings.ContainsRune(n.Text, 0) {
			r.probs.Add(n.At, "%s must not contain a NUL character", what)
		}
		return n.Text
	case compose.Truth, compose.Number, compose.Date:
		r.probs.Bad(n, "%s must be a string: write %q, with the quotes", what, n.Text)
	default:
		r.want(n, what, "a string")
	}
	return ""
}

// truth reads a boolean. A string that says one serves too, as interpolation gives.
func (r *reader) truth(n *compose.Node, what string) bool {
	switch n.Kind {
	case compose.Truth:
		return n.Val.(bool)
	case compose.Text:
		if v, ok := compose.ParseTruth(n.Text); ok {
			return v
		}
	}
	r.want(n, what, "true or false")
	return false
}

// whole reads a whole number between low and high.
func (r *reader) whole(n *compose.Node, what string, low, high int) int {
	v, ok := n.Val.(int)
	if n.Kind == compose.Text {
		var err error
		v, err = strconv.Atoi(n.Text)
		ok = err == nil
	}
	switch {
	case !ok:
		r.want(n, what, "a whole number")
	case v < low || v > high:
		r.probs.Add(n.At, "%s must be between %d and %d", what, low, high)
	default:
		return v
	}
	return low
}

// duration reads a duration that is not negative.
func (r *reader) duration(n *compose.Node, what string) time.Duration {
	if n.Kind != compose.Text {
		r.want(n, what, `a duration, such as "10s" or "1m30s"`)
		return 0
	}
	d, ok := compose.ParseDuration(n.Text)
	if !ok || d < 0 {
		r.want(n, what, `a duration, such as "10s" or "1m30s"`)
		return 0
	}
	return d
}

// strings reads a list of strings, each once if distinct.
func (r *reader) strings(n *compose.Node, what string, distinct bool) []string {
	if n.Kind != compose.List {
		r.want(n, what, "a list of strings")
		return nil
	}
	out := make([]string, 0, len(n.Items))
	for _, item := range n.Items {
		s := r.str(item, "an item of "+what)
		if distinct && slices.Contains(out, s) && item.Kind == compose.Text {
			r.probs.Add(item.At, "%s has %s twice", what, item.Show())
			continue
		}
		out = append(out, s)
	}
	return out
}

// oneOf reads one of some strings.
func (r *reader) oneOf(n *compose.Node, what string, values ...string) string {
	s := r.str(n, what)
	if n.Kind != compose.Text || slices.Contains(values, s) {
		return s
	}
	hint := ""
	if len(n.Vars) == 0 {
		hint = compose.DidYouMean(s, values)
	}
	r.probs.Bad(n, "%s must be %s, not %s%s", what, or(values), n.Show(), hint)
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
func (r *reader) command(n *compose.Node, what string) []string {
	switch n.Kind {
	case compose.Null:
		return nil
	case compose.Text:
		words, err := compose.SplitWords(r.str(n, what))
		if err != nil {
			r.probs.Add(n.At, "%s %v", what, err)
		}
		return words
	case compose.List:
		return r.strings(n, what, false)
	}
	r.want(n, what, "a string or a list of strings")
	return nil
}

// mapping calls read for each key of a mapping but the x- keys; read returns false for a key that it does not know.
// Nil for known means the keys of a service.
func (r *reader) mapping(n *compose.Node, what string, known []string, read func(e compose.Entry) bool) bool {
	if n.Kind != compose.Dict {
		r.want(n, what, "a mapping")
		return false
	}
	for _, e := range n.Keys {
		if strings.HasPrefix(e.Key, "x-") {
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
func (r *reader) unknown(e compose.Entry, what string, known []string) {
	if what != "" {
		what = " in " + what
	}
	hint := compose.DidYouMean(e.Key, known)
	if what == "" { // what is refused is no advice
		known = slices.DeleteFunc(slices.Clone(known), func(k string) bool { _, no := refusedTop[k]; return no })
	}
	if hint == "" && len(known) > 0 && len(known) <= 12 {
		hint = "; known are " + strings.Join(known, ", ")
	}
	r.probs.Add(e.At, "unknown key %q%s%s", e.Key, what, compose.Phrase(hint))
}

// A variable is an entry of an environment.
type variable struct {
	key   string
	value *string // nil: as in the environment of the supervisor, else unset
	at    compose.Pos
	named []string // the variables that interpolation put into the name, or into the item that has it
}

// variables reads an environment: a mapping, or a list of KEY=VALUE.
func (r *reader) variables(n *compose.Node, what string) []variable {
	out := r.pairs(n, what)
	for _, v := range out {
		switch {
		case v.key == "" || strings.ContainsAny(v.key, "=\x00") || strings.TrimSpace(v.key) != v.key:
			r.probs.Add(v.at, "%s: %s is not a valid variable name", what, (&compose.Node{Text: v.key, Vars: v.named}).Show())
		case v.value != nil && strings.ContainsRune(*v.value, 0):
			r.probs.Add(v.at, "%s: a value must not contain a NUL character", what)
		}
	}
	return out
}

// pairs reads a mapping of strings, or a list of KEY=VALUE.
func (r *reader) pairs(n *compose.Node, what string) (out []variable) {
	switch n.Kind {
	case compose.Dict:
		for _, e := range n.Keys {
			v := variable{key: e.Key, at: e.At}
			switch e.Val.Kind {
			case compose.Null:
			case compose.Text, compose.Truth, compose.Number:
				s := e.Val.Sprint()
				v.value = &s
			case compose.Date:
				r.str(e.Val, e.Key)
			default:
				r.want(e.Val, e.Key, "a string, a number or a boolean")
				continue
			}
			out = append(out, v)
		}
	case compose.List:
		for i, item := range n.Items {
			if item.Kind != compose.Text {
				r.want(item, "an item of "+what, "a string KEY=VALUE")
				continue
			}
			if slices.ContainsFunc(n.Items[:i], item.Equal) {
				r.probs.Add(item.At, "%s has an item twice", what)
				continue
			}
			if item.Bad { // which was told
				continue
			}
			key, value, found := strings.Cut(item.Text, "=")
			v := variable{key: key, at: item.At, named: item.Vars}
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
