package childtest_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/childtest"
)

const (
	term = syscall.SIGTERM
	kill = syscall.SIGKILL
	stop = syscall.SIGSTOP
	cont = syscall.SIGCONT
)

func TestLives(t *testing.T) {
	second := time.Second
	for _, tt := range []struct {
		name    string
		life    childtest.Life
		do      func(child.Process)
		want    child.Exit
		took    time.Duration
		members int // alive after Wait
	}{
		{
			name: "ends by itself", life: childtest.Life{ExitAfter: 5 * second, Exit: child.Exit{Code: 3}},
			want: child.Exit{Code: 3}, took: 5 * second,
		},
		{
			name: "has ended before Spawn returns", life: childtest.Life{ExitAfter: childtest.AtOnce, Exit: child.Exit{Code: 3}},
			want: child.Exit{Code: 3},
		},
		{name: "starts slowly", life: childtest.Life{StartDelay: second, ExitAfter: second}, took: 2 * second},
		{name: "default action", do: send(term), want: child.Exit{Signal: term}},
		{name: "default is to ignore", life: childtest.Life{ExitAfter: second}, do: send(cont, syscall.SIGCHLD, 0), took: second},
		{
			name: "reaction", life: childtest.Life{On: childtest.Reactions{term: {After: second, Exit: child.Exit{Code: 9}}}},
			do: send(term), want: child.Exit{Code: 9}, took: second,
		},
		{
			name: "ignored, then killed", life: childtest.Life{On: childtest.Reactions{term: {Ignore: true}}},
			do:   func(p child.Process) { send(term)(p); time.Sleep(second); send(kill)(p) },
			want: child.Exit{Signal: kill}, took: second,
		},
		{
			name: "killed while it reacts", life: childtest.Life{On: childtest.Reactions{term: {After: second}}},
			do: send(term, kill), want: child.Exit{Signal: kill},
		},
		{name: "dies slowly", life: childtest.Life{KillDelay: second}, do: send(kill), want: child.Exit{Signal: kill}, took: second},
		{name: "unkillable", life: childtest.Life{Unkillable: true, ExitAfter: 60 * second}, do: send(term, kill), took: 60 * second},
		{
			name: "stopped, then continued", life: childtest.Life{},
			do:   func(p child.Process) { send(stop, term)(p); time.Sleep(second); send(cont)(p) },
			want: child.Exit{Signal: term}, took: second,
		},
		{name: "stopped, then killed", do: send(stop, term, kill), want: child.Exit{Signal: kill}},
		{
			name: "cannot end while it is stopped", life: childtest.Life{ExitAfter: second},
			do: func(p child.Process) { send(stop)(p); time.Sleep(3 * second); send(cont)(p) }, took: 3 * second,
		},
		{
			name: "group", life: childtest.Life{Fork: []childtest.Life{{}, {On: childtest.Reactions{term: {Ignore: true}}}}},
			do: func(p child.Process) { p.Signal(term, true) }, want: child.Exit{Signal: term}, members: 1,
		},
		{
			name: "not the group", life: childtest.Life{Fork: []childtest.Life{{}, {}}}, do: send(term),
			want: child.Exit{Signal: term}, members: 2,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &childtest.Fake{Lives: map[string][]childtest.Life{"web": {tt.life}}}
				begin := time.Now()
				p, err := f.Spawn(&child.Spec{Name: "web"})
				if err != nil {
					t.Fatal(err)
				}
				if tt.do != nil {
					tt.do(p)
				}
				if got := p.Wait(); got != tt.want {
					t.Errorf("exit: got %v, want %v", got, tt.want)
				}
				if got := time.Since(begin); got != tt.took {
					t.Errorf("time: got %v, want %v", got, tt.took)
				}
				if got := f.Alive("web"); got != tt.members {
					t.Errorf("alive after the end: got %d, want %d", got, tt.members)
				}
				if err := p.Signal(term, false); !errors.Is(err, os.ErrProcessDone) {
					t.Errorf("Signal after the end: got %v, want %v", err, os.ErrProcessDone)
				}
				p.Release(true)
				if err := p.Signal(term, true); !errors.Is(err, os.ErrProcessDone) {
					t.Errorf("Signal to a group that is gone: got %v, want %v", err, os.ErrProcessDone)
				}
				if got := f.Alive("web"); got != 0 {
					t.Errorf("alive after Release: got %d, want 0", got)
				}
				f.Check(t)
			})
		})
	}
}

func TestLifeAfterLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := &child.StartError{Reason: "no such file", Code: 127}
		f := &childtest.Fake{Lives: map[string][]childtest.Life{"web": {
			{ExitAfter: time.Second, Exit: child.Exit{Code: 1}},
			{StartDelay: time.Second, StartError: failure},
			{ReadyAfter: time.Second},
		}}}
		var ready []int
		f.OnReady = func(_ string, life, _ int) { ready = append(ready, life) }
		for life := 1; life <= 4; life++ {
			p, err := f.Spawn(&child.Spec{Name: "web"})
			if life == 2 {
				if p != nil || err != failure {
					t.Errorf("life 2: got %v, %v, want nil, %v", p, err, failure)
				}
				continue
			}
			if life > 2 {
				time.Sleep(2 * time.Second)
				synctest.Wait()
				p.Signal(term, life == 4)
			}
			p.Wait()
			p.Release(life == 4)
		}
		want := strings.Split(`web/1 spawning
web/1 spawned
web/1 ended code 1
web/1 waited
web/1 released
web/2 spawning
web/2 failed: no such file
web/3 spawning
web/3 spawned
web/3 ready
web/3 SIGTERM
web/3 ended code -15 (SIGTERM)
web/3 waited
web/3 released
web/4 spawning
web/4 spawned
web/4 ready
web/4 SIGTERM group
web/4 ended code -15 (SIGTERM)
web/4 waited
web/4 released kill`, "\n")
		if got := f.Trace("web"); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := f.Trace("db"); len(got) != 0 {
			t.Errorf("trace of another daemon: %q", got)
		}
		if want := []int{3, 4}; !slices.Equal(ready, want) {
			t.Errorf("ready: got %v, want %v", ready, want)
		}
		if got := f.Lived("web"); got != 4 {
			t.Errorf("lived: got %d, want 4", got)
		}
		f.Check(t)
	})
}

// TestViolations holds that each way to break the contract is seen, by breaking it.
func TestViolations(t *testing.T) {
	spawn := func(f *childtest.Fake) child.Process {
		p, _ := f.Spawn(&child.Spec{Name: "web"})
		return p
	}
	for _, tt := range []struct {
		name string
		do   func(*childtest.Fake)
		want string
	}{
		{
			"two lives", func(f *childtest.Fake) { spawn(f); spawn(f) },
			"web/2 is spawned while life 1 is alive; web/1 is alive; web/2 is alive",
		},
		{"two spawns", func(f *childtest.Fake) {
			f.Lives = map[string][]childtest.Life{"web": {{StartDelay: 1, StartError: os.ErrNotExist}}}
			go spawn(f)
			spawn(f)
		}, "web/2 is spawned while another life is being spawned"},
		{
			"not released", func(f *childtest.Fake) { spawn(f); f.End("web", child.Exit{}); spawn(f); f.End("web", child.Exit{}) },
			"web/2 is spawned before life 1 is released; web/1 is not waited for; web/2 is not waited for",
		},
		{
			"waited twice", func(f *childtest.Fake) {
				p := spawn(f)
				f.End("web", child.Exit{})
				p.Wait()
				p.Wait()
				p.Release(false)
			},
			"web/1 is waited for twice",
		},
		{
			"released twice", func(f *childtest.Fake) {
				p := spawn(f)
				f.End("web", child.Exit{})
				p.Wait()
				p.Release(false)
				p.Release(true)
			},
			"web/1 is released twice",
		},
		{
			"released too early", func(f *childtest.Fake) { p := spawn(f); p.Release(false) },
			"web/1 is released before Wait has returned; web/1 is alive",
		},
		{
			"never released", func(f *childtest.Fake) { p := spawn(f); f.End("web", child.Exit{}); p.Wait() },
			"web/1 is not released",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(childtest.Fake)
				tt.do(f)
				synctest.Wait()
				if got := strings.Join(append(f.Violations(), f.Leftovers()...), "; "); got != tt.want {
					t.Errorf("got %q\nwant %q", got, tt.want)
				}
			})
		})
	}
}

// TestReleaseIsBounded holds that a process that hangs in the kernel does not hang Release.
func TestReleaseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &childtest.Fake{Lives: map[string][]childtest.Life{"web": {{Fork: []childtest.Life{{Unkillable: true}}}}}}
		p, _ := f.Spawn(&child.Spec{Name: "web"})
		if !f.End("web", child.Exit{}) {
			t.Error("End: got false, want true")
		}
		if f.End("web", child.Exit{}) {
			t.Error("End of a dead process: got true, want false")
		}
		p.Wait()
		begin := time.Now()
		p.Release(true)
		if got := time.Since(begin); got != time.Second {
			t.Errorf("Release took %v, want %v", got, time.Second)
		}
		if got := f.Alive("web"); got != 1 {
			t.Errorf("alive: got %d, want 1", got)
		}
	})
}

// send sends signals to the main process.
func send(sigs ...syscall.Signal) func(child.Process) {
	return func(p child.Process) {
		for _, sig := range sigs {
			p.Signal(sig, false)
		}
	}
}
