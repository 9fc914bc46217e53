package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// An Action is what happens to a daemon.
type Action string

// The actions, in the order in which a Plan lists them.
const (
	Restart Action = "restart"
	Start   Action = "start"
	Stop    Action = "stop"
	// Update: from now on other rules count; the process is not touched.
	Update Action = "update"
)

// A Step is what happens to one daemon, or, with the name Bundle, to the bundle itself.
type Step struct {
	Name   string   `json:"name"`
	Action Action   `json:"action"`
	Causes []string `json:"causes"` // the keys that have changed, or why else
}

// Bundle is the name in the Step of what stands at the top of the file.
const Bundle = "bundle"

// A Plan is what a new bundle means for the one that runs.
type Plan struct {
	Steps     []Step   `json:"steps"`
	Unchanged int      `json:"unchanged"`       // how many daemons are not concerned
	Notes     []string `json:"notes,omitempty"` // what has changed and takes a new container
}

// New compares what runs with what is to run. States has the state of each daemon of the old bundle.
func New(old, next *bundle.Bundle, states map[string]child.State) Plan {
	p := &planner{old: old, next: next, states: states, was: byName(old), will: byName(next)}
	for i := range next.Daemons {
		if !next.Daemons[i].Transient { // which no file says anything about
			p.daemon(&next.Daemons[i])
		}
	}
	for i := range old.Daemons {
		d := &old.Daemons[i]
		if name := d.Spec.Name; p.will[name] == nil && !d.Transient {
			p.add(name, Stop, p.leaves(d))
		}
	}
	p.follow()
	order := []Action{Restart, Start, Stop, Update}
	slices.SortStableFunc(p.plan.Steps, func(a, b Step) int { return slices.Index(order, a.Action) - slices.Index(order, b.Action) })
	if causes := top(old, next); len(causes) > 0 {
		p.add(Bundle, Update, causes...)
	}
	if !same(old.Log, next.Log) {
		p.plan.Notes = append(p.plan.Notes, "log has changed: it takes a new container")
	}
	return p.plan
}

type planner struct {
	old, next *bundle.Bundle
	states    map[string]child.State
	was, will map[string]*bundle.Daemon
	plan      Plan
}

func byName(b *bundle.Bundle) map[string]*bundle.Daemon {
	all := make(map[string]*bundle.Daemon, len(b.Daemons))
	for i := range b.Daemons {
		all[b.Daemons[i].Spec.Name] = &b.Daemons[i]
	}
	return all
}

func (p *planner) add(name string, a Action, causes ...string) {
	p.plan.Steps = append(p.plan.Steps, Step{Name: name, Action: a, Causes: causes})
}

// daemon plans for a daemon of the new bundle.
func (p *planner) daemon(d *bundle.Daemon) {
	name := d.Spec.Name
	was := p.was[name]
	switch {
	case was == nil && d.Job != nil:
		p.add(name, Update, p.comes(d)) // nothing is started by it
		return
	case was == nil:
		p.add(name, Start, p.comes(d))
		return
	case was.Job == nil && d.Job != nil:
		p.add(name, Update, "a job from now on")
		return
	}
	if reflect.DeepEqual(was, d) { // the most usual case, and soon seen
		p.plan.Unchanged++
		return
	}
	program, rules := differ(executed, was, d), differ(supervised, was, d)
	rules = slices.DeleteFunc(rules, func(k string) bool { return slices.Contains(program, k) })
	causes := slices.Concat(program, rules)
	switch state := p.states[name]; {
	case len(causes) == 0:
		p.plan.Unchanged++
	case was.Job != nil && d.Job == nil && state.Alive():
		p.add(name, Restart, "a service from now on")
	case was.Job != nil && d.Job == nil:
		p.add(name, Start, "a service from now on")
	case d.Job != nil: // the run that is in progress goes on as it was begun
		p.add(name, Update, causes...)
	case len(program) == 0, state == child.StateWaiting, state == child.StateStopped:
		p.add(name, Update, causes...)
	case state == child.StateExited, state == child.StateGaveUp, state == child.StateBackoff:
		p.add(name, Start, causes...)
	default:
		p.add(name, Restart, causes...)
	}
}

// comes says why a daemon is new.
func (p *planner) comes(d *bundle.Daemon) string {
	had, known := p.old.Service(d.Spec.Service)
	switch {
	case !known:
		return "new in the file"
	case had == 0:
		return "profile or scale"
	}
	now, _ := p.next.Service(d.Spec.Service)
	return fmt.Sprintf("scale %d -> %d", had, now)
}

// leaves says why a daemon goes.
func (p *planner) leaves(d *bundle.Daemon) string {
	has, known := p.next.Service(d.Spec.Service)
	switch {
	case !known:
		return "no longer in the file"
	case has == 0:
		return "profile or scale"
	}
	had, _ := p.old.Service(d.Spec.Service)
	return fmt.Sprintf("scale %d -> %d", had, has)
}

// follow adds those that are restarted after one that they depend on with restart: true.
func (p *planner) follow() {
	restarted := map[string]bool{}
	for _, s := range p.plan.Steps {
		restarted[s.Name] = s.Action == Restart || s.Action == Start && p.was[s.Name] != nil
	}
	for again := true; again; {
		again = false
		for i := range p.next.Daemons {
			spec := &p.next.Daemons[i].Spec
			j := slices.IndexFunc(spec.After, func(d child.Dependency) bool { return d.Restart && restarted[d.Name] })
			if j < 0 || restarted[spec.Name] || !p.states[spec.Name].Alive() {
				continue
			}
			restarted[spec.Name], again = true, true
			cause := "depends_on " + spec.After[j].Name
			k := slices.IndexFunc(p.plan.Steps, func(s Step) bool { return s.Name == spec.Name })
			if k < 0 {
				p.plan.Unchanged--
				p.add(spec.Name, Restart, cause)
				continue
			}
			p.plan.Steps[k].Action = Restart
			p.plan.Steps[k].Causes = append(p.plan.Steps[k].Causes, cause)
		}
	}
}

// top are the keys at the top that differ.
func top(a, b *bundle.Bundle) (names []string) {
	for _, k := range []struct {
		name string
		a, b any
	}{
		{"signals", [2]any{a.Routes, a.DroppedRoutes}, [2]any{b.Routes, b.DroppedRoutes}},
		{"grace_period", a.Grace, b.Grace},
		{"exit_code_from", a.ExitCodeFrom, b.ExitCodeFrom},
		{"hosts", a.HostsAt != "", b.HostsAt != ""},
		{"notify", a.Notify, b.Notify},
		{"reload", a.AutoReload, b.AutoReload},
		{"transient", a.Transient, b.Transient},
	} {
		if !same(k.a, k.b) {
			names = append(names, k.name)
		}
	}
	return names
}

// Action is what happens to a daemon; "" if it is not concerned.
func (p Plan) Action(name string) Action {
	for _, s := range p.Steps {
		if s.Name == name {
			return s.Action
		}
	}
	return ""
}

// Started are the daemons that are started or restarted.
func (p Plan) Started() (names []string) {
	for _, s := range p.Steps {
		if s.Action == Start || s.Action == Restart {
			names = append(names, s.Name)
		}
	}
	return names
}

// Nothing reports whether there is nothing to do.
func (p Plan) Nothing() bool { return len(p.Steps) == 0 }

// Text is the plan for people: a line for each step, and one that counts the rest.
func (p Plan) Text() string {
	var b strings.Builder
	width := 0
	for _, s := range p.Steps {
		width = max(width, len(s.Name))
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%-*s  %-7s  %s\n", width, s.Name, s.Action, strings.Join(s.Causes, ", "))
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	fmt.Fprintf(&b, "%d unchanged\n", p.Unchanged)
	return b.String()
}

// Summary counts the daemons, as in "1 started, 1 stopped, 2 restarted, 1 updated, 3 unchanged".
func (p Plan) Summary() string {
	count := map[Action]int{}
	for _, s := range p.Steps {
		if s.Name != Bundle {
			count[s.Action]++
		}
	}
	return strings.Join([]string{
		strconv.Itoa(count[Start]) + " started", strconv.Itoa(count[Stop]) + " stopped", strconv.Itoa(count[Restart]) + " restarted",
		strconv.Itoa(count[Update]) + " updated", strconv.Itoa(p.Unchanged) + " unchanged",
	}, ", ")
}
