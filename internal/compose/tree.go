package compose

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// MaxNodes bounds what the aliases of one document are expanded to, and so does a share of aliases that no honest file has:
// an alias bomb is refused, at the latest where compose-go and its YAML library refuse it. What is written out is bounded
// by the size of the file.
const (
	MaxNodes   = 100_000
	maxAliased = 98 // percent, of more than 1000 nodes
)

// Kind is the type of a node, as YAML has it.
type Kind uint8

// The kinds of nodes.
const (
	Null   Kind = iota
	Truth       // bool
	Number      // int, int64, uint64, float64
	Date        // a timestamp: Compose knows none
	Text
	List
	Dict
)

// String is the name of the kind in messages.
func (k Kind) String() string {
	return [...]string{"nothing", "a boolean", "a number", "a date", "a string", "a list", "a mapping"}[k]
}

// A Node is a value of the file, with its place. Nodes are never shared, so that merging may change them.
type Node struct {
	Kind  Kind
	At    Pos
	Text  string // of text; of other scalars as written
	Val   any    // of truth and number
	Items []*Node
	Keys  []Entry
	Vars  []string // names of the variables that interpolation looked up for the text
	Bad   bool     // a problem of it is reported already
}

// An Entry is a key of a mapping, with its value.
type Entry struct {
	Key string
	At  Pos
	Val *Node
}

// Get returns the entry of a key, or nil.
func (n *Node) Get(key string) *Entry {
	if n == nil || n.Kind != Dict {
		return nil
	}
	for i := range n.Keys {
		if n.Keys[i].Key == key {
			return &n.Keys[i]
		}
	}
	return nil
}

// Child returns the value of a key, or nil.
func (n *Node) Child(key string) *Node {
	if e := n.Get(key); e != nil {
		return e.Val
	}
	return nil
}

// remove removes a key.
func (n *Node) remove(key string) {
	n.Keys = slices.DeleteFunc(n.Keys, func(e Entry) bool { return e.Key == key })
}

// Sprint is the text of a scalar, as fmt.Sprint gives it: what Compose makes of a number in a list of strings.
func (n *Node) Sprint() string {
	switch n.Kind {
	case Null:
		return ""
	case Truth, Number:
		return fmt.Sprint(n.Val)
	}
	return n.Text
}

// Show quotes a scalar for a message. What interpolation put in is never shown.
func (n *Node) Show() string {
	if len(n.Vars) > 0 {
		return "the value (with ${" + strings.Join(n.Vars, "}, ${") + "})"
	}
	s := n.Text
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	if n.Kind == Truth || n.Kind == Number {
		return s
	}
	return strconv.Quote(s)
}

// Equal reports whether two nodes are the same value.
func (n *Node) Equal(o *Node) bool {
	if n.Kind != o.Kind || n.Kind == Text && n.Text != o.Text || n.Val != o.Val ||
		len(n.Items) != len(o.Items) || len(n.Keys) != len(o.Keys) {
		return false
	}
	for i := range n.Items {
		if !n.Items[i].Equal(o.Items[i]) {
			return false
		}
	}
	for i := range n.Keys {
		other := o.Child(n.Keys[i].Key)
		if other == nil || !n.Keys[i].Val.Equal(other) {
			return false
		}
	}
	return true
}

// Variables are the names of the variables that interpolation looked up for a text, or a list of them.
func (n *Node) Variables() []string {
	all := slices.Clone(n.Vars)
	for _, item := range n.Items {
		all = append(all, item.Vars...)
	}
	return all
}

// Documents parses a file into YAML documents. A problem of the syntax is added to probs.
func Documents(file string, data []byte, probs *Problems) (docs []*yaml.Node) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		doc := new(yaml.Node)
		err := decode(decoder, doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			at := yamlPos(file, err)
			if at.Line == 0 {
				at.Line, at.Col = unreadable(data)
			}
			probs.Add(at, "%s", yamlMessage(err))
			return docs
		}
		docs = append(docs, doc)
	}
}

// decode turns a panic of the library into an error: PID 1 must survive whatever is in a file.
func decode(d interface{ Decode(any) error }, out any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cannot be read as YAML: %v", p)
		}
	}()
	return d.Decode(out)
}

// unreadable is the place of the first character that is none, or that YAML does not allow: the library does not tell it.
func unreadable(data []byte) (line, col int) {
	line, col = 1, 1
	for i := 0; i < len(data); col++ {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r) {
			return line, col
		}
		if i += size; r == '\n' {
			line, col = line+1, 0
		}
	}
	return 1, 1
}

// yamlPos is the place of an error of the YAML library.
func yamlPos(file string, err error) Pos {
	var load *yaml.LoadError
	if errors.As(err, &load) {
		mark := load.Mark
		if mark.Line == 0 {
			mark = load.ContextMark
		}
		if mark.Line > 0 {
			return Pos{file, mark.Line, max(mark.Column, 1)}
		}
	}
	return Pos{File: file}
}

// yamlMessage is what an error of the YAML library says, without the place.
func yamlMessage(err error) string {
	var load *yaml.LoadError
	if errors.As(err, &load) {
		if load.ContextMsg != "" {
			return "not YAML: " + load.ContextMsg + ": " + load.Message
		}
		return "not YAML: " + load.Message
	}
	return strings.TrimPrefix(err.Error(), "yaml: ")
}

// A Builder turns YAML nodes into a tree: aliases and merge keys are resolved, !reset and !override are noted.
type Builder struct {
	File     string
	Problems *Problems
	// count are the nodes so far, aliased those of them below an alias; depth is that of aliases at the moment.
	count, aliased, depth int
	Full                  bool // one of the bounds is reached
	// open are the anchors that are being expanded.
	open map[*yaml.Node]bool
	// resets are the paths of values that carried !reset or !override: what earlier files gave there is forgotten.
	Resets [][]string
}

// Build returns the tree of n, or nil where n is to be left out. Below !override, verbatim is set: like compose-go,
// it looks at no tags there.
func (b *Builder) Build(n *yaml.Node, path []string, verbatim bool) *Node {
	at := Pos{b.File, n.Line, n.Column}
	if b.Full {
		return nil
	}
	b.count++
	if b.depth > 0 {
		b.aliased++
	}
	if b.aliased > MaxNodes || b.count > 1000 && b.aliased*100 > b.count*maxAliased {
		b.Full = true
		b.Problems.Add(at, "too many values once its aliases are expanded: repeat less")
		return nil
	}
	target := n
	if n.Kind == yaml.AliasNode {
		b.depth++
		defer func() { b.depth-- }()
		target = n.Alias
		if target == nil || b.open[target] {
			b.Problems.Add(at, "*%s is inside its own anchor: it would never end", n.Value)
			return nil
		}
	}
	if !verbatim {
		switch target.Tag {
		case "!reset":
			b.Resets = append(b.Resets, slices.Clone(path))
			return nil
		case "!override":
			b.Resets = append(b.Resets, slices.Clone(path))
			verbatim = true
		}
	}
	if target.Anchor != "" && target.Kind != yaml.ScalarNode {
		if b.open == nil {
			b.open = map[*yaml.Node]bool{}
		}
		b.open[target] = true
		defer delete(b.open, target)
	}
	switch target.Kind {
	case yaml.ScalarNode:
		return b.scalar(target)
	case yaml.SequenceNode:
		out := &Node{Kind: List, At: Pos{b.File, target.Line, target.Column}}
		for i, item := range target.Content {
			if child := b.Build(item, append(path, strconv.Itoa(i)), verbatim); child != nil {
				out.Items = append(out.Items, child)
			}
		}
		return out
	case yaml.MappingNode:
		return b.mapping(target, path, verbatim)
	}
	b.Problems.Add(at, "cannot be read")
	return nil
}

// mapping builds a mapping. Its own keys win over merged ones, an earlier source over a later.
func (b *Builder) mapping(n *yaml.Node, path []string, verbatim bool) *Node {
	out := &Node{Kind: Dict, At: Pos{b.File, n.Line, n.Column}}
	first := make(map[string]Pos, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := Pos{b.File, key.Line, key.Column}
		if tag := key.ShortTag(); tag != "!!str" && tag != "!!merge" || key.Kind != yaml.ScalarNode {
			b.Problems.Add(at, "a key must be a string: put %q in quotes", key.Value)
			continue
		}
		if before, ok := first[key.Value]; ok {
			b.Problems.Add(at, "the key %q is already at %s: remove one of them", key.Value, before)
			continue
		}
		first[key.Value] = at
	}
	// What !reset drops does not hide a merged value: compose-go removes the key before it merges.
	own := make([]*Node, len(n.Content))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if first[key.Value] != (Pos{b.File, key.Line, key.Column}) {
			continue
		}
		if key.ShortTag() != "!!merge" {
			if own[i] = b.Build(n.Content[i+1], append(path, key.Value), verbatim); own[i] == nil {
				delete(first, key.Value)
			}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := Pos{b.File, key.Line, key.Column}
		if first[key.Value] != at {
			continue
		}
		if own[i] != nil {
			out.Keys = append(out.Keys, Entry{key.Value, at, own[i]})
			continue
		}
		for _, source := range b.sources(n.Content[i+1], path, verbatim) {
			for _, e := range source.Keys {
				if _, hidden := first[e.Key]; !hidden {
					first[e.Key] = e.At
					out.Keys = append(out.Keys, e)
				}
			}
		}
	}
	return out
}

// sources are the mappings that a merge key merges.
func (b *Builder) sources(value *yaml.Node, path []string, verbatim bool) (sources []*Node) {
	if len(path) == 0 {
		path = []string{"<<"} // so says compose-go: at the top, a tag below << resets nothing
	}
	tree := b.Build(value, path, verbatim)
	if tree == nil {
		return nil
	}
	all := []*Node{tree}
	if tree.Kind == List {
		all = tree.Items
	}
	for _, source := range all {
		if source.Kind != Dict {
			b.Problems.Add(Pos{b.File, value.Line, value.Column}, "<< merges a mapping or a list of mappings, not %s", source.Kind)
			continue
		}
		sources = append(sources, source)
	}
	return sources
}

// scalar builds a scalar. A tag of its own, such as !override, makes it a string.
func (b *Builder) scalar(n *yaml.Node) *Node {
	out := &Node{At: Pos{b.File, n.Line, n.Column}, Text: n.Value}
	switch n.ShortTag() {
	case "!!null":
		return out
	case "!!bool", "!!int", "!!float":
		var err error
		if err = decode(n, &out.Val); err == nil {
			out.Kind = Number
			switch v := out.Val.(type) {
			case bool:
				out.Kind = Truth
			case float64:
				if math.IsInf(v, 0) || math.IsNaN(v) {
					b.Problems.Add(out.At, "%s is not a number here: put it in quotes", n.Value)
				}
			}
			return out
		}
		b.Problems.Add(out.At, "%s", yamlMessage(err))
	case "!!timestamp":
		out.Kind = Date
		return out
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil {
			b.Problems.Add(out.At, "a !!binary value must be base64")
		}
		out.Text = string(data)
	}
	out.Kind = Text
	return out
}
