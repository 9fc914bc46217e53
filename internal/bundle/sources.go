package bundle

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// Secrets and configs: what a service asks for, and where it comes from.

// A fileRef is an entry of secrets or configs of a service.
type fileRef struct {
	kind   string // "secrets" or "configs"
	source string
	target string
	name   *compose.Node // the source as written

	uid, gid string
	mode     *fs.FileMode
	attrs    []compose.Entry // these, as written
}

// fileRefs reads the secrets or configs of a service.
func (r *reader) fileRefs(s *service, n *compose.Node, kind string) (out []fileRef) {
	if n.Kind != compose.List {
		r.want(n, kind, "a list")
		return nil
	}
	dir := "/"
	if kind == "secrets" {
		dir = "/run/secrets"
	}
	for _, item := range n.Items {
		f := fileRef{kind: kind, name: item}
		if item.Kind == compose.Text {
			f.source = r.str(item, kind)
		} else if !r.mapping(item, kind, []string{"source", "target", "uid", "gid", "mode"}, func(e compose.Entry) bool {
			switch e.Key {
			case "source":
				f.source, f.name = r.str(e.Val, e.Key), e.Val
			case "target":
				f.target = r.str(e.Val, e.Key)
			case "uid":
				f.uid, f.attrs = r.str(e.Val, e.Key), append(f.attrs, e)
			case "gid":
				f.gid, f.attrs = r.str(e.Val, e.Key), append(f.attrs, e)
			case "mode":
				f.mode, f.attrs = r.mode(e.Val), append(f.attrs, e)
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

// mode reads the mode of a file. A string is octal, as in Compose; nil is one that is not given, or none.
func (r *reader) mode(n *compose.Node) *fs.FileMode {
	v, ok := n.Val.(int)
	if n.Kind == compose.Text {
		octal, err := strconv.ParseInt(n.Text, 8, 32)
		v, ok = int(octal), err == nil
	}
	if !ok {
		r.want(n, "mode", "an octal number, such as 0440")
		return nil
	}
	mode := fs.FileMode(v)
	return &mode
}

// A fileSource is an entry of secrets or configs at the top: a file, a variable, or a content.
type fileSource struct {
	at       compose.Pos
	path     string // absolute
	variable *compose.Node
	content  *compose.Node
	what     string // the key that makes it something else, or none
}

// written reports whether the file is made here, so that it has an owner and a mode of ours.
func (f fileSource) written() bool { return f.variable != nil || f.content != nil }

// fileSources reads the secrets or configs at the top. What cannot be had here is a problem only where a service uses it.
func (r *reader) fileSources(tree *compose.Node, kind string) map[string]fileSource {
	e := tree.Get(kind)
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
	if e.Val.Kind != compose.Dict {
		r.want(e.Val, kind, "a mapping")
		return nil
	}
	for _, e := range e.Val.Keys {
		f := fileSource{at: e.At}
		if !validName(e.Key) {
			r.probs.Add(e.At, "%q is not a valid name in %s: use letters, digits, dots, dashes and underscores", e.Key, kind)
		}
		ways := 0
		r.mapping(e.Val, kind+"."+e.Key, known, func(e compose.Entry) bool {
			switch {
			case e.Key == "file":
				f.path = r.hostPath(r.str(e.Val, e.Key))
				ways++
			case e.Key == "environment":
				r.str(e.Val, e.Key)
				f.variable = e.Val
				ways++
			case e.Key == "content" && kind == "configs":
				r.str(e.Val, e.Key)
				f.content = e.Val
				ways++
			case e.Key == "external":
				if e.Val.Kind == compose.Dict || r.truth(e.Val, e.Key) { // a mapping is an old form of true
					f.what = e.Key
				}
			case e.Key == "template_driver", kind == "secrets" && e.Key == "driver":
				f.what = e.Key
				r.str(e.Val, e.Key)
			case kind == "secrets" && e.Key == "driver_opts":
				f.what = e.Key
				if e.Val.Kind != compose.Dict {
					r.want(e.Val, e.Key, "a mapping")
				}
			case e.Key == "labels":
				r.labels(e.Val)
			case e.Key == "name":
				r.str(e.Val, e.Key)
			default:
				return slices.Contains(known, e.Key)
			}
			return true
		})
		switch {
		case ways > 1:
			r.probs.Add(e.At, "%s.%s can have only one of file, environment and content", kind, e.Key)
		case ways == 0 && e.Val.Get("external") == nil && e.Val.Get("driver") == nil:
			r.probs.Add(e.At, "%s.%s needs a file", kind, e.Key)
		}
		out[e.Key] = f
	}
	return out
}

// file is what a service asks for with an entry of secrets or configs; false if it cannot be had.
func (l *loader) file(s *service, f fileRef, sources map[string]fileSource) (File, bool) {
	source, ok := sources[f.source]
	kind, name := strings.TrimSuffix(f.kind, "s"), f.kind+"."+f.source
	out := File{Kind: kind, Name: f.source, Source: source.path, Target: f.target, At: source.at.String()}
	switch {
	case !ok:
		l.probs.Add(f.name.At, "unknown %s: %s", kind, compose.Suggest(f.name, keysOf(sources)))
		return out, false
	case source.what != "":
		l.probs.Add(source.at, "%s must be a plain file, a variable or a content here: %s is not supported", name, source.what)
		return out, false
	case !source.written() && source.path == "":
		l.probs.Add(source.at, "%s needs a file: its name is empty", name)
		return out, false
	case !source.written():
		return out, true
	case source.content != nil:
		out.Content = &source.content.Text
	case source.variable.Text == "":
		l.probs.Add(source.at, "%s needs a variable: its name is empty", name)
		return out, false
	default:
		n := source.variable
		out.Variable = n.Text
		for _, variable := range append(l.behind(n.Text), n.Text) {
			if f.kind == "configs" || !l.vault.secret(variable) {
				l.vault.check(variable, s, n.At, l.probs)
			} else {
				l.vault.declared(variable, s, n.At, l.probs)
			}
		}
		if value, set := l.lookup(n.Text); set {
			out.Content = &value
		} else {
			l.warn(n.At, fmt.Sprintf("the variable %s is not set, and %s %s is its value: run would refuse to start", n.Show(), kind, f.source))
		}
	}
	out.User, out.UID, out.GID, out.Mode = s.user, f.uid, f.gid, 0o400
	if f.mode != nil {
		out.Mode = *f.mode
	}
	for _, e := range f.attrs {
		_, err := strconv.ParseUint(e.Val.Text, 10, 31)
		switch {
		case e.Key == "mode" && out.Mode&^0o777 != 0:
			l.probs.Add(e.Val.At, "mode must be between 0 and 0777")
		case e.Key != "mode" && e.Val.Kind == compose.Text && e.Val.Text != "" && err != nil:
			l.probs.Add(e.Val.At, "%s must be a number here, not %s", e.Key, e.Val.Show())
		}
	}
	return out, true
}

// passFiles notes the owners and modes of files that are used where they are, as they are.
func (s *service) passFiles(sources map[string]map[string]fileSource) {
	for _, f := range s.files {
		if !sources[f.kind][f.source].written() {
			for _, e := range f.attrs {
				s.passed = append(s.passed, passed(e, s.section(), s.name, f.kind, e.Key))
			}
		}
	}
}
