package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// read reads documents as package bundle does: each is interpolated and merged into those before it.
func read(texts ...string) (tree *Node, problems []string) {
	var all Problems
	tree = &Node{Kind: Dict}
	m := &Merger{Problems: &all, Passed: func(key string) bool { return key == "image" }}
	for i, text := range texts {
		for _, doc := range Documents(fmt.Sprintf("%d.yaml", i+1), []byte(text), &all) {
			b := &Builder{File: fmt.Sprintf("%d.yaml", i+1), Problems: &all}
			next := b.Build(doc.Content[0], nil, false)
			if next == nil || next.Kind != Dict {
				continue
			}
			(&Interpolator{Vars: vars, Behind: func(string) []string { return nil }, Problems: &all}).Tree(next, nil)
			m.Merge(tree, next, b.Resets, func() {})
		}
	}
	for _, p := range all.List {
		problems = append(problems, p.String())
	}
	return tree, problems
}

// written is a tree on one line.
func written(n *Node) string {
	var parts []string
	switch n.Kind {
	case Dict:
		for _, e := range n.Keys {
			parts = append(parts, e.Key+": "+written(e.Val))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case List:
		for _, item := range n.Items {
			parts = append(parts, written(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case Null:
		return "null"
	}
	return n.Text
}

func TestTree(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		want  string
	}{
		{"an alias", []string{"a: &x {b: c}\nd: *x"}, "{a: {b: c}, d: {b: c}}"},
		{"a merge key, which what is written goes before", []string{"a: &x {b: c, e: f}\nd: {<<: *x, b: g}"}, "{a: {b: c, e: f}, d: {e: f, b: g}}"},
		{"variables", []string{"a: $NAME and ${NOPE:-none} and $$x"}, "{a: world and none and $x}"},
		{"a later file", []string{"services: {a: {user: x, command: [b]}}", "services: {a: {command: [c]}}"}, "{services: {a: {user: x, command: [c]}}}"},
		{"environments", []string{"services: {a: {environment: {B: c, D: e}}}", "services: {a: {environment: [D=f]}}"}, "{services: {a: {environment: [B=c, D=f]}}}"},
		{"reset", []string{"services: {a: {ports: [1, 2]}}", "services: {a: {ports: !reset []}}"}, "{services: {a: {}}}"},
		{"override", []string{"services: {a: {dns: [b]}}", "services: {a: {dns: !override [c]}}"}, "{services: {a: {dns: [c]}}}"},
		{"what does not matter", []string{"services: {a: {image: b}}", "services: {a: {image: }}"}, "{services: {a: {image: b}}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, problems := read(tt.files...)
			if got := written(tree); got != tt.want || problems != nil {
				t.Errorf("got  %s, %q\nwant %s", got, problems, tt.want)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"no YAML", "a: [", []string{"1.yaml:2:1: not YAML"}},
		{"a key twice", "a: 1\nb: 2\na: 3", []string{"1.yaml:3:1: "}},
		{"a required variable", "a:\n  b: ${NOPE:?say it}", []string{"1.yaml:2:6: "}},
		{"no reference", "a: ${", []string{"1.yaml:1:4: "}},
		{"a bomb", "a: &a [" + strings.Repeat("x, ", 2000) + "]\nb: [" + strings.Repeat("*a, ", 200) + "]", []string{"1.yaml:1:8: too many values"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := read(tt.file)
			if !slices.EqualFunc(problems, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", problems, tt.want)
			}
		})
	}
}

// TestErr: problems are in the order of the files, then of the lines, each once, and printable.
func TestErr(t *testing.T) {
	var p Problems
	if err := p.Err(nil); err != nil {
		t.Errorf("got %v of no problem", err)
	}
	p.Add(Pos{"b", 1, 1}, "%s", "x\n\x1b")
	p.Add(Pos{"a", 9, 1}, "nine")
	p.Add(Pos{"a", 2, 1}, "two")
	p.Add(Pos{"a", 2, 1}, "two")
	if got, want := p.Err([]string{"b", "a"}).Error(), "b:1:1: x  \na:2:1: two\na:9:1: nine"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"command", "environment", "env_file"}
	for word, want := range map[string]string{"comand": "command", "enviroment": "environment", "ENV_FILE": "env_file", "xyz": "", "": ""} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
