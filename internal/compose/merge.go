package compose

import (
	"slices"
	"strings"
)

// The rules of this file are those of compose-go (override/merge.go, override/uncity.go, transform), for the keys that
// are honoured: lists are appended, mappings merged, scalars replaced, with the exceptions below.

// reset removes from n what lies at path. Elements of lists are not reached, as in compose-go.
func reset(n *Node, path []string) {
	for ; len(path) > 1; path = path[1:] {
		if n = n.Child(path[0]); n == nil {
			return
		}
	}
	if n != nil && n.Kind == Dict {
		n.remove(path[0])
	}
}

// A Merger merges trees.
type Merger struct {
	Problems *Problems
	Passed   func(key string) bool // a key of a service whose value does not matter
}

// Merge merges doc, a mapping, into tree, after what resets are the paths of was removed there ([Builder.Resets]). Then it calls read, while
// the short forms are as they were written.
func (m *Merger) Merge(tree, doc *Node, resets [][]string, read func()) {
	for _, path := range resets {
		reset(tree, path)
	}
	m.mapping(tree, doc, nil)
	m.uniques(tree)
	read()
	m.canonical(tree)
	m.uniques(tree)
}

// mapping merges the mapping over into base. Keys keep their order; new ones come last.
func (m *Merger) mapping(base, over *Node, path []string) *Node {
	for _, e := range over.Keys {
		old := base.Get(e.Key)
		if old == nil {
			base.Keys = append(base.Keys, e)
			continue
		}
		old.Val = m.merge(old.Val, e.Val, append(path, e.Key))
		if e.Val.Kind != Null && e.Val.Kind != Dict {
			old.At = e.At
		}
	}
	return base
}

// merge merges over into base, both at path.
func (m *Merger) merge(base, over *Node, path []string) *Node {
	switch m.special(path) {
	case mergeReplace:
		return over
	case mergePassed:
		if over.Kind == Null {
			return base
		}
		return over
	case mergeKeyValues:
		return m.unique(&Node{Kind: List, At: over.At, Items: slices.Concat(m.sequence(base), m.sequence(over))}, keyOf)
	case mergeSequence:
		return appendNew(&Node{Kind: List, At: over.At, Items: m.sequence(base)}, m.sequence(over))
	case mergeDependencies:
		return m.mapping(m.dependencies(base), m.dependencies(over), path)
	case mergeLimit:
		if base.Kind == Dict && over.Kind == Dict {
			return m.mapping(base, over, path)
		}
		return over
	}
	if over.Kind == Null {
		return base
	}
	switch base.Kind {
	case Dict, List:
		if over.Kind != base.Kind {
			m.Problems.Add(over.At, "%s must be %s, as it is at %s", dotted(path), base.Kind, base.At)
			return base
		}
		if base.Kind == Dict {
			return m.mapping(base, over, path)
		}
		return appendNew(base, over.Items)
	}
	return over
}

// special is an exception to the general rule of merging.
type special uint8

const (
	mergePlain special = iota
	mergeReplace
	mergePassed // what is in it does not matter
	mergeKeyValues
	mergeSequence
	mergeDependencies
	mergeLimit
)

// special is the exception that holds at path.
func (m *Merger) special(path []string) special {
	switch {
	case len(path) == 2 && path[0] == "networks":
		return mergeReplace
	case len(path) == 3 && path[2] == "labels" && (path[0] == "secrets" || path[0] == "configs"):
		return mergeKeyValues
	case len(path) < 3 || path[0] != "services" && path[0] != "jobs":
		return mergePlain
	}
	key := path[2]
	switch len(path) {
	case 3:
		if m.Passed(key) {
			return mergePassed
		}
		switch key {
		case "command", "entrypoint":
			return mergeReplace
		case "environment", "labels", "sysctls":
			return mergeKeyValues
		case "env_file", "dns", "dns_opt", "dns_search", "extra_hosts", "tmpfs":
			return mergeSequence
		case "depends_on":
			return mergeDependencies
		}
	case 4:
		switch {
		case key == "healthcheck" && path[3] == "test":
			return mergeReplace
		case key == "deploy" && path[3] == "labels":
			return mergeKeyValues
		case key == "ulimits":
			return mergeLimit
		}
	}
	return mergePlain
}

// sequence is a value as a list of strings: KEY=VALUE, sorted, for a mapping.
func (m *Merger) sequence(n *Node) []*Node {
	switch n.Kind {
	case List:
		return n.Items
	case Text:
		return []*Node{n}
	case Dict:
		var out []*Node
		for _, e := range n.Keys {
			item := &Node{Kind: Text, At: e.At, Text: e.Key, Vars: e.Val.Vars}
			switch e.Val.Kind {
			case Null:
			case List, Dict, Date:
				m.Problems.Add(e.Val.At, "%s must be a string, not %s", e.Key, e.Val.Kind)
				continue
			default:
				item.Text += "=" + e.Val.Sprint()
			}
			out = append(out, item)
		}
		slices.SortStableFunc(out, func(a, b *Node) int { return strings.Compare(a.Text, b.Text) })
		return out
	}
	return nil
}

// dependencies is a depends_on as a mapping.
func (m *Merger) dependencies(n *Node) *Node {
	out := &Node{Kind: Dict, At: n.At}
	switch n.Kind {
	case Dict:
		return n
	case Null:
	case Text:
		out.Keys = []Entry{started(n)}
	case List:
		for _, item := range n.Items {
			if item.Kind != Text {
				m.Problems.Bad(item, "depends_on must list names of services, not %s", item.Kind)
				continue
			}
			out.Keys = append(out.Keys, started(item))
		}
	default:
		m.Problems.Bad(n, "depends_on must be a list or a mapping, not %s", n.Kind)
	}
	return out
}

// started is the long form of a name in depends_on.
func started(name *Node) Entry {
	at := name.At
	return Entry{name.Text, at, &Node{Kind: Dict, At: at, Vars: name.Vars, Keys: []Entry{
		{"condition", at, &Node{Kind: Text, At: at, Text: "service_started"}},
		{"required", at, &Node{Kind: Truth, At: at, Val: true, Text: "true"}},
	}}}
}

// appendNew appends the items that are not there yet.
func appendNew(base *Node, items []*Node) *Node {
	for _, item := range items {
		if !slices.ContainsFunc(base.Items, item.Equal) {
			base.Items = append(base.Items, item)
		}
	}
	return base
}

// unique keeps one item for each key: the last, in the place of the first. An item without a key is kept.
func (m *Merger) unique(n *Node, key func(*Node) (string, bool)) *Node {
	var out []*Node
	index := map[string]int{}
	for _, item := range n.Items {
		k, ok := key(item)
		if i, seen := index[k]; ok && seen {
			out[i] = item
			continue
		}
		if ok {
			index[k] = len(out)
		}
		out = append(out, item)
	}
	n.Items = out
	return n
}

// keyOf is the key of a KEY=VALUE item.
func keyOf(n *Node) (string, bool) {
	key, _, _ := strings.Cut(n.Text, "=")
	return key, n.Kind == Text
}

// deviceOf is the key of an item of devices.
func deviceOf(n *Node) (string, bool) {
	if n.Kind == Dict {
		target := n.Child("target")
		if target == nil {
			return "", false
		}
		return target.Text, target.Kind == Text
	}
	parts := strings.Split(n.Text, ":")
	return parts[min(1, len(parts)-1)], n.Kind == Text
}

// pathOf is the key of an item of env_file.
func pathOf(n *Node) (string, bool) {
	if n.Kind == Dict {
		if n = n.Child("path"); n == nil {
			return "", false
		}
	}
	return n.Text, n.Kind == Text
}

// targetOf is the key of an item of secrets or configs.
func targetOf(dir string) func(*Node) (string, bool) {
	return func(n *Node) (string, bool) {
		if n.Kind == Text {
			return dir + "/" + n.Text, true
		}
		if target := n.Child("target"); target != nil {
			return target.Text, target.Kind == Text
		}
		source := n.Child("source")
		if source == nil {
			return "", false
		}
		return dir + "/" + source.Text, true
	}
}

// uniques removes what a later item of the same key replaces, from each service.
func (m *Merger) uniques(tree *Node) {
	m.eachService(tree, func(service *Node) {
		for _, e := range service.Keys {
			if e.Val.Kind != List {
				if e.Key == "deploy" {
					if labels := e.Val.Child("labels"); labels != nil && labels.Kind == List {
						m.unique(labels, keyOf)
					}
				}
				continue
			}
			switch e.Key {
			case "environment", "labels", "cap_add", "cap_drop", "profiles", "dns", "dns_opt", "dns_search", "links", "sysctls", "tmpfs":
				m.unique(e.Val, keyOf)
			case "devices":
				m.unique(e.Val, deviceOf)
			case "env_file":
				m.unique(e.Val, pathOf)
			case "secrets":
				m.unique(e.Val, targetOf("/run/secrets"))
			case "configs":
				m.unique(e.Val, targetOf(""))
			}
		}
	})
}

// canonical writes the short forms out, so that what the next file gives is merged into the long ones.
func (m *Merger) canonical(tree *Node) {
	m.eachService(tree, func(service *Node) {
		for i := range service.Keys {
			e := &service.Keys[i]
			switch e.Key {
			case "depends_on":
				e.Val = m.dependencies(e.Val)
				for _, d := range e.Val.Keys {
					defaults := started(&Node{Kind: Text, At: d.At})
					for _, def := range defaults.Val.Keys {
						if d.Val.Kind == Dict && d.Val.Get(def.Key) == nil {
							d.Val.Keys = append(d.Val.Keys, def)
						}
					}
				}
			default:
				canonicalContainer(e)
			}
			if e.Key == "triggers" {
				canonicalSchedule(e.Val.Child("schedule"))
			}
			if e.Key == "pre_start" {
				for _, step := range e.Val.Items {
					for j := range step.Keys {
						canonicalContainer(&step.Keys[j])
					}
				}
			}
		}
	})
}

// canonicalSchedule writes out crontab expressions.
func canonicalSchedule(n *Node) {
	if n == nil || n.Kind != List {
		return
	}
	for i, item := range n.Items {
		if item.Kind == Text {
			n.Items[i] = &Node{Kind: Dict, At: item.At, Keys: []Entry{{"cron", item.At, item}}}
		}
	}
}

// canonicalContainer writes out the keys that a pre_start step can have too.
func canonicalContainer(e *Entry) {
	switch e.Key {
	case "env_file":
		if e.Val.Kind == Text {
			e.Val = &Node{Kind: List, At: e.Val.At, Items: []*Node{e.Val}}
		}
		for i, item := range e.Val.Items {
			if item.Kind == Text {
				e.Val.Items[i] = &Node{Kind: Dict, At: item.At, Keys: []Entry{{"path", item.At, item}}}
			}
			if item := e.Val.Items[i]; item.Kind == Dict && item.Get("required") == nil {
				item.Keys = append(item.Keys, Entry{"required", item.At, &Node{Kind: Truth, At: item.At, Val: true}})
			}
		}
	case "secrets", "configs":
		for i, item := range e.Val.Items {
			if item.Kind == Text {
				e.Val.Items[i] = &Node{Kind: Dict, At: item.At, Keys: []Entry{{"source", item.At, item}}}
			}
		}
	}
}

func (m *Merger) eachService(tree *Node, do func(service *Node)) {
	for _, key := range []string{"services", "jobs"} {
		services := tree.Child(key)
		if services == nil || services.Kind != Dict {
			continue
		}
		for _, e := range services.Keys {
			if e.Val.Kind == Dict {
				do(e.Val)
			}
		}
	}
}
