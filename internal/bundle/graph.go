package bundle

import (
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// A graph is the services with their daemons and dependencies, and which of them are selected.
type graph struct {
	*loader
	services []*service
	byName   map[string]*service
	enabled  map[*service]bool   // by their profiles, or because they are named
	daemons  map[string]*service // every daemon that the file gives, enabled or not
	selected map[string]bool     // daemons
}

// enable finds the services whose profiles are active. A service that is named in Select activates its profiles, as in
// Compose; one that is named in Subset is enabled.
func (g *graph) enable(active []string) {
	for _, s := range g.services {
		g.byName[s.name] = s
	}
	for _, name := range g.options.Select {
		if s := g.serviceOf(name); s != nil {
			active = append(slices.Clip(active), s.profiles...)
		}
	}
	subset, _ := g.subset()
	g.enabled = map[*service]bool{}
	for _, s := range g.services {
		g.enabled[s] = len(s.profiles) == 0 || slices.Contains(active, "*") ||
			slices.ContainsFunc(s.profiles, func(p string) bool { return slices.Contains(active, p) })
	}
	for _, name := range subset {
		if s := g.serviceOf(name); s != nil {
			g.enabled[s] = true
		}
	}
}

// bring enables the services of Options.Bring, and makes sure that they have a daemon.
func (g *graph) bring() {
	var enable func(s *service)
	enable = func(s *service) {
		g.enabled[s] = true
		for _, d := range s.dependsOn {
			on := g.byName[d.Name]
			if on != nil && !g.enabled[on] && slices.ContainsFunc(on.profiles, func(p string) bool { return slices.Contains(s.profiles, p) }) {
				enable(on)
			}
		}
	}
	for _, name := range g.options.Bring {
		s := g.byName[name]
		if s == nil {
			continue
		}
		enable(s)
		if len(s.daemons()) == 0 {
			one := 1
			s.scale, s.replicas = &one, nil
		}
	}
}

// subset is Options.Subset as names; false means all.
func (g *graph) subset() (names []string, narrow bool) {
	if !g.options.SubsetSet || strings.TrimSpace(g.options.Subset) == "" {
		return nil, false
	}
	for name := range strings.SplitSeq(g.options.Subset, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, true
}

// serviceOf is the service that a name addresses, or of which it addresses a replica.
func (g *graph) serviceOf(name string) *service {
	if s := g.byName[name]; s != nil {
		return s
	}
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if s := g.byName[name[:i]]; s != nil && slices.Contains(s.daemons(), name) {
			return s
		}
	}
	return nil
}

// daemons are the names of the daemons of a service.
func (s *service) daemons() []string {
	n := 1
	if s.scale != nil {
		n = *s.scale
	} else if s.replicas != nil {
		n = *s.replicas
	}
	if n == 1 {
		return []string{s.name}
	}
	out := make([]string, n)
	for i := range out {
		out[i] = s.name + "-" + strconv.Itoa(i+1)
	}
	return out
}

// names notes the daemons of s.
func (g *graph) names(s *service) {
	if s.scale != nil && s.replicas != nil && *s.scale != *s.replicas {
		s.late.Add(s.at, "scale and deploy.replicas of %s must be the same number", s.name)
	}
	for _, name := range s.daemons() {
		other := g.daemons[name]
		if other == nil && name != s.name {
			other = g.byName[name]
		}
		if other != nil {
			g.probs.Add(s.at, "%s gives a daemon %s, and so does %s at %s: rename one", s.name, name, other.name, other.at)
			continue
		}
		g.daemons[name] = s
	}
}

// dependencies checks depends_on: unknown names and cycles.
func (g *graph) dependencies() {
	var names []string
	for _, s := range g.services {
		names = append(names, s.name)
	}
	for _, s := range g.services {
		for _, d := range s.dependsOn {
			if g.byName[d.Name] == nil {
				g.probs.Add(d.name.At, "%s depends on an unknown service: %s", s.name, compose.Suggest(d.name, names))
			}
		}
	}
	done := map[*service]bool{}
	var visit func(s *service, path []*service)
	visit = func(s *service, path []*service) {
		if done[s] {
			return
		}
		for _, d := range s.dependsOn {
			next := g.byName[d.Name]
			if next == nil {
				continue
			}
			way := append(path, s)
			if i := slices.Index(way, next); i >= 0 {
				var loop []string
				for _, s := range way[i:] {
					loop = append(loop, s.name)
				}
				g.probs.Add(d.name.At, "%s waits for itself: %s → %s; remove one of these dependencies",
					next.name, strings.Join(loop, " → "), next.name)
				continue
			}
			visit(next, way)
		}
		done[s] = true
	}
	for _, s := range g.services {
		visit(s, nil)
	}
}

// choose finds the selected daemons.
func (g *graph) choose(b *Bundle) (err error) {
	g.selected = map[string]bool{}
	if len(g.options.Select) == 0 {
		for _, s := range g.services {
			for _, name := range s.daemons() {
				g.selected[name] = g.enabled[s]
			}
		}
	}
	var add func(s *service, names []string)
	add = func(s *service, names []string) {
		if !g.enabled[s] {
			return
		}
		for _, name := range names {
			g.selected[name] = true
		}
		for _, d := range s.dependsOn {
			if next := g.byName[d.Name]; next != nil && len(g.selectedOf(next)) < len(next.daemons()) {
				add(next, next.daemons())
			}
		}
	}
	for _, name := range g.options.Select {
		s := g.serviceOf(name)
		switch {
		case s == nil:
			err = &UnknownDaemonError{Name: name, Nearest: compose.Nearest(name, append(keysOf(g.daemons), keysOf(g.byName)...))}
		case s.name == name:
			add(s, s.daemons())
		default:
			add(s, []string{name})
		}
	}
	if subset, narrow := g.subset(); narrow {
		keep := map[string]bool{}
		for _, name := range subset {
			switch s := g.serviceOf(name); {
			case s == nil:
				b.UnknownSubset = append(b.UnknownSubset, name)
			case s.name == name:
				for _, name := range s.daemons() {
					keep[name] = true
				}
			default:
				keep[name] = true
			}
		}
		for name := range g.selected {
			g.selected[name] = g.selected[name] && keep[name]
		}
	}
	return err
}

// Bounds for what a file comes to. A container has a hundredth of that; a file of a few lines can come to more than the memory of the
// machine.
const (
	maxDaemons = 10_000
	maxEdges   = 100_000
)

// bound checks how many daemons and dependencies between daemons there are. It reports whether they can be made.
func (g *graph) bound() bool {
	daemons, edges := 0, 0
	for _, s := range g.services {
		n := len(g.selectedOf(s))
		daemons += n
		for _, d := range s.dependsOn {
			if on := g.byName[d.Name]; on != nil {
				edges += n * len(g.selectedOf(on))
			}
		}
		switch {
		case daemons > maxDaemons:
			g.probs.Add(s.at, "with %s there are %d daemons, and %d are the most: lower the scale of some", s.name, daemons, maxDaemons)
			return false
		case edges > maxEdges:
			g.probs.Add(s.at, "with %s there are %d dependencies between daemons, since each replica depends on each, and %d are the most: lower a scale",
				s.name, edges, maxEdges)
			return false
		}
	}
	return true
}

// selectedOf are the selected daemons of a service.
func (g *graph) selectedOf(s *service) (out []string) {
	for _, name := range s.daemons() {
		if g.selected[name] {
			out = append(out, name)
		}
	}
	return out
}

// replica is the daemon called name, made of what all of s have in common. The one called first does the work that is
// done once for all of them.
func (g *graph) replica(d Daemon, s *service, name, first string) Daemon {
	d.Spec.Name = name
	if name != s.name {
		d.Replica, _ = strconv.Atoi(strings.TrimPrefix(name, s.name+"-"))
	}
	set := func(env []string) []string {
		env = without(env, func(name string) bool { return name == "SIDECAR_INIT_DAEMON" })
		return slices.Clip(append(env, "SIDECAR_INIT_DAEMON="+name))
	}
	d.Spec.Env, d.HelperEnv = set(d.Spec.Env), set(d.HelperEnv)
	for _, steps := range []*[]child.Step{&d.Spec.PreStart, &d.Spec.PostStart, &d.Spec.PreStop} {
		*steps = slices.Clone(*steps)
		for i := range *steps {
			(*steps)[i].Name, (*steps)[i].Env = name, set((*steps)[i].Env)
		}
	}
	for _, dep := range s.dependsOn {
		on := g.byName[dep.Name]
		if on == nil {
			continue
		}
		for _, name := range g.selectedOf(on) {
			edge := dep.Dependency
			edge.Name = name
			d.Spec.After = append(d.Spec.After, edge)
		}
	}
	once := slices.IndexFunc(s.preStart, func(h hook) bool { return !h.perReplica }) >= 0
	if once && name != first {
		var mine []child.Step
		for i, h := range s.preStart {
			if h.perReplica {
				mine = append(mine, d.Spec.PreStart[i])
			}
		}
		d.Spec.PreStart = mine
		d.Spec.After = append(d.Spec.After, child.Dependency{Name: first, Condition: child.ServiceStarted})
	}
	return d
}

// address resolves the names in a route to daemons. What exists but is not selected is dropped.
func (g *graph) address(b *Bundle, sig syscall.Signal, names []*compose.Node) (out []string) {
	for _, n := range names {
		s := g.serviceOf(n.Text)
		if n.Bad {
			continue
		}
		if s == nil {
			g.probs.Add(n.At, "%s names an unknown daemon: %s", child.SignalName(sig),
				compose.Suggest(n, append(keysOf(g.byName), keysOf(g.daemons)...)))
			continue
		}
		found := g.selectedOf(s)
		if s.name != n.Text {
			found = slices.DeleteFunc(found, func(name string) bool { return name != n.Text })
		}
		if len(found) == 0 {
			b.DroppedRoutes[sig] = append(b.DroppedRoutes[sig], n.Text)
		}
		for _, name := range found {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
