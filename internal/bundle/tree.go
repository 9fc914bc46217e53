package bundle

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

// maxNodes bounds what the aliases of one document are expanded to, and so does a share of aliases that no honest file has:
// an alias bomb is refused, at the latest where compose-go and its YAML library refuse it. What is written out is bounded
// by the size of the file.
const (
	maxNodes   = 100_000
	maxAliased = 98 // percent, of more than 1000 nodes
)

// kind is the type of a node, as YAML has it.
type kind uint8

const (
	null   kind = iota
	truth       // bool
	number      // int, int64, uint64, float64
	date        // a timestamp: Compose knows none
	text
	list
	dict
)

// String is the name of the kind in messages.
func (k kind) String() string {
	return [...]string{"nothing", "a boolean", "a number", "a date", "a string", "a list", "a mapping"}[k]
}

// A node is a value of the file, with its place. Nodes are never shared, so that merging may change them.
type node struct {
	kind  kind
	at    pos
	text  string // of text; of other scalars as written
	val   any    // of truth and number
	items []*node
	keys  []entry
	vars  []string // names of the variables that interpolation looked up for the text
	bad   bool     // a problem of it is reported already
}

// An entry is a key of a mapping, with its value.
type entry struct {
	key string
	at  pos
	val *node
}

// get returns the entry of a key, or nil.
func (n *node) get(key string) *entry {
	if n == nil || n.kind != dict {
		return nil
	}
	for i := range n.keys {
		if n.keys[i].key == key {
			return &n.keys[i]
		}
	}
	return nil
}

// child returns the value of a key, or nil.
func (n *node) child(key string) *node {
	if e := n.get(key); e != nil {
		return e.val
	}
	return nil
}

// remove removes a key.
func (n *node) remove(key string) {
	n.keys = slices.DeleteFunc(n.keys, func(e entry) bool { return e.key == key })
}

// sprint is the text of a scalar, as fmt.Sprint gives it: what Compose makes of a number in a list of strings.
func (n *node) sprint() string {
	switch n.kind {
	case null:
		return ""
	case truth, number:
		return fmt.Sprint(n.val)
	}
	return n.text
}

// show quotes a scalar for a message. What interpolation put in is never shown.
func (n *node) show() string {
	if len(n.vars) > 0 {
		return "the value (with ${" + strings.Join(n.vars, "}, ${") + "})"
	}
	s := n.text
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	if n.kind == truth || n.kind == number {
		return s
	}
	return strconv.Quote(s)
}

// equal reports whether two nodes are the same value.
func (n *node) equal(o *node) bool {
	if n.kind != o.kind || n.kind == text && n.text != o.text || n.val != o.val ||
		len(n.items) != len(o.items) || len(n.keys) != len(o.keys) {
		return false
	}
	for i := range n.items {
		if !n.items[i].equal(o.items[i]) {
			return false
		}
	}
	for i := range n.keys {
		other := o.child(n.keys[i].key)
		if other == nil || !n.keys[i].val.equal(other) {
			return false
		}
	}
	return true
}

// variables are the names of the variables that interpolation looked up for a text, or a list of them.
func (n *node) variables() []string {
	all := slices.Clone(n.vars)
	for _, item := range n.items {
		all = append(all, item.vars...)
	}
	return all
}

// documents parses a file into YAML documents. A problem of the syntax is added to probs.
func documents(file string, data []byte, probs *problems) (docs []*yaml.Node) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		doc := new(yaml.Node)
		err := decode(decoder, doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			at := yamlPos(file, err)
			if at.line == 0 {
				at.line, at.col = unreadable(data)
			}
			probs.add(at, "%s", yamlMessage(err))
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
func yamlPos(file string, err error) pos {
	var load *yaml.LoadError
	if errors.As(err, &load) {
		mark := load.Mark
		if mark.Line == 0 {
			mark = load.ContextMark
		}
		if mark.Line > 0 {
			return pos{file, mark.Line, max(mark.Column, 1)}
		}
	}
	return pos{file: file}
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

// A builder turns YAML nodes into a tree: aliases and merge keys are resolved, !reset and !override are noted.
type builder struct {
	file  string
	probs *problems
	// count are the nodes so far, aliased those of them below an alias; depth is that of aliases at the moment.
	count, aliased, depth int
	full                  bool // one of the bounds is reached
	// open are the anchors that are being expanded.
	open map[*yaml.Node]bool
	// resets are the paths of values that carried !reset or !override: what earlier files gave there is forgotten.
	resets [][]string
}

// build returns the tree of n, or nil where n is to be left out. Below !override, verbatim is set: like compose-go,
// it looks at no tags there.
func (b *builder) build(n *yaml.Node, path []string, verbatim bool) *node {
	at := pos{b.file, n.Line, n.Column}
	if b.full {
		return nil
	}
	b.count++
	if b.depth > 0 {
		b.aliased++
	}
	if b.aliased > maxNodes || b.count > 1000 && b.aliased*100 > b.count*maxAliased {
		b.full = true
		b.probs.add(at, "too many values once its aliases are expanded: repeat less")
		return nil
	}
	target := n
	if n.Kind == yaml.AliasNode {
		b.depth++
		defer func() { b.depth-- }()
		target = n.Alias
		if target == nil || b.open[target] {
			b.probs.add(at, "*%s is inside its own anchor: it would never end", n.Value)
			return nil
		}
	}
	if !verbatim {
		switch target.Tag {
		case "!reset":
			b.resets = append(b.resets, slices.Clone(path))
			return nil
		case "!override":
			b.resets = append(b.resets, slices.Clone(path))
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
		out := &node{kind: list, at: pos{b.file, target.Line, target.Column}}
		for i, item := range target.Content {
			if child := b.build(item, append(path, strconv.Itoa(i)), verbatim); child != nil {
				out.items = append(out.items, child)
			}
		}
		return out
	case yaml.MappingNode:
		return b.mapping(target, path, verbatim)
	}
	b.probs.add(at, "cannot be read")
	return nil
}

// mapping builds a mapping. Its own keys win over merged ones, an earlier source over a later.
func (b *builder) mapping(n *yaml.Node, path []string, verbatim bool) *node {
	out := &node{kind: dict, at: pos{b.file, n.Line, n.Column}}
	first := make(map[string]pos, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := pos{b.file, key.Line, key.Column}
		if tag := key.ShortTag(); tag != "!!str" && tag != "!!merge" || key.Kind != yaml.ScalarNode {
			b.probs.add(at, "a key must be a string: put %q in quotes", key.Value)
			continue
		}
		if before, ok := first[key.Value]; ok {
			b.probs.add(at, "the key %q is already at %s: remove one of them", key.Value, before)
			continue
		}
		first[key.Value] = at
	}
	// What !reset drops does not hide a merged value: compose-go removes the key before it merges.
	own := make([]*node, len(n.Content))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if first[key.Value] != (pos{b.file, key.Line, key.Column}) {
			continue
		}
		if key.ShortTag() != "!!merge" {
			if own[i] = b.build(n.Content[i+1], append(path, key.Value), verbatim); own[i] == nil {
				delete(first, key.Value)
			}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := pos{b.file, key.Line, key.Column}
		if first[key.Value] != at {
			continue
		}
		if own[i] != nil {
			out.keys = append(out.keys, entry{key.Value, at, own[i]})
			continue
		}
		for _, source := range b.sources(n.Content[i+1], path, verbatim) {
			for _, e := range source.keys {
				if _, hidden := first[e.key]; !hidden {
					first[e.key] = e.at
					out.keys = append(out.keys, e)
				}
			}
		}
	}
	return out
}

// sources are the mappings that a merge key merges.
func (b *builder) sources(value *yaml.Node, path []string, verbatim bool) (sources []*node) {
	if len(path) == 0 {
		path = []string{"<<"} // so says compose-go: at the top, a tag below << resets nothing
	}
	tree := b.build(value, path, verbatim)
	if tree == nil {
		return nil
	}
	all := []*node{tree}
	if tree.kind == list {
		all = tree.items
	}
	for _, source := range all {
		if source.kind != dict {
			b.probs.add(pos{b.file, value.Line, value.Column}, "<< merges a mapping or a list of mappings, not %s", source.kind)
			continue
		}
		sources = append(sources, source)
	}
	return sources
}

// scalar builds a scalar. A tag of its own, such as !override, makes it a string.
func (b *builder) scalar(n *yaml.Node) *node {
	out := &node{at: pos{b.file, n.Line, n.Column}, text: n.Value}
	switch n.ShortTag() {
	case "!!null":
		return out
	case "!!bool", "!!int", "!!float":
		var err error
		if err = decode(n, &out.val); err == nil {
			out.kind = number
			switch v := out.val.(type) {
			case bool:
				out.kind = truth
			case float64:
				if math.IsInf(v, 0) || math.IsNaN(v) {
					b.probs.add(out.at, "%s is not a number here: put it in quotes", n.Value)
				}
			}
			return out
		}
		b.probs.add(out.at, "%s", yamlMessage(err))
	case "!!timestamp":
		out.kind = date
		return out
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(n.Value)
		if err != nil {
			b.probs.add(out.at, "a !!binary value must be base64")
		}
		out.text = string(data)
	}
	out.kind = text
	return out
}
