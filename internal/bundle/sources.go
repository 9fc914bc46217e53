package bundle

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Secrets and configs: what a service asks for, and where it comes from.

// A fileRef is an entry of secrets or configs of a service.
type fileRef struct {
	kind   string // "secrets" or "configs"
	source string
	target string
	name   *node // the source as written

	uid, gid string
	mode     *fs.FileMode
	attrs    []entry // these, as written
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
			case "uid":
				f.uid, f.attrs = r.str(e.val, e.key), append(f.attrs, e)
			case "gid":
				f.gid, f.attrs = r.str(e.val, e.key), append(f.attrs, e)
			case "mode":
				f.mode, f.attrs = r.mode(e.val), append(f.attrs, e)
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
func (r *reader) mode(n *node) *fs.FileMode {
	v, ok := n.val.(int)
	if n.kind == text {
		octal, err := strconv.ParseInt(n.text, 8, 32)
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
	at       pos
	path     string // absolute
	variable *node
	content  *node
	what     string // the key that makes it something else, or none
}

// written reports whether the file is made here, so that it has an owner and a mode of ours.
func (f fileSource) written() bool { return f.variable != nil || f.content != nil }

// fileSources reads the secrets or configs at the top. What cannot be had here is a problem only where a service uses it.
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
			r.probs.add(e.at, "%q is not a valid name in %s: use letters, digits, dots, dashes and underscores", e.key, kind)
		}
		ways := 0
		r.mapping(e.val, kind+"."+e.key, known, func(e entry) bool {
			switch {
			case e.key == "file":
				f.path = r.hostPath(r.str(e.val, e.key))
				ways++
			case e.key == "environment":
				r.str(e.val, e.key)
				f.variable = e.val
				ways++
			case e.key == "content" && kind == "configs":
				r.str(e.val, e.key)
				f.content = e.val
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

// file is what a service asks for with an entry of secrets or configs; false if it cannot be had.
func (l *loader) file(s *service, f fileRef, sources map[string]fileSource) (File, bool) {
	source, ok := sources[f.source]
	kind, name := strings.TrimSuffix(f.kind, "s"), f.kind+"."+f.source
	out := File{Kind: kind, Name: f.source, Source: source.path, Target: f.target, At: source.at.String()}
	switch {
	case !ok:
		l.probs.add(f.name.at, "unknown %s: %s", kind, unknown(f.name, keysOf(sources)))
		return out, false
	case source.what != "":
		l.probs.add(source.at, "%s must be a plain file, a variable or a content here: %s is not supported", name, source.what)
		return out, false
	case !source.written() && source.path == "":
		l.probs.add(source.at, "%s needs a file: its name is empty", name)
		return out, false
	case !source.written():
		return out, true
	case source.content != nil:
		out.Content = &source.content.text
	case source.variable.text == "":
		l.probs.add(source.at, "%s needs a variable: its name is empty", name)
		return out, false
	default:
		n := source.variable
		out.Variable = n.text
		for _, variable := range append(l.behind(n.text), n.text) {
			if f.kind == "configs" || !l.vault.secret(variable) {
				l.vault.check(variable, s, n.at, l.probs)
			} else {
				l.vault.declared(variable, s, n.at, l.probs)
			}
		}
		if value, set := l.lookup(n.text); set {
			out.Content = &value
		} else {
			l.warn(n.at, fmt.Sprintf("the variable %s is not set, and %s %s is its value: run would refuse to start", n.show(), kind, f.source))
		}
	}
	out.User, out.UID, out.GID, out.Mode = s.user, f.uid, f.gid, 0o400
	if f.mode != nil {
		out.Mode = *f.mode
	}
	for _, e := range f.attrs {
		_, err := strconv.ParseUint(e.val.text, 10, 31)
		switch {
		case e.key == "mode" && out.Mode&^0o777 != 0:
			l.probs.add(e.val.at, "mode must be between 0 and 0777")
		case e.key != "mode" && e.val.kind == text && e.val.text != "" && err != nil:
			l.probs.add(e.val.at, "%s must be a number here, not %s", e.key, e.val.show())
		}
	}
	return out, true
}

// passFiles notes the owners and modes of files that are used where they are, as they are.
func (s *service) passFiles(sources map[string]map[string]fileSource) {
	for _, f := range s.files {
		if !sources[f.kind][f.source].written() {
			for _, e := range f.attrs {
				s.passed = append(s.passed, passed(e, s.section(), s.name, f.kind, e.key))
			}
		}
	}
}
