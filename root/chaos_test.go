package root_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// stepDies is the longest time from SIGKILL to the end of a step that runs beside a process.
const stepDies = 20 * ms

// slowDeath is the longest time from SIGKILL to the end of any other process.
const slowDeath = 50 * ms

// chaosGrace is the grace of each bundle of TestChaos.
const chaosGrace = 8 * s

// A play is a bundle, how its processes behave, and what happens to it.
type play struct {
	specs   []child.Spec
	lives   lives
	routes  map[syscall.Signal]root.Route
	from    string
	acts    []act
	end     time.Duration // SIGTERM
	insist  time.Duration // SIGINT after it; 0: none
	updates bool          // some of acts are Updates
}

// An act is a message at a time.
type act struct {
	at  time.Duration
	msg root.Msg
}

// A report is what has happened in a play.
type report struct {
	begin   time.Time
	events  []child.Event
	records []testproc.Record
	wrong   []string // violations and leftovers of the fake
	code    int
	err     error
	end     time.Time
	high    int
	updates []*update // in the order in which they came
}

// An update is an Update with its answer.
type update struct {
	root.Update
	answer root.Updated
}

// TestChaos runs random bundles to which random things happen, and then a SIGTERM. The full size is
// go test ./root -run TestChaos -rapid.checks=50000.
func TestChaos(t *testing.T) {
	checks(t, 1500)
	told := false
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlay(rt)
		r := p.run(t) // whatever fails in it must not unwind the bubble
		defer func() {
			if !rt.Failed() {
				return
			}
			rt.Logf("%s", r.story())
			if !told { // what happens at the same time has no order, so that it may not happen again
				told = true
				t.Logf("the first to fail:\n%s\n%s", p.cast(), r.story())
			}
		}()
		p.check(rt, r)
	})
}

// checks makes rapid draw n cases, unless the command line says how many.
func checks(t *testing.T, n int) {
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "rapid.checks" })
	if explicit {
		return
	}
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(was) })
}

// run performs the play in a bubble.
func (p *play) run(t *testing.T) (r report) {
	synctest.Test(t, func(*testing.T) {
		var mu sync.Mutex
		gens := map[int]uint64{} // by PID
		fake := &testproc.Fake{Lives: p.lives}
		bundle, err := root.New(root.Config{
			Specs: p.specs, Spawner: fake, Grace: chaosGrace, Routes: p.routes, ExitCodeFrom: p.from,
			Observe: func(e child.Event) {
				mu.Lock()
				defer mu.Unlock()
				r.events = append(r.events, e)
				if e.Kind == child.EventStarted {
					gens[e.PID] = e.Gen
				}
			},
		})
		if err != nil {
			r.err = err
			return
		}
		fake.OnReady = func(daemon string, _, pid int) {
			mu.Lock()
			defer mu.Unlock()
			_ = bundle.Ref().Tell(root.Fact{Name: daemon, Msg: child.Ready{Gen: gens[pid]}})
		}
		r.begin = time.Now()
		acts := append(slices.Clone(p.acts), act{p.end, root.Signal{Sig: syscall.SIGTERM}})
		if p.insist > 0 {
			acts = append(acts, act{p.end + p.insist, root.Signal{Sig: syscall.SIGINT}})
		}
		var timers []*time.Timer
		for _, a := range acts {
			timers = append(timers, time.AfterFunc(a.at, func() {
				u, ok := a.msg.(root.Update)
				if !ok {
					_ = bundle.Ref().Tell(a.msg)
					return
				}
				u.Reply = actor.NewReply[root.Updated]()
				mu.Lock()
				r.updates = append(r.updates, &update{Update: u})
				mu.Unlock()
				_ = bundle.Ref().Tell(u)
			}))
		}
		r.code, r.err = bundle.Run()
		r.end = time.Now()
		for _, timer := range timers {
			timer.Stop()
		}
		synctest.Wait()
		for _, u := range r.updates {
			select {
			case u.answer = <-u.Reply.C():
				if err := u.answer.Err; err != nil && !errors.Is(err, root.ErrShuttingDown) {
					r.wrong = append(r.wrong, err.Error())
				}
			default: // it came after the end
				u.answer.Err = root.ErrShuttingDown
			}
		}
		r.records = fake.Records()
		r.wrong = slices.Concat(r.wrong, fake.Violations(), fake.Leftovers())
		r.high = bundle.Ref().HighWater()
	})
	return r
}

// cast is the bundle as text.
func (p *play) cast() string {
	var b strings.Builder
	for _, spec := range p.specs {
		fmt.Fprintf(&b, "%s: %v, critical %v, after %+v\n", spec.Name, spec.Restart, spec.Critical, spec.After)
	}
	for _, a := range p.acts {
		if u, ok := a.msg.(root.Update); ok {
			fmt.Fprintf(&b, "%v Update:", a.at)
			for _, d := range u.Daemons {
				fmt.Fprintf(&b, " %s%s", d.Spec.Name, d.Spec.Stamp)
			}
			fmt.Fprintf(&b, "; exit code from %q\n", u.ExitCodeFrom)
			continue
		}
		fmt.Fprintf(&b, "%v %T %+v\n", a.at, a.msg, a.msg)
	}
	return b.String()
}

// story is the report as text.
func (r *report) story() string {
	var b strings.Builder
	type line struct {
		at   time.Time
		text string
	}
	var all []line
	for _, e := range r.events {
		all = append(all, line{e.Time, fmt.Sprintf("%s %s %v %s %v", e.Daemon, e.Kind, e.Signal, e.Reason, e.Names)})
	}
	for _, rec := range r.records {
		all = append(all, line{rec.At, "\t\t\t" + rec.String()})
	}
	slices.SortStableFunc(all, func(a, b line) int { return a.at.Compare(b.at) })
	for _, l := range all {
		fmt.Fprintf(&b, "%8v %s\n", l.at.Sub(r.begin), l.text)
	}
	fmt.Fprintf(&b, "%8v end with %d, %v", r.end.Sub(r.begin), r.code, r.err)
	return b.String()
}

// drawPlay draws all that is random: nothing is drawn in the bubble.
func drawPlay(t *rapid.T) *play {
	p := &play{lives: lives{}, end: time.Duration(rapid.IntRange(0, 40_000).Draw(t, "end")) * ms}
	n := rapid.IntRange(1, 6).Draw(t, "daemons")
	for i := range n {
		p.drawDaemon(t, i)
	}
	// The file order is not that of the dependencies.
	p.specs = rapid.Permutation(p.specs).Draw(t, "order")
	daemon := func(label string) string { return "d" + strconv.Itoa(rapid.IntRange(0, n-1).Draw(t, label)) }
	p.routes = map[syscall.Signal]root.Route{
		syscall.SIGHUP:  {Forward: []string{daemon("HUP")}},
		syscall.SIGUSR1: {Restart: []string{daemon("USR1")}},
		syscall.SIGUSR2: {Restart: []string{daemon("USR2")}, Forward: []string{daemon("USR2")}, Absent: []string{"other"}},
	}
	if rapid.IntRange(0, 3).Draw(t, "from") == 0 {
		p.from = daemon("from")
	}
	if rapid.IntRange(0, 5).Draw(t, "insist") == 0 {
		p.insist = time.Duration(rapid.IntRange(1, 9000).Draw(t, "insist after")) * ms
	}
	for range rapid.IntRange(0, 8).Draw(t, "acts") {
		at := time.Duration(rapid.IntRange(0, 40_000).Draw(t, "at")) * ms
		var msg root.Msg
		switch rapid.SampledFrom([]string{"signal", "signal", "restart", "stop", "start", "hup", "unhealthy", "extend", "shutdown", "update", "update"}).Draw(t, "act") {
		case "signal":
			msg = root.Signal{Sig: rapid.SampledFrom([]syscall.Signal{
				syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGALRM,
			}).Draw(t, "signal")}
		case "restart":
			msg = root.Do{Name: daemon("who"), Msg: child.Restart{}}
		case "stop":
			msg = root.Do{Name: daemon("who"), Msg: child.Terminate{}}
		case "start":
			msg = root.Do{Name: daemon("who"), Msg: child.Start{}}
		case "hup":
			msg = root.Do{Name: daemon("who"), Msg: child.Signal{Sig: syscall.SIGHUP}}
		case "unhealthy":
			msg = root.Fact{Name: daemon("who"), Msg: child.Unhealthy{Gen: rapid.Uint64Range(1, 3).Draw(t, "gen"), Reason: "no answer"}}
		case "extend":
			msg = root.Fact{Name: daemon("who"), Msg: child.Extend{Gen: rapid.Uint64Range(1, 3).Draw(t, "gen"), By: 7 * s}}
		case "update":
			msg, p.updates = p.drawUpdate(t), true
		case "shutdown":
			if rapid.IntRange(0, 3).Draw(t, "early") > 0 {
				continue
			}
			msg = root.Shutdown{Reason: "early"}
		}
		p.acts = append(p.acts, act{at + time.Duration(len(p.acts)), msg}) // no two at the same time
	}
	return p
}

// drawUpdate draws an Update: some of the daemons, some of them changed.
func (p *play) drawUpdate(t *rapid.T) root.Update {
	u := root.Update{Grace: chaosGrace, Routes: map[syscall.Signal]root.Route{}}
	has := map[string]bool{}
	for _, spec := range p.specs {
		has[spec.Name] = rapid.IntRange(0, 3).Draw(t, "stays") > 0
	}
	has[p.specs[0].Name] = true
	for _, spec := range p.specs {
		if !has[spec.Name] {
			continue
		}
		spec.After = slices.DeleteFunc(slices.Clone(spec.After), func(d child.Dependency) bool { return !has[d.Name] })
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			spec.Stamp = strconv.Itoa(rapid.IntRange(1, 9).Draw(t, "stamp"))
		case 1:
			spec.RestartGrace = 3 * s
		}
		u.Daemons = append(u.Daemons, root.Daemon{Spec: spec})
	}
	for sig, route := range p.routes {
		known := func(names []string) []string {
			return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !has[name] })
		}
		u.Routes[sig] = root.Route{Forward: known(route.Forward), Restart: known(route.Restart)}
	}
	if has[p.from] {
		u.ExitCodeFrom = p.from
	}
	u.Daemons = rapid.Permutation(u.Daemons).Draw(t, "order")
	return u
}

// drawDaemon draws a daemon that depends on some of those before it, and its lives.
func (p *play) drawDaemon(t *rapid.T, i int) {
	one := func(of int, label string) bool { return rapid.IntRange(1, of).Draw(t, label) == of }
	spec := child.Spec{
		Name: "d" + strconv.Itoa(i), Program: child.Program{Argv: []string{"/bin/d"}},
		Restart: child.RestartPolicy{
			Policy: rapid.SampledFrom([]child.Policy{child.RestartNo, child.RestartOnFailure, child.RestartAlways}).Draw(t, "policy"),
			Max:    rapid.IntRange(0, 3).Draw(t, "max"),
		},
		Backoff:   child.Backoff{Initial: time.Duration(rapid.SampledFrom([]int{0, 200, 3000}).Draw(t, "backoff")) * ms, Fixed: one(2, "fixed")},
		StopGrace: rapid.SampledFrom([]time.Duration{0, 0, s, 20 * s}).Draw(t, "grace"),
		Readiness: one(3, "readiness"),
		Critical:  one(10, "critical"),
	}
	if one(4, "limit") {
		spec.Limit = child.Limit{Restarts: 2, Window: 10 * s}
	}
	if one(4, "kill mode") {
		spec.KillMode = child.KillProcess
	}
	for j := range i {
		if one(3, "depends") {
			spec.After = append(spec.After, child.Dependency{
				Name: "d" + strconv.Itoa(j),
				Condition: rapid.SampledFrom([]child.Condition{
					"", child.ServiceStarted, child.ServiceHealthy, child.ServiceCompletedSuccessfully,
				}).Draw(t, "condition"),
				Optional: one(4, "optional"), Restart: one(4, "follows"),
			})
		}
	}
	step := func(kind child.StepKind, suffix string) []child.Step {
		if !one(8, suffix) {
			return nil
		}
		name := spec.Name + suffix
		for range rapid.IntRange(1, 2).Draw(t, "lives of "+suffix) {
			life := drawLife(t, true)
			if kind != child.StepPreStart { // a step that hangs in the kernel is waited for only so long
				life.StartDelay, life.KillDelay = 0, min(life.KillDelay, stepDies)
			}
			p.lives[name] = append(p.lives[name], life)
		}
		return []child.Step{{Name: name, Program: child.Program{Argv: []string{"/bin/step"}}}}
	}
	spec.PreStart, spec.PostStart, spec.PreStop = step(child.StepPreStart, ".pre"), step(child.StepPostStart, ".post"), step(child.StepPreStop, ".stop")
	for range rapid.IntRange(1, 3).Draw(t, "lives") {
		p.lives[spec.Name] = append(p.lives[spec.Name], drawLife(t, false))
	}
	p.specs = append(p.specs, spec)
}

// drawLife draws how a process behaves. A step ends, one way or another.
func drawLife(t *rapid.T, step bool) testproc.Life {
	anExit := rapid.SampledFrom([]child.Exit{{}, {}, {Code: 1}, {Code: 3}, {Signal: syscall.SIGSEGV}})
	life := testproc.Life{
		StartDelay: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 150, 3000}).Draw(t, "start")) * ms,
		KillDelay:  time.Duration(rapid.SampledFrom([]int{0, 0, int(slowDeath / ms)}).Draw(t, "dies")) * ms,
		Exit:       anExit.Draw(t, "exit"),
		On:         testproc.Reactions{},
	}
	switch rapid.IntRange(0, 9).Draw(t, "fails") {
	case 0:
		life.StartError = &child.StartError{Reason: "no such file", Code: 127}
	case 1:
		life.StartError = &child.StartError{Reason: "out of memory", Code: 126, Transient: true}
	}
	if d := rapid.SampledFrom([]int{0, 0, 1, 500, 10_000}).Draw(t, "ends"); d > 0 || step {
		life.ExitAfter = time.Duration(d+1) * ms
	}
	if d := rapid.SampledFrom([]int{0, 1, 2000}).Draw(t, "ready"); d > 0 && !step {
		life.ReadyAfter = time.Duration(d) * ms
	}
	switch rapid.IntRange(0, 5).Draw(t, "TERM") {
	case 0:
		life.On[syscall.SIGTERM] = testproc.Reaction{Ignore: true}
	case 1, 2:
		life.On[syscall.SIGTERM] = testproc.Reaction{
			After: time.Duration(rapid.SampledFrom([]int{0, 1, 1500, 6000}).Draw(t, "after")) * ms,
			Exit:  rapid.SampledFrom([]child.Exit{{}, {Code: 143}, {Code: 7}}).Draw(t, "exit"),
		}
	}
	if rapid.Bool().Draw(t, "HUP") {
		life.On[syscall.SIGHUP] = testproc.Reaction{Ignore: true}
	}
	for !step && rapid.IntRange(0, 3).Draw(t, "forks") == 0 && len(life.Fork) < 3 {
		life.Fork = append(life.Fork, drawLife(t, false))
	}
	return life
}
