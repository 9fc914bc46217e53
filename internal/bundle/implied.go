package bundle

import (
	"slices"
	"strings"

	"github.com/bot-bottle/sidecar-init/child"
)

// A service that says of its container that it is joined to another service's depends on that: so does compose-go (loader/normalize.go).

// joined reads the keys by which a container is joined to another one; they mean nothing in one container but the order of the start.
func (r *reader) joined(s *service, e entry) {
	switch n := e.val; e.key {
	case "links", "volumes_from":
		if !empty(e.key, n) {
			r.passOver(s, e, []kind{list}, s.section(), s.name, e.key)
		}
		r.strings(n, e.key, true)
		for _, item := range n.items {
			if item.kind != text || item.bad || e.key == "volumes_from" && strings.HasPrefix(item.text, "container:") {
				continue
			}
			name, alias, _ := strings.Cut(item.text, ":")
			if e.key == "links" && strings.Contains(alias, ":") { // no alias, so it is all name
				name = item.text
			}
			s.imply(item, name, e.key == "links")
		}
	case "network_mode", "ipc", "pid":
		mode := r.str(n, e.key)
		service, of := strings.CutPrefix(mode, "service:")
		switch {
		case n.kind != text || n.bad:
		case of:
			s.imply(n, service, true)
			fallthrough
		case strings.HasPrefix(mode, "container:"), e.key == "network_mode" && mode != "none" && mode != "",
			e.key == "ipc" && (mode == "shareable" || mode == "private"):
			r.passOver(s, e, []kind{text}, s.section(), s.name, e.key)
		case mode != "":
			s.late.add(e.at, "%s: %s is not supported: %s", e.key, n.show(), why(e.key))
		}
	}
}

// imply adds a dependency that is not written as one.
func (s *service) imply(n *node, name string, restart bool) {
	s.implied = append(s.implied, dependency{
		child.Dependency{Name: name, Condition: child.ServiceStarted, Restart: restart},
		&node{kind: text, at: n.at, text: name, vars: n.vars},
	})
}

// takeImplied adds the implied dependencies to those that are written, which go before them.
func (s *service) takeImplied() {
	for _, d := range s.implied {
		if !slices.ContainsFunc(s.dependsOn, func(o dependency) bool { return o.Name == d.Name }) {
			s.dependsOn = append(s.dependsOn, d)
		}
	}
}
