package root_test

import (
	"fmt"
	"slices"
	"strconv"
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

// A fate is what becomes of a daemon before an Update, and with it.
type fate struct {
	before string // alive, stopped, exited, backoff, absent
	change string // none, rules, program, removed; of one that is absent: added
}

// A move is an Update of a bundle whose daemons are in all kinds of states.
type move struct {
	fates      map[string]fate
	old, wants []child.Spec
	lives      lives
	shutdown   time.Duration // after the Update; 0 means when all is quiet
}

// TestUpdateModel makes random Updates of random bundles. After each the definitions are the new ones; a daemon that has not
// changed, or by its rules only, has its process; each other one has had just one stop and one start; and the deadline holds.
// The full size is go test ./root -run TestUpdateModel -rapid.checks=100000.
func TestUpdateModel(t *testing.T) {
	checks(t, 2000)
	rapid.Check(t, func(rt *rapid.T) {
		m := drawMove(rt)
		for _, wrong := range m.run(t) {
			rt.Errorf("%s", wrong)
		}
		if rt.Failed() {
			rt.Logf("%+v\nold %+v\nnew %+v", m.fates, m.old, m.wants)
		}
	})
}

func drawMove(t *rapid.T) *move {
	m := &move{fates: map[string]fate{}, lives: lives{}}
	for i := range rapid.IntRange(1, 7).Draw(t, "daemons") {
		name := "d" + strconv.Itoa(i)
		f := fate{before: rapid.SampledFrom([]string{"alive", "alive", "stopped", "exited", "backoff", "absent"}).Draw(t, name)}
		f.change = "added"
		if f.before != "absent" {
			f.change = rapid.SampledFrom([]string{"none", "rules", "program", "removed"}).Draw(t, name)
		}
		m.fates[name] = f
		spec := child.Spec{Name: name, Program: child.Program{Argv: []string{"/bin/d"}}, Readiness: rapid.Bool().Draw(t, "readiness")}
		life := testproc.Life{
			StartDelay: time.Duration(rapid.IntRange(0, 300).Draw(t, "start")) * ms,
			ReadyAfter: time.Duration(rapid.IntRange(1, 300).Draw(t, "ready")) * ms,
			On: testproc.Reactions{syscall.SIGTERM: {
				After: time.Duration(rapid.IntRange(0, 4000).Draw(t, "stop")) * ms, Exit: child.Exit{Signal: syscall.SIGTERM},
			}},
		}
		first := life
		switch f.before {
		case "exited":
			first.ExitAfter = s
		case "backoff":
			first.ExitAfter, first.Exit = s, child.Exit{Code: 1}
			spec.Restart, spec.Backoff = child.RestartPolicy{Policy: child.RestartAlways}, child.Backoff{Initial: time.Hour, Fixed: true}
		}
		m.lives[name] = []testproc.Life{first, life}
		if f.before != "absent" {
			m.old = append(m.old, m.edges(t, spec, m.old))
		}
		if f.change != "removed" {
			next := spec
			switch f.change {
			case "rules":
				next.StopGrace = 9 * s
			case "program":
				next.Stamp = "new"
			}
			if f.change != "none" {
				next = m.edges(t, next, m.wants)
			} else if next = m.old[len(m.old)-1]; !slices.ContainsFunc(next.After, func(d child.Dependency) bool { return m.fates[d.Name].change == "removed" }) {
				m.wants = append(m.wants, next)
				continue
			} else { // an edge to what leaves cannot stay
				next.After = nil
				f.change = "rules"
				m.fates[name] = f
			}
			m.wants = append(m.wants, next)
		}
	}
	if len(m.wants) == 0 || len(m.old) == 0 {
		for _, list := range []*[]child.Spec{&m.old, &m.wants} {
			*list = append(*list, child.Spec{Name: "rest", Program: child.Program{Argv: []string{"/bin/d"}}})
		}
		m.fates["rest"] = fate{"alive", "none"}
	}
	m.wants = rapid.Permutation(m.wants).Draw(t, "order")
	if rapid.Bool().Draw(t, "early") {
		m.shutdown = time.Duration(rapid.IntRange(1, 12_000).Draw(t, "shutdown")) * ms
	}
	return m
}

// edges lets a daemon depend on some of others. All of them come up, so that none waits for ever.
func (m *move) edges(t *rapid.T, spec child.Spec, others []child.Spec) child.Spec {
	spec.After = nil
	for _, o := range others {
		if rapid.IntRange(0, 3).Draw(t, "depends") == 0 {
			spec.After = append(spec.After, child.Dependency{Name: o.Name, Condition: child.ServiceStarted})
		}
	}
	return spec
}

// run plays the move in a bubble, and returns what is wrong.
func (m *move) run(t *testing.T) (wrong []string) {
	fail := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	synctest.Test(t, func(t *testing.T) {
		fake := &testproc.Fake{Lives: m.lives}
		r, err := root.New(root.Config{Specs: m.old, Spawner: fake, Grace: chaosGrace})
		if err != nil {
			fail("New: %v", err)
			return
		}
		fake.OnReady = func(daemon string, life, _ int) {
			_ = r.Ref().Tell(root.Fact{Name: daemon, Msg: child.Ready{Gen: uint64(life)}})
		}
		done := make(chan error, 1)
		go func() {
			_, err := r.Run()
			done <- err
		}()
		time.Sleep(30 * s)
		for name, f := range m.fates {
			if f.before == "stopped" {
				_ = r.Ref().Tell(root.Do{Name: name, Msg: child.Terminate{}})
			}
		}
		time.Sleep(30 * s)
		pids := map[string]int{}
		for _, st := range m.list(t, r) {
			pids[st.Name] = st.PID
		}
		at := time.Now()
		u := root.Update{Reply: actor.NewReply[root.Updated](), Grace: chaosGrace}
		for _, spec := range m.wants {
			u.Daemons = append(u.Daemons, root.Daemon{Spec: spec})
		}
		if r.Ref().Tell(u) != nil { // all had ended
			<-done
			return
		}
		if m.shutdown > 0 {
			time.Sleep(m.shutdown)
		} else {
			time.Sleep(60 * s)
			if answer := <-u.Reply.C(); answer.Err != nil {
				fail("Update: %v", answer.Err)
			}
			m.compare(t, r, fake, at, pids, fail)
		}
		end := time.Now()
		_ = r.Ref().Tell(root.Signal{Sig: syscall.SIGTERM})
		if err := <-done; err != nil {
			fail("Run: %v", err)
		}
		if took := time.Since(end); took > chaosGrace+150*ms {
			fail("the shutdown took %v", took)
		}
		synctest.Wait()
		wrong = append(wrong, append(fake.Violations(), fake.Leftovers()...)...)
		for _, rec := range fake.Records() {
			if rec.What == testproc.Spawning && rec.At.After(end) {
				fail("%s was started after the shutdown", rec.Daemon)
			}
		}
	})
	return wrong
}

func (m *move) list(t *testing.T, r *root.Root) []child.Status {
	all, err := actor.Ask(t.Context(), r.Ref(), func(reply actor.Reply[[]child.Status]) root.Msg { return root.List{Reply: reply} })
	if err != nil { // it has ended, since all had
		return nil
	}
	return all
}

// compare says what is not as the Update wants it, a minute after it.
func (m *move) compare(t *testing.T, r *root.Root, fake *testproc.Fake, at time.Time, pids map[string]int, fail func(string, ...any)) {
	all := m.list(t, r)
	if len(all) != len(m.wants) {
		fail("%d daemons, want %d", len(all), len(m.wants))
		return
	}
	for i := range all {
		st, spec := &all[i], &m.wants[i]
		if st.Name != spec.Name || st.Spec.Compare(spec) != child.SameSpec {
			fail("%s: has the definition %+v, want that of %s, %+v", st.Name, *st.Spec, spec.Name, *spec)
		}
	}
	for name, f := range m.fates {
		starts, stops := 0, 0
		for _, rec := range fake.Records(name) {
			switch {
			case rec.At.Before(at):
			case rec.What == testproc.Spawning:
				starts++
			case rec.What == testproc.Signalled && rec.Signal == syscall.SIGTERM:
				stops++
			}
		}
		wantStarts, wantStops := 0, 0
		alive := f.before == "alive"
		switch f.change {
		case "added":
			wantStarts = 1
		case "removed":
			if alive {
				wantStops = 1
			}
		case "program":
			if alive {
				wantStops = 1
			}
			if f.before != "stopped" {
				wantStarts = 1
			}
		}
		if starts != wantStarts || stops != wantStops {
			fail("%s, %+v: got %d starts and %d stops, want %d and %d", name, f, starts, stops, wantStarts, wantStops)
		}
		i := slices.IndexFunc(all, func(st child.Status) bool { return st.Name == name })
		if i >= 0 && (f.change == "none" || f.change == "rules") && all[i].PID != pids[name] {
			fail("%s, %+v: pid %d became %d", name, f, pids[name], all[i].PID)
		}
	}
}
