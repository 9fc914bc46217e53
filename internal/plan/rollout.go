package plan

import (
	"cmp"
	"slices"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// A Rollout is a service whose replicas change a batch at a time, as its deploy.update_config says.
type Rollout struct {
	Service string
	Names   []string // of the replicas that change, in order
	Config  bundle.UpdateConfig
}

// Batches are the names in the order and the portions in which they change.
func (r *Rollout) Batches() [][]string {
	return slices.Collect(slices.Chunk(r.Names, cmp.Or(r.Config.Parallelism, max(1, len(r.Names)))))
}

// Rollouts are those of a plan, each after those of the services that it depends on. What is not running is in none: nothing is
// lost if all of it is started at once.
func (p Plan) Rollouts(old, next *bundle.Bundle) (all []Rollout) {
	was := byName(old)
	for i := range next.Daemons {
		d := &next.Daemons[i]
		name := d.Spec.Name
		if d.Update == nil || d.Replica == 0 || p.Action(name) != Restart || len(differ(executed, was[name], d)) == 0 {
			continue
		}
		j := slices.IndexFunc(all, func(r Rollout) bool { return r.Service == d.Spec.Service })
		if j < 0 {
			j = len(all)
			all = append(all, Rollout{Service: d.Spec.Service, Config: *d.Update})
		}
		all[j].Names = append(all[j].Names, name)
	}
	order := depths(next)
	slices.SortStableFunc(all, func(a, b Rollout) int { return order[a.Names[0]] - order[b.Names[0]] })
	return all
}

// depths are the lengths of the longest ways from each daemon along its dependencies.
func depths(b *bundle.Bundle) map[string]int {
	daemons, depth := byName(b), map[string]int{}
	var visit func(name string) int
	visit = func(name string) int {
		if depth[name] == 0 && daemons[name] != nil {
			depth[name] = 1
			for _, dep := range daemons[name].Spec.After {
				depth[name] = max(depth[name], visit(dep.Name)+1)
			}
		}
		return depth[name]
	}
	for name := range daemons {
		visit(name)
	}
	return depth
}

// Later are the daemons that are other programs in next and depend, directly or not, on what is rolled out: their turn comes after
// it. Who is only restarted after what it depends on is not among them.
func (p Plan) Later(old, next *bundle.Bundle, rollouts []Rollout) (names []string) {
	was, behind := byName(old), map[string]bool{}
	for _, r := range rollouts {
		for _, name := range r.Names {
			behind[name] = true
		}
	}
	depends := func(d child.Dependency) bool { return behind[d.Name] }
	for again := true; again; {
		again = false
		for i := range next.Daemons {
			spec := &next.Daemons[i].Spec
			if !behind[spec.Name] && slices.ContainsFunc(spec.After, depends) {
				behind[spec.Name], again = true, true
				if p.Action(spec.Name) == Restart && len(differ(executed, was[spec.Name], &next.Daemons[i])) > 0 {
					names = append(names, spec.Name)
				}
			}
		}
	}
	return names
}

// Between is a bundle on the way from old to next: next, in which the held daemons still are what they were. Only what they depend on
// is new, since it may have gone otherwise. Nobody is restarted after a held daemon or one that is still rolling, but after the last one.
func Between(old, next *bundle.Bundle, held, rolling map[string]bool) *bundle.Bundle {
	if len(held)+len(rolling) == 0 {
		return next
	}
	was := byName(old)
	b := *next
	b.Daemons = slices.Clone(next.Daemons)
	for i := range b.Daemons {
		d := &b.Daemons[i]
		after := d.Spec.After
		name := d.Spec.Name
		if held[name] {
			*d = *was[name]
		}
		d.Spec.After = slices.Clone(after)
		for j := range d.Spec.After {
			dep := &d.Spec.After[j]
			dep.Restart = dep.Restart && !held[name] && !rolling[dep.Name]
		}
	}
	return &b
}
