package bundle

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/bounded"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// builtin is the built-in bundle.
//
//go:embed builtin.yaml
var builtin []byte

// Builtin is the bundle that runs when no file is given.
func Builtin(o Options) (*Bundle, error) {
	return load(o, []source{{name: "builtin.yaml", data: builtin}}, "")
}

// Load reads the files of o. The error is an *Errors, with all problems of the files, or an *UnknownDaemonError.
func Load(o Options) (*Bundle, error) {
	return loadFiles(o)
}

func loadFiles(o Options) (*Bundle, error) {
	var probs compose.Problems
	sources := make([]source, len(o.Files))
	for i, name := range o.Files {
		data, err := readFile(name)
		if err != nil {
			probs.Add(compose.Pos{File: name}, "%s", notRead(err))
		}
		sources[i] = source{name, data}
	}
	if len(sources) == 0 {
		return nil, errors.New("no bundle file is given")
	}
	if err := probs.Err(o.Files); err != nil {
		return nil, err
	}
	base, err := filepath.Abs(filepath.Dir(o.Files[0]))
	if err != nil {
		return nil, err
	}
	return load(o, sources, base)
}

// readFile reads a bundle file; "-" is standard input.
func readFile(name string) ([]byte, error) {
	if name == "-" {
		return bounded.ReadAll(os.Stdin)
	}
	return bounded.ReadFile(name)
}

// A source is a file that has been read.
type source struct {
	name string
	data []byte
}

// A loader turns sources into a bundle.
type loader struct {
	options Options
	probs   *compose.Problems
	reader  *reader
	env     *environment
	inputs  []string // beside Options.Files
	dotenv  map[string]string
	origins map[string][]string // the variables that those of dotenv were made of
	name    string              // of the bundle
	named   bool
	broken  bool // a file is no YAML, or no mapping: what else would be found follows from that

	services []*service
	vault    *vault
	warnings []Warning
}

// load reads sources into a bundle; base is the directory of the first, or empty for the built-in bundle.
func load(o Options, sources []source, base string) (*Bundle, error) {
	l := newLoader(o, base)
	var files []string
	if base != "" {
		files = o.Files
		l.dotEnv(filepath.Join(base, ".env"))
	}
	tree := l.merge(sources)
	if l.broken {
		return nil, l.probs.Err(files)
	}
	b, err := l.resolve(tree)
	if err := l.probs.Err(files); err != nil {
		return nil, err
	}
	if b != nil {
		b.Files, b.Inputs = files, slices.Concat(files, l.inputs)
	}
	return b, err
}

func newLoader(o Options, base string) *loader {
	l := &loader{options: o, probs: &compose.Problems{}, env: newEnvironment(o.Env)}
	l.reader = &reader{probs: l.probs, base: base, home: l.env.values["HOME"]}
	return l
}

// lookup is the value of a variable in the project's environment: the supervisor's, else .env.
func (l *loader) lookup(name string) (string, bool) {
	if name == "COMPOSE_PROJECT_NAME" && l.named {
		return l.name, true
	}
	if value, ok := l.env.values[name]; ok {
		return value, true
	}
	value, ok := l.dotenv[name]
	if !ok && name == "COMPOSE_PROJECT_NAME" && l.reader.base != "" { // docker compose always has one
		value = normalName(filepath.Base(l.reader.base))
		ok = value != ""
	}
	return value, ok
}

// A document is a YAML document as a tree, with what it resets in the documents before it.
type document struct {
	tree   *compose.Node
	resets [][]string
}

// merge reads all documents of all sources into one tree. After each document what there is so far is read once, as
// compose-go validates it: a file cannot be repaired by the next.
func (l *loader) merge(sources []source) *compose.Node {
	var docs []document
	for _, source := range sources {
		before := l.probs.Count
		nodes := compose.Documents(source.name, source.data, l.probs)
		l.broken = l.broken || l.probs.Count > before
		for _, n := range nodes {
			b := &compose.Builder{File: source.name, Problems: l.probs}
			next := b.Build(n.Content[0], nil, false)
			l.broken = l.broken || b.Full
			switch {
			case next == nil:
				l.broken = l.broken || l.probs.Count > 0
			case next.Kind != compose.Dict:
				l.broken = true
				l.probs.Add(next.At, "a bundle file must be a mapping with the key services, not %s", next.Kind)
			default:
				docs = append(docs, document{next, b.Resets})
			}
		}
		if len(nodes) == 0 && !l.broken {
			l.broken = true
			l.probs.Add(compose.Pos{File: source.name, Line: 1, Col: 1}, "empty: a bundle file must have the key services")
		}
	}
	l.projectName(docs)
	tree := &compose.Node{Kind: compose.Dict, At: compose.Pos{File: sources[0].name}}
	m := &compose.Merger{Problems: l.probs, Passed: func(key string) bool { return passedOver[key] != nil }}
	for _, doc := range docs {
		in := &compose.Interpolator{Vars: l.lookup, Behind: l.behind, Problems: l.probs, Unset: l.unset}
		in.Tree(doc.tree, make([]string, 0, 16))
		m.Merge(tree, doc.tree, doc.resets, func() { l.services = l.reader.services(tree) })
	}
	return tree
}

// projectName finds the name: COMPOSE_PROJECT_NAME, else the last that a file gives. It may be interpolated, and
// interpolation knows it as COMPOSE_PROJECT_NAME.
func (l *loader) projectName(docs []document) {
	for _, values := range []map[string]string{l.env.values, l.dotenv} {
		if name, ok := values["COMPOSE_PROJECT_NAME"]; ok {
			if name != "" {
				l.name, l.named = normalName(name), true
				return
			}
			break
		}
	}
	for _, doc := range docs {
		n := doc.tree.Child("name")
		if n == nil || n.Kind != compose.Text || n.Text == "" {
			continue
		}
		name := &compose.Node{Kind: compose.Text, At: n.At, Text: n.Text}
		in := &compose.Interpolator{Vars: l.lookup, Behind: l.behind, Problems: l.probs, Unset: l.unset}
		in.Tree(name, nil)
		l.name, l.named = normalName(name.Text), true
	}
}

// normalName is the name as Compose makes it: lower case, letters, digits, dashes and underscores, and none of the
// latter two in front.
func normalName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	return strings.TrimLeft(name, "_-")
}
