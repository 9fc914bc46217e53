package root_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// Behaviours of processes.
var (
	deaf      = testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {Ignore: true}}}
	undead    = testproc.Life{Unkillable: true, ExitAfter: time.Hour}
	hearsHUP  = testproc.Life{On: testproc.Reactions{syscall.SIGHUP: {Ignore: true}}}
	notFound  = testproc.Life{StartError: &child.StartError{Reason: "no such file", Code: 127}}
	readySoon = testproc.Life{ReadyAfter: time.Second}
)

// slow takes d to end when it is asked to.
func slow(d time.Duration) testproc.Life {
	return testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {After: d, Exit: child.Exit{Signal: syscall.SIGTERM}}}}
}

// ends ends by itself.
func ends(d time.Duration, code int) testproc.Life {
	return testproc.Life{ExitAfter: d, Exit: child.Exit{Code: code}}
}

// A lab has a bundle with processes in memory, inside a bubble of testing/synctest.
type lab struct {
	t     *testing.T
	fake  *testproc.Fake
	root  *root.Root
	begin time.Time

	mu     sync.Mutex
	events []string
	over   bool // what happens now, nobody is told of

	done chan struct{}
	code int
	err  error
	took time.Duration
}

type lives = map[string][]testproc.Life

// experiment runs a bundle in a bubble, lets do speak to it, and waits for its end. A goroutine that is left fails the
// test, since a bubble ends when all of its goroutines do. The daemons are real commands by name only.
func experiment(t *testing.T, cfg root.Config, lives lives, do func(l *lab)) *lab {
	t.Helper()
	l := &lab{fake: &testproc.Fake{Lives: lives}}
	synctest.Test(t, func(t *testing.T) {
		l.t, l.begin, l.done = t, time.Now(), make(chan struct{})
		cfg.Spawner = l.fake
		cfg.Observe = l.observe
		cfg.Specs = slices.Clone(cfg.Specs)
		for i := range cfg.Specs {
			cfg.Specs[i].Argv = []string{"/bin/" + cfg.Specs[i].Name}
		}
		r, err := root.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l.root = r
		l.fake.OnReady = func(daemon string, life, _ int) {
			l.tell(root.Fact{Name: daemon, Msg: child.Ready{Gen: uint64(life)}})
		}
		go func() {
			l.code, l.err = r.Run()
			l.took = time.Since(l.begin)
			l.mu.Lock()
			l.over = true
			l.mu.Unlock()
			close(l.done)
		}()
		if do != nil {
			do(l)
		}
		<-l.done
		synctest.Wait()
		l.leftovers()
	})
	return l
}

// leftovers fails the test for what is left, unless Run has said so; then it waits until that is gone.
func (l *lab) leftovers() {
	if l.err == nil {
		l.fake.Check(l.t)
		return
	}
	time.Sleep(2 * time.Hour)
	l.fake.Check(l.t)
}

// observe notes an event: the time, the daemon, and what is important about it.
func (l *lab) observe(e child.Event) {
	s := fmt.Sprintf("%v %s", e.Time.Sub(l.begin), strings.TrimSpace(e.Daemon+" "+string(e.Kind)))
	switch e.Kind {
	case child.EventExited, child.EventFailed:
		s += " " + e.Exit.String()
		if e.Next != child.NextNothing {
			s += ", " + string(e.Next)
		}
	case child.EventNotStarted:
		s += ": " + e.Reason
	case child.EventStarted:
		if e.Restart {
			s += " in place"
		}
	case child.EventForwarded, child.EventDropped, root.EventIgnored, root.EventShutdown:
		if e.Signal != 0 {
			s += " " + child.SignalName(e.Signal)
		}
		switch {
		case e.Reason != "":
			s += ": " + e.Reason
		case e.Kind == child.EventDropped:
			s += ": " + e.Exit.String()
		}
	case root.EventDeadline:
		s += fmt.Sprintf(" %v: %s", e.Delay, strings.Join(e.Names, ", "))
	case root.EventKillNow:
		s += fmt.Sprintf(" %s: %s", child.SignalName(e.Signal), strings.Join(e.Names, ", "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.events = append(l.events, s)
	}
}

func (l *lab) tell(m root.Msg) { _ = l.root.Ref().Tell(m) }

// signal sends the supervisor a signal at a time.
func (l *lab) signal(d time.Duration, sig syscall.Signal) { l.at(d, root.Signal{Sig: sig}) }

// at tells the bundle something at a time.
func (l *lab) at(d time.Duration, m root.Msg) {
	time.AfterFunc(time.Until(l.begin.Add(d)), func() { l.tell(m) })
}

// until lets time pass.
func (l *lab) until(d time.Duration) {
	time.Sleep(time.Until(l.begin.Add(d)))
	synctest.Wait()
}

// do gives a command, and returns the answer.
func (l *lab) do(name string, m child.Command) root.Accepted {
	l.t.Helper()
	a, err := actor.Ask(l.t.Context(), l.root.Ref(), func(r actor.Reply[root.Accepted]) root.Msg {
		return root.Do{Name: name, Msg: m, Reply: r}
	})
	if err != nil {
		l.t.Errorf("Do: got %v, want nil", err)
	}
	return a
}

func (l *lab) list() []child.Status {
	l.t.Helper()
	all, err := actor.Ask(l.t.Context(), l.root.Ref(), func(r actor.Reply[[]child.Status]) root.Msg { return root.List{Reply: r} })
	if err != nil {
		l.t.Errorf("List: got %v, want nil", err)
	}
	return all
}

func (l *lab) await(ctx context.Context, until func([]child.Status) bool) ([]child.Status, error) {
	return actor.Ask(ctx, l.root.Ref(), func(r actor.Reply[[]child.Status]) root.Msg { return root.Await{Until: until, Reply: r} })
}

// sofar are the events until now.
func (l *lab) sofar() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// states are NAME=STATE of all daemons.
func states(all []child.Status) string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name+"="+string(s.State))
	}
	return strings.Join(list, " ")
}

// picked are the events in which one of the words is, or all if there are none.
func (l *lab) picked(words ...string) []string {
	var all []string
	for _, e := range l.events {
		if len(words) == 0 || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e, w) }) {
			all = append(all, e)
		}
	}
	return all
}

// want compares lists line by line.
func want(t *testing.T, what string, got []string, text string) {
	t.Helper()
	if w := lines(text); !slices.Equal(got, w) {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(w, "\n\t"))
	}
}

// wantSorted compares them without regard to order: what happens at the same time to different daemons has none.
func wantSorted(t *testing.T, what string, got []string, text string) {
	t.Helper()
	w := lines(text)
	slices.Sort(w)
	want(t, what, slices.Sorted(slices.Values(got)), strings.Join(w, "\n"))
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// wantEnd checks how the bundle has ended.
func (l *lab) wantEnd(t *testing.T, code int, took time.Duration) {
	t.Helper()
	if l.code != code || l.err != nil || l.took != took {
		t.Errorf("Run: got %d, %v after %v, want %d, nil after %v", l.code, l.err, l.took, code, took)
	}
}

// after is a dependency with its condition.
func after(name string, c child.Condition) []child.Dependency {
	return []child.Dependency{{Name: name, Condition: c}}
}
