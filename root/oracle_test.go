package root_test

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"pgregory.net/rapid"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// A span is what the fake knows of one life of a process: an independent witness of what root says.
type span struct {
	name                string
	pid                 int
	spawning            time.Time
	spawned, ended      time.Time // zero if it never was
	gone                time.Time // nobody was left in its group
	failed              error
	exit                child.Exit
	term, kill          bool // it was sent SIGTERM, SIGKILL
	termTime, killTimes time.Time
}

// under is about the time from the call of Spawn to the end.
func (l *span) under(t time.Time) bool {
	end := l.ended
	if l.failed != nil {
		end = l.spawned // of the failure
	}
	return !l.spawning.After(t) && end.After(t)
}

// spans are the lives that the fake has recorded: all of them, and of each daemon, in the order in which they began.
func (r *report) spans() (all []*span, of map[string][]*span) {
	of = map[string][]*span{}
	for _, rec := range r.records {
		var l *span // the latest
		if n := len(of[rec.Daemon]); n > 0 {
			l = of[rec.Daemon][n-1]
		}
		switch rec.What {
		case testproc.Spawning:
			l = &span{name: rec.Daemon, spawning: rec.At}
			of[rec.Daemon] = append(of[rec.Daemon], l)
			all = append(all, l)
		case testproc.Spawned:
			l.spawned, l.pid = rec.At, rec.PID
		case testproc.Failed:
			l.spawned, l.failed = rec.At, rec.Exit.Err
		case testproc.Ended:
			l.ended, l.gone, l.exit = rec.At, rec.At, rec.Exit
		case testproc.Emptied:
			l.gone = rec.At
		case testproc.Signalled:
			switch {
			case rec.Signal == syscall.SIGTERM && !l.term:
				l.term, l.termTime = true, rec.At
			case rec.Signal == syscall.SIGKILL && !l.kill:
				l.kill, l.killTimes = true, rec.At
			}
		}
	}
	return all, of
}

// result is what the end of a life counts.
func (l *span) result() int {
	switch {
	case l.failed != nil && strings.Contains(l.failed.Error(), "memory"):
		return 126
	case l.failed != nil:
		return 127
	case l.term && l.exit.Status() == 143, l.kill && l.exit.Status() == 137:
		return 0
	}
	return l.exit.Status()
}

// check holds a report against what package root promises.
func (p *play) check(t *rapid.T, r report) {
	if r.err != nil {
		t.Fatalf("Run: got %v, want nil", r.err)
	}
	for _, w := range r.wrong {
		t.Errorf("%s", w)
	}
	if r.high >= 64 {
		t.Errorf("%d messages have waited for root, want less than 64", r.high)
	}
	shutdown := r.end // where it has ended by itself
	var why *child.Event
	for i, e := range r.events {
		if e.Kind == root.EventShutdown {
			if why != nil {
				t.Errorf("two shutdowns")
			}
			why, shutdown = &r.events[i], e.Time
		}
	}
	spans, of := r.spans()
	grace := chaosGrace
	if i := slices.IndexFunc(r.events, func(e child.Event) bool { return e.Kind == root.EventDeadline }); i >= 0 && why == nil {
		grace = s // all daemons were dead, and others of their groups were left
		shutdown = r.events[i].Time.Add(-s)
		for _, l := range spans {
			if !strings.Contains(l.name, ".") && l.ended.After(shutdown) {
				t.Errorf("%s was alive when the bundle ended by itself", l.name)
			}
		}
	}
	if limit := shutdown.Add(grace + 150*ms); r.end.After(limit) {
		t.Errorf("the end came %v after the shutdown", r.end.Sub(shutdown))
	}
	p.checkStarts(t, spans, of, shutdown)
	p.checkStops(t, r, of, shutdown)
	p.checkDeaths(t, r, spans)
	p.checkDeadline(t, r, spans, shutdown, grace)
	if got, want := r.code, p.code(r, spans, why); got != want {
		t.Errorf("exit code: got %d, want %d", got, want)
	}
}

// checkStarts: nothing is started after the shutdown, and before it only what may be.
func (p *play) checkStarts(t *rapid.T, spans []*span, of map[string][]*span, shutdown time.Time) {
	for _, l := range spans {
		daemon, suffix, _ := strings.Cut(l.name, ".")
		// One that is under way may still wait for the steps and the group of the life before to be gone.
		if (suffix == "" || suffix == "pre") && l.spawning.After(shutdown.Add(stepDies+slowDeath)) {
			t.Errorf("%s was started %v after the shutdown", l.name, l.spawning.Sub(shutdown))
		}
		if p.told(daemon) || suffix != "" {
			continue // by hand it starts whatever holds
		}
		for _, d := range p.spec(daemon).After {
			if d.Optional || len(p.spec(daemon).PreStart) > 0 {
				continue
			}
			ok := slices.ContainsFunc(of[d.Name], func(dep *span) bool {
				if dep.failed != nil || dep.spawned.IsZero() || dep.spawned.After(l.spawning) {
					return false
				}
				return d.Condition != child.ServiceCompletedSuccessfully || !dep.ended.After(l.spawning) && !dep.exit.Failed()
			})
			if !ok {
				t.Errorf("%s was started without its dependency %s", daemon, d.Name)
			}
		}
	}
	for _, spec := range p.specs {
		if spec.Restart.Policy == child.RestartNo && !p.told(spec.Name) && len(of[spec.Name]) > 1 {
			t.Errorf("%s was restarted, against its policy", spec.Name)
		}
	}
}

// told reports whether a daemon was started or restarted by a message, or may have been.
func (p *play) told(name string) bool {
	if p.updates {
		return true // TestUpdateModel looks at what Updates do; here they are one more trouble
	}
	if slices.ContainsFunc(p.spec(name).After, func(d child.Dependency) bool { return d.Restart && p.told(d.Name) }) {
		return true
	}
	return slices.ContainsFunc(p.acts, func(a act) bool {
		switch m := a.msg.(type) {
		case root.Do:
			switch m.Msg.(type) {
			case child.Start, child.Restart:
				return m.Name == name
			}
		case root.Signal:
			return slices.Contains(p.routes[m.Sig].Restart, name)
		}
		return false
	})
}

// checkStops: dependents end before what they depend on is asked to; from half of the grace on, everybody was asked.
func (p *play) checkStops(t *rapid.T, r report, of map[string][]*span, shutdown time.Time) {
	half := shutdown.Add(chaosGrace / 2)
	for _, spec := range p.specs {
		for i, l := range of[spec.Name] {
			if i+1 < len(of[spec.Name]) && l.term && !l.kill && l.gone.After(of[spec.Name][i+1].spawning) {
				t.Errorf("%s was started anew, and others of the group that was being stopped were alive", l.name)
			}
			if l.failed == nil && l.spawned.Before(half) && l.ended.After(half) && r.end.After(half) &&
				!(l.term && !l.termTime.After(half)) && !(l.kill && !l.killTimes.After(half)) {
				t.Errorf("%s was not asked to end by half of the grace", l.name)
			}
			if !l.term || l.termTime.Before(shutdown) || !l.termTime.Before(half) || r.disturbed(p, spec.Name, shutdown) {
				continue
			}
			for _, other := range p.specs {
				if !slices.ContainsFunc(other.After, func(d child.Dependency) bool { return d.Name == spec.Name }) {
					continue
				}
				for _, dependent := range of[other.Name] {
					if dependent.under(l.termTime) {
						t.Errorf("%s was asked to end before %s, which depends on it", spec.Name, other.Name)
					}
				}
			}
		}
	}
}

// led reports whether a restart of the daemon by leads to one of the daemon name.
func (p *play) led(name, by string) bool {
	return name == by || slices.ContainsFunc(p.spec(name).After, func(d child.Dependency) bool { return d.Restart && p.led(d.Name, by) })
}

// disturbed reports whether a daemon may have been on its way down when the shutdown came.
func (r *report) disturbed(p *play, name string, shutdown time.Time) bool {
	if p.updates {
		return true
	}
	recent := func(t time.Time) bool { return !t.After(shutdown) && shutdown.Sub(t) < 30*s }
	return slices.ContainsFunc(r.events, func(e child.Event) bool {
		return e.Daemon == name && recent(e.Time) && (e.Kind == child.EventRestarting || e.Kind == child.EventUnhealthy)
	}) || slices.ContainsFunc(p.acts, func(a act) bool {
		if !recent(r.begin.Add(a.at)) {
			return false
		}
		switch m := a.msg.(type) {
		case root.Do:
			return p.led(name, m.Name)
		case root.Signal:
			return slices.ContainsFunc(p.routes[m.Sig].Restart, func(by string) bool { return p.led(name, by) })
		}
		return false
	})
}

// checkDeaths: each death is told of once, with its PID, and so is each failed start.
func (p *play) checkDeaths(t *rapid.T, r report, spans []*span) {
	told := map[int]int{}
	failed := map[string]int{}
	for _, e := range r.events {
		switch e.Kind {
		case child.EventExited:
			told[e.PID]++
		case child.EventFailed:
			failed[e.Daemon]++
		}
	}
	for _, l := range spans {
		daemon, suffix, _ := strings.Cut(l.name, ".")
		switch {
		case suffix != "" && suffix != "pre":
		case l.failed != nil:
			failed[daemon]--
		case suffix == "pre" && !l.exit.Failed(): // it went on with the program, or was the last
			delete(told, l.pid)
		default:
			if told[l.pid] != 1 {
				t.Errorf("the death of %s (pid %d) was told of %d times", l.name, l.pid, told[l.pid])
			}
			delete(told, l.pid)
		}
	}
	for pid := range told {
		t.Errorf("pid %d has died without having lived", pid)
	}
	for daemon, n := range failed {
		if n != 0 {
			t.Errorf("%s has %d more failed starts in the log than in truth", daemon, n)
		}
	}
}

// checkDeadline: the event comes at its time, and names whom it kills, in file order.
func (p *play) checkDeadline(t *rapid.T, r report, spans []*span, shutdown time.Time, grace time.Duration) {
	deadline := shutdown.Add(grace)
	var named []string
	for _, e := range r.events {
		switch e.Kind {
		case root.EventDeadline:
			if !e.Time.Equal(deadline) || named != nil || e.Delay != grace {
				t.Errorf("the deadline came at %v", e.Time.Sub(shutdown))
			}
			named = e.Names
		case root.EventKillNow:
			if p.insist == 0 {
				t.Errorf("killed, and nobody has insisted")
			}
		}
	}
	var order []string
	for _, spec := range p.specs {
		order = append(order, spec.Name)
	}
	if !p.updates && !slices.IsSortedFunc(named, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		t.Errorf("the deadline names %v, the file has %v", named, order)
	}
	for _, l := range spans {
		daemon, suffix, _ := strings.Cut(l.name, ".")
		if suffix == "" && l.kill && !l.killTimes.Before(deadline) && !slices.Contains(named, daemon) && p.spec(daemon).StopGrace == 0 {
			t.Errorf("%s was killed at the deadline, which names %v", daemon, named)
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(spans, func(l *span) bool {
			daemon, _, _ := strings.Cut(l.name, ".")
			return daemon == name && !l.gone.Before(deadline.Add(-50*ms)) // a group is looked at so often
		}) {
			t.Errorf("the deadline names %s, which was dead", name)
		}
	}
}

func (p *play) spec(name string) *child.Spec {
	return &p.specs[slices.IndexFunc(p.specs, func(s child.Spec) bool { return s.Name == name })]
}

// code is the exit code of the bundle, computed from what the fake has seen.
func (p *play) code(r report, spans []*span, why *child.Event) int {
	results := map[string]int{}
	removed := map[string]time.Time{} // what was before does not count, even if it has come back
	for _, e := range r.events {
		switch e.Kind {
		case child.EventNotStarted:
			results[e.Daemon] = 1 // unless it was started by hand since
		case root.EventRemoved:
			delete(results, e.Daemon)
			removed[e.Daemon] = e.Time
		}
	}
	for _, l := range spans {
		daemon, suffix, _ := strings.Cut(l.name, ".")
		gone, left := removed[daemon]
		if (suffix == "" || suffix == "pre") && !(left && !l.spawning.After(gone)) {
			results[daemon] = l.result()
		}
	}
	if why != nil && why.Daemon != "" { // a critical one
		return results[why.Daemon]
	}
	from := p.from
	for _, u := range slices.Backward(r.updates) { // what has left does not count
		if u.answer.Err != nil {
			continue
		}
		from = u.ExitCodeFrom
		for name := range results {
			if !slices.ContainsFunc(u.Daemons, func(d root.Daemon) bool { return d.Spec.Name == name }) {
				delete(results, name)
			}
		}
		break
	}
	if from != "" {
		return results[from]
	}
	code := 0
	for _, result := range results {
		code = max(code, result)
	}
	return code
}
