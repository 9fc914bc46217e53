package bundle

import (
	"slices"
	"strings"
)

// The rules of this file are those of compose-go (override/merge.go, override/uncity.go, transform), for the keys that
// are honoured: lists are appended, mappings merged, scalars replaced, with the exceptions below.

// reset removes from n what lies at path. Elements of lists are not reached, as in compose-go.
func reset(n *node, path []string) {
	for ; len(path) > 1; path = path[1:] {
		if n = n.child(path[0]); n == nil {
			return
		}
	}
	if n != nil && n.kind == dict {
		n.remove(path[0])
	}
}

// A merger merges trees.
type merger struct {
	probs *problems
}

// mapping merges the mapping over into base. Keys keep their order; new ones come last.
func (m *merger) mapping(base, over *node, path []string) *node {
	for _, e := range over.keys {
		old := base.get(e.key)
		if old == nil {
			base.keys = append(base.keys, e)
			continue
		}
		old.val = m.merge(old.val, e.val, append(path, e.key))
		if e.val.kind != null && e.val.kind != dict {
			old.at = e.at
		}
	}
	return base
}

// merge merges over into base, both at path.
func (m *merger) merge(base, over *node, path []string) *node {
	switch specialOf(path) {
	case mergeReplace:
		return over
	case mergePassed:
		if over.kind == null {
			return base
		}
		return over
	case mergeKeyValues:
		return m.unique(&node{kind: list, at: over.at, items: slices.Concat(m.sequence(base), m.sequence(over))}, keyOf)
	case mergeSequence:
		return appendNew(&node{kind: list, at: over.at, items: m.sequence(base)}, m.sequence(over))
	case mergeDependencies:
		return m.mapping(m.dependencies(base), m.dependencies(over), path)
	case mergeLimit:
		if base.kind == dict && over.kind == dict {
			return m.mapping(base, over, path)
		}
		return over
	}
	if over.kind == null {
		return base
	}
	switch base.kind {
	case dict, list:
		if over.kind != base.kind {
			m.probs.add(over.at, "%s must be %s, as it is at %s", dotted(path), base.kind, base.at)
			return base
		}
		if base.kind == dict {
			return m.mapping(base, over, path)
		}
		return appendNew(base, over.items)
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

func specialOf(path []string) special {
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
		if passedOver[key] != nil {
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
func (m *merger) sequence(n *node) []*node {
	switch n.kind {
	case list:
		return n.items
	case text:
		return []*node{n}
	case dict:
		var out []*node
		for _, e := range n.keys {
			item := &node{kind: text, at: e.at, text: e.key, vars: e.val.vars}
			switch e.val.kind {
			case null:
			case list, dict, date:
				m.probs.add(e.val.at, "%s must be a string, not %s", e.key, e.val.kind)
				continue
			default:
				item.text += "=" + e.val.sprint()
			}
			out = append(out, item)
		}
		slices.SortStableFunc(out, func(a, b *node) int { return strings.Compare(a.text, b.text) })
		return out
	}
	return nil
}

// dependencies is a depends_on as a mapping.
func (m *merger) dependencies(n *node) *node {
	out := &node{kind: dict, at: n.at}
	switch n.kind {
	case dict:
		return n
	case null:
	case text:
		out.keys = []entry{started(n)}
	case list:
		for _, item := range n.items {
			if item.kind != text {
				m.probs.bad(item, "depends_on must list names of services, not %s", item.kind)
				continue
			}
			out.keys = append(out.keys, started(item))
		}
	default:
		m.probs.bad(n, "depends_on must be a list or a mapping, not %s", n.kind)
	}
	return out
}

// started is the long form of a name in depends_on.
func started(name *node) entry {
	at := name.at
	return entry{name.text, at, &node{kind: dict, at: at, vars: name.vars, keys: []entry{
		{"condition", at, &node{kind: text, at: at, text: "service_started"}},
		{"required", at, &node{kind: truth, at: at, val: true, text: "true"}},
	}}}
}

// appendNew appends the items that are not there yet.
func appendNew(base *node, items []*node) *node {
	for _, item := range items {
		if !slices.ContainsFunc(base.items, item.equal) {
			base.items = append(base.items, item)
		}
	}
	return base
}

// unique keeps one item for each key: the last, in the place of the first. An item without a key is kept.
func (m *merger) unique(n *node, key func(*node) (string, bool)) *node {
	var out []*node
	index := map[string]int{}
	for _, item := range n.items {
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
	n.items = out
	return n
}

// keyOf is the key of a KEY=VALUE item.
func keyOf(n *node) (string, bool) {
	key, _, _ := strings.Cut(n.text, "=")
	return key, n.kind == text
}

// deviceOf is the key of an item of devices.
func deviceOf(n *node) (string, bool) {
	if n.kind == dict {
		target := n.child("target")
		if target == nil {
			return "", false
		}
		return target.text, target.kind == text
	}
	parts := strings.Split(n.text, ":")
	return parts[min(1, len(parts)-1)], n.kind == text
}

// pathOf is the key of an item of env_file.
func pathOf(n *node) (string, bool) {
	if n.kind == dict {
		if n = n.child("path"); n == nil {
			return "", false
		}
	}
	return n.text, n.kind == text
}

// targetOf is the key of an item of secrets or configs.
func targetOf(dir string) func(*node) (string, bool) {
	return func(n *node) (string, bool) {
		if n.kind == text {
			return dir + "/" + n.text, true
		}
		if target := n.child("target"); target != nil {
			return target.text, target.kind == text
		}
		source := n.child("source")
		if source == nil {
			return "", false
		}
		return dir + "/" + source.text, true
	}
}

// uniques removes what a later item of the same key replaces, from each service.
func (m *merger) uniques(tree *node) {
	m.eachService(tree, func(service *node) {
		for _, e := range service.keys {
			if e.val.kind != list {
				if e.key == "deploy" {
					if labels := e.val.child("labels"); labels != nil && labels.kind == list {
						m.unique(labels, keyOf)
					}
				}
				continue
			}
			switch e.key {
			case "environment", "labels", "cap_add", "cap_drop", "profiles", "dns", "dns_opt", "dns_search", "links", "sysctls", "tmpfs":
				m.unique(e.val, keyOf)
			case "devices":
				m.unique(e.val, deviceOf)
			case "env_file":
				m.unique(e.val, pathOf)
			case "secrets":
				m.unique(e.val, targetOf("/run/secrets"))
			case "configs":
				m.unique(e.val, targetOf(""))
			}
		}
	})
}

// canonical writes the short forms out, so that what the next file gives is merged into the long ones.
func (m *merger) canonical(tree *node) {
	m.eachService(tree, func(service *node) {
		for i := range service.keys {
			e := &service.keys[i]
			switch e.key {
			case "depends_on":
				e.val = m.dependencies(e.val)
				for _, d := range e.val.keys {
					defaults := started(&node{kind: text, at: d.at})
					for _, def := range defaults.val.keys {
						if d.val.kind == dict && d.val.get(def.key) == nil {
							d.val.keys = append(d.val.keys, def)
						}
					}
				}
			default:
				canonicalContainer(e)
			}
			if e.key == "triggers" {
				canonicalSchedule(e.val.child("schedule"))
			}
			if e.key == "pre_start" {
				for _, step := range e.val.items {
					for j := range step.keys {
						canonicalContainer(&step.keys[j])
					}
				}
			}
		}
	})
}

// canonicalSchedule writes out crontab expressions.
func canonicalSchedule(n *node) {
	if n == nil || n.kind != list {
		return
	}
	for i, item := range n.items {
		if item.kind == text {
			n.items[i] = &node{kind: dict, at: item.at, keys: []entry{{"cron", item.at, item}}}
		}
	}
}

// canonicalContainer writes out the keys that a pre_start step can have too.
func canonicalContainer(e *entry) {
	switch e.key {
	case "env_file":
		if e.val.kind == text {
			e.val = &node{kind: list, at: e.val.at, items: []*node{e.val}}
		}
		for i, item := range e.val.items {
			if item.kind == text {
				e.val.items[i] = &node{kind: dict, at: item.at, keys: []entry{{"path", item.at, item}}}
			}
			if item := e.val.items[i]; item.kind == dict && item.get("required") == nil {
				item.keys = append(item.keys, entry{"required", item.at, &node{kind: truth, at: item.at, val: true}})
			}
		}
	case "secrets", "configs":
		for i, item := range e.val.items {
			if item.kind == text {
				e.val.items[i] = &node{kind: dict, at: item.at, keys: []entry{{"source", item.at, item}}}
			}
		}
	}
}

func (m *merger) eachService(tree *node, do func(service *node)) {
	for _, key := range []string{"services", "jobs"} {
		services := tree.child(key)
		if services == nil || services.kind != dict {
			continue
		}
		for _, e := range services.keys {
			if e.val.kind == dict {
				do(e.val)
			}
		}
	}
}
