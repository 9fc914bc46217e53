package bundle

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/bounded"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// An environment is the supervisor's, in its order, without what is meant for the supervisor alone.
type environment struct {
	pairs  []string // NAME=VALUE
	values map[string]string
}

// newEnvironment keeps the first of several values, as getenv does.
func newEnvironment(env []string) *environment {
	e := &environment{values: make(map[string]string, len(env))}
	for _, kv := range env {
		name, value, ok := strings.Cut(kv, "=")
		if _, seen := e.values[name]; !ok || seen || name == "" || forSupervisor(name) {
			continue
		}
		e.pairs = append(e.pairs, kv)
		e.values[name] = value
	}
	return e
}

// forSupervisor reports whether a variable is the service manager's word to the supervisor, which nobody else may see.
func forSupervisor(name string) bool {
	return name == "NOTIFY_SOCKET" || strings.HasPrefix(name, "WATCHDOG_") || strings.HasPrefix(name, "LISTEN_")
}

// A vault knows which names are private, and to which services. What a secret comes from is private to nobody.
type vault struct {
	services []*service
	all      []pattern
	known    map[string]bool   // whether a name is private, once asked
	secrets  map[string]string // by their variables
}

func newVault(services []*service, secrets map[string]fileSource) *vault {
	v := &vault{services: services, known: map[string]bool{}, secrets: map[string]string{}}
	for _, s := range services {
		v.all = append(v.all, s.own.private...)
	}
	for _, name := range keysOf(secrets) {
		if n := secrets[name].variable; n != nil && n.Text != "" {
			v.secrets[n.Text] = name
			v.all = append(v.all, pattern{literal.Replace(n.Text), n.At})
		}
	}
	return v
}

// literal makes a pattern of a name that matches nothing else.
var literal = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

// secret reports whether a secret comes from the variable name.
func (v *vault) secret(name string) bool { return v.secrets[name] != "" }

// private reports whether any service, or a secret, has name for itself.
func (v *vault) private(name string) bool {
	private, ok := v.known[name]
	if !ok {
		private = declares(v.all, name)
		v.known[name] = private
	}
	return private
}

// hidden reports whether name is private, and not to s.
func (v *vault) hidden(name string, s *service) bool {
	return v.private(name) && (s == nil || v.secret(name) || !declares(s.own.private, name))
}

// owners are the services that declare name.
func (v *vault) owners(name string) string {
	var names []string
	for _, s := range v.services {
		if declares(s.own.private, name) {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ", ")
}

func declares(patterns []pattern, name string) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool { return p.matches(name) })
}

// search reports each private name that interpolation looked up below n, which belongs to s, or to no service if s is nil.
func (v *vault) search(n *compose.Node, s *service, probs *compose.Problems) {
	if len(v.all) == 0 {
		return
	}
	for _, name := range n.Vars {
		v.check(name, s, n.At, probs)
	}
	for _, item := range n.Items {
		v.search(item, s, probs)
	}
	for _, e := range n.Keys {
		v.search(e.Val, s, probs)
	}
}

// check reports the use of a private name by a service that does not declare it.
func (v *vault) check(name string, s *service, at compose.Pos, probs *compose.Problems) {
	switch {
	case !v.hidden(name, s):
	case v.secret(name):
		probs.Add(at, "%s is what the secret %s comes from, and reaches nobody: let the service read the file of that secret", name, v.secrets[name])
	case s == nil:
		probs.Add(at, "%s is private to %s: it cannot be used here", name, v.owners(name))
	default:
		probs.Add(at, "%s is private to %s: declare it in private_env of %s too, or do without it", name, v.owners(name), s.name)
	}
}

// declared is check of a name that a secret of s comes from: who declares it private decides who may have it.
func (v *vault) declared(name string, s *service, at compose.Pos, probs *compose.Problems) {
	if owners := v.owners(name); owners != "" && !declares(s.own.private, name) {
		probs.Add(at, "%s is private to %s: declare it in private_env of %s too, or do without it", name, owners, s.name)
	}
}

// without is env without the names for which hide says true.
func without(env []string, hide func(name string) bool) []string {
	out := make([]string, 0, len(env))
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); !hide(name) {
			out = append(out, kv)
		}
	}
	return out
}

// own is what env_file and environment give to s, as Compose resolves it: env_file first, in order, then environment;
// a variable without a value is taken from the project's environment, and unset where that lacks it.
func (l *loader) own(s *service, files []envFile, vars []variable) []variable {
	given := map[string]string{}
	out := slices.Clone(vars)
	for i, v := range out {
		l.vault.check(v.key, s, v.at, l.probs)
		if value, ok := l.lookup(v.key); v.value == nil && ok {
			out[i].value = &value
			l.checkAll(l.behind(v.key), s, v.at)
		}
		if out[i].value != nil {
			given[v.key] = *out[i].value
		}
	}
	all := maps.Clone(given)
	for _, f := range files {
		l.envFile(s, f, all, given)
	}
	var fromFiles []variable
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !slices.ContainsFunc(vars, func(v variable) bool { return v.key == key }) {
			value := all[key]
			fromFiles = append(fromFiles, variable{key: key, value: &value})
		}
	}
	return append(fromFiles, out...)
}

// envFile reads a file of variables into all. Interpolation in it sees the project's environment, then what environment
// gives, then what the files gave so far.
func (l *loader) envFile(s *service, f envFile, all, given map[string]string) {
	at, name := compose.Pos{File: f.path}, f.path
	if f.secret {
		at, name = f.at, "(its path has the value of a variable in it)"
	} else if !slices.Contains(l.inputs, f.path) {
		l.inputs = append(l.inputs, f.path)
	}
	data, err := bounded.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.required:
		return
	case err != nil:
		l.probs.Add(f.at, "cannot read env_file %s: %v", name, cause(err))
		return
	}
	look := func(name string) (string, bool) {
		if value, ok := l.lookup(name); ok {
			return value, true
		}
		value, ok := given[name]
		return value, ok
	}
	took := func(e compose.EnvEntry) {
		if !f.secret {
			at.Line, at.Col = e.Line, 1
		}
		l.vault.check(e.Key, s, at, l.probs)
		for _, name := range e.Names {
			l.vault.check(name, s, at, l.probs)
			l.checkAll(l.behind(name), s, at)
		}
		switch {
		case e.Key == "" || strings.ContainsAny(e.Key, "=\x00"):
			l.probs.Add(at, "%q is not a valid variable name", e.Key)
		case strings.ContainsRune(e.Value, 0):
			l.probs.Add(at, "the value of %s must not contain a NUL character", e.Key)
		}
	}
	if f.raw {
		l.rawEnv(f, at, data, all, look, took)
	} else if err := compose.ParseDotenv(string(data), all, look, took); err != nil {
		if !f.secret {
			at.Line, at.Col = err.Line, 1
		}
		l.probs.Add(at, "%s", err.Message)
	}
}

// checkAll is vault.check of several names.
func (l *loader) checkAll(names []string, s *service, at compose.Pos) {
	for _, name := range names {
		l.vault.check(name, s, at, l.probs)
	}
}

// rawEnv reads a file of KEY=VALUE lines of which nothing is interpreted (format: raw, as of docker run --env-file).
func (l *loader) rawEnv(f envFile, at compose.Pos, data []byte, all map[string]string, look compose.Lookup, took func(compose.EnvEntry)) {
	n := 0
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	for line := range bytes.Lines(data) {
		if n++; !f.secret {
			at.Line, at.Col = n, 1
		}
		text := strings.TrimLeftFunc(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), unicode.IsSpace)
		if text == "" || text[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(text, "=")
		switch {
		case !utf8.ValidString(text):
			l.probs.Add(at, "not UTF-8")
		case key == "" || strings.ContainsFunc(key, unicode.IsSpace):
			l.probs.Add(at, "must be KEY=VALUE, with a key without spaces")
		case found:
			all[key] = value
			took(compose.EnvEntry{Key: key, Value: value, Line: n})
		default:
			value, ok := look(key)
			if ok {
				all[key] = value
			}
			took(compose.EnvEntry{Key: key, Value: value, Line: n, Names: []string{key}})
		}
	}
}

// dotEnv reads the .env beside the first file. It serves interpolation only; the environment wins over it.
func (l *loader) dotEnv(path string) {
	l.inputs = append(l.inputs, path)
	data, err := bounded.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EISDIR): // some keep a directory of that name
		return
	case err != nil:
		l.probs.Add(compose.Pos{File: path}, "%s", notRead(err))
		return
	}
	l.dotenv, l.origins = map[string]string{}, map[string][]string{}
	if err := compose.ParseDotenv(string(data), l.dotenv, l.lookup, func(e compose.EnvEntry) {
		var names []string
		for _, name := range e.Names {
			names = append(append(names, name), l.behind(name)...)
		}
		l.origins[e.Key] = names
	}); err != nil {
		l.probs.Add(compose.Pos{File: path, Line: err.Line, Col: 1}, "%s", err.Message)
	}
}

// behind are the variables that name stands for where it is taken from .env: a private one must not get out by a detour.
func (l *loader) behind(name string) []string {
	if _, ok := l.env.values[name]; ok {
		return nil
	}
	return l.origins[name]
}

// notRead says why a file could not be read.
func notRead(err error) string {
	if errors.Is(err, bounded.ErrTooLarge) {
		return err.Error() + ", the most that is read"
	}
	return "cannot be read: " + cause(err).Error()
}

// cause is the error without the operation and the path.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
