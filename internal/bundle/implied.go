package bundle

import (
	"slices"
	"strings"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// A service that says of its container that it is joined to another service's depends on that: so does compose-go (loader/normalize.go).

// joined reads the keys by which a container is joined to another one; they mean nothing in one container but the order of the start.
func (r *reader) joined(s *service, e compose.Entry) {
	switch n := e.Val; e.Key {
	case "links", "volumes_from":
		if !empty(e.Key, n) {
			r.passOver(s, e, []compose.Kind{compose.List}, s.section(), s.name, e.Key)
		}
		r.strings(n, e.Key, true)
		for _, item := range n.Items {
			if item.Kind != compose.Text || item.Bad || e.Key == "volumes_from" && strings.HasPrefix(item.Text, "container:") {
				continue
			}
			name, alias, _ := strings.Cut(item.Text, ":")
			if e.Key == "links" && strings.Contains(alias, ":") { // no alias, so it is all name
				name = item.Text
			}
			s.imply(item, name, e.Key == "links")
		}
	case "network_mode", "ipc", "pid":
		mode := r.str(n, e.Key)
		service, of := strings.CutPrefix(mode, "service:")
		switch {
		case n.Kind != compose.Text || n.Bad:
		case of:
			s.imply(n, service, true)
			fallthrough
		case strings.HasPrefix(mode, "container:"), e.Key == "network_mode" && mode != "none" && mode != "",
			e.Key == "ipc" && (mode == "shareable" || mode == "private"):
			r.passOver(s, e, []compose.Kind{compose.Text}, s.section(), s.name, e.Key)
		case mode != "":
			s.late.Add(e.At, "%s: %s is not supported: %s", e.Key, n.Show(), why(e.Key))
		}
	}
}

// imply adds a dependency that is not written as one.
func (s *service) imply(n *compose.Node, name string, restart bool) {
	s.implied = append(s.implied, dependency{
		child.Dependency{Name: name, Condition: child.ServiceStarted, Restart: restart},
		&compose.Node{Kind: compose.Text, At: n.At, Text: name, Vars: n.Vars},
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
