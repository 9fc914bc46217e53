package child_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// A spawner is a Spawner that is a function.
type spawner func(*child.Spec) (child.Process, error)

func (f spawner) Spawn(s *child.Spec) (child.Process, error) { return f(s) }

// TestSpawnerPanics: a panic of the Spawner is a failed start.
func TestSpawnerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []child.Event
		c := child.New(&child.Spec{Name: "web", Restart: child.RestartPolicy{Policy: child.RestartAlways}},
			spawner(func(*child.Spec) (child.Process, error) { panic("no way") }),
			child.Hooks{Event: func(e child.Event) { got = append(got, e) }})
		_ = c.Ref().Tell(child.Start{})
		time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Retire{}) })
		if err := c.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if len(got) != 2 || got[1].Kind != child.EventFailed || got[1].Exit.Code != 126 || !strings.Contains(got[1].Reason, "no way") {
			t.Errorf("got %+v, want one failed start", got)
		}
	})
}

// TestHookPanics: a panic of a hook ends the Child, whenever it comes, and its process with it: nobody owns that any more.
func TestHookPanics(t *testing.T) {
	for _, at := range []child.Kind{
		child.EventStarting, child.EventStarted, child.EventReady, child.EventForwarded, child.EventRestarting, child.EventKilled,
		child.EventExited,
	} {
		for _, delay := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%s, %v", at, delay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &testproc.Fake{Lives: map[string][]testproc.Life{"web": {{StartDelay: delay, On: deaf}}}}
					c := child.New(&child.Spec{Name: "web"}, f, child.Hooks{Event: func(e child.Event) {
						if e.Kind == at {
							panic(at)
						}
					}})
					for i, m := range []child.Msg{child.Start{}, child.Ready{Gen: 1}, child.Signal{Sig: syscall.SIGWINCH}, child.Restart{}} {
						time.AfterFunc(time.Duration(2*i)*time.Second, func() { _ = c.Ref().Tell(m) })
					}
					err := c.Run()
					var panicked *actor.PanicError
					if !errors.As(err, &panicked) || panicked.Value != at {
						t.Errorf("Run: got %v, want the panic", err)
					}
					time.Sleep(time.Minute) // it may have been on its way
					f.Check(t)
				})
			})
		}
	}
}

// TestPanicInBatch: what was queued behind the message that panics is not lost: a process that was spawned meanwhile is
// killed, and one that has ended is released.
func TestPanicInBatch(t *testing.T) {
	for _, tt := range []struct {
		name  string
		life  testproc.Life
		holds int // the call of the hook that holds the actor up, so that more comes in one batch; the next one panics
	}{
		{"spawned after the end", testproc.Life{StartDelay: time.Minute}, 0},
		{"spawned", testproc.Life{StartDelay: time.Minute}, 1},
		{"spawned, and has ended", testproc.Life{StartDelay: time.Minute, ExitAfter: testproc.AtOnce}, 1},
		{"exited", testproc.Life{ExitAfter: time.Minute}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &testproc.Fake{Lives: map[string][]testproc.Life{"web": {tt.life}}}
				calls := 0
				c := child.New(&child.Spec{Name: "web"}, f, child.Hooks{Status: func(child.Status) {
					calls++
					switch calls {
					case tt.holds:
						time.Sleep(time.Hour)
					case tt.holds + 1:
						panic("now")
					}
				}})
				_ = c.Ref().Tell(child.Start{})
				time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Signal{Sig: syscall.SIGWINCH}) })
				var panicked *actor.PanicError
				if err := c.Run(); !errors.As(err, &panicked) {
					t.Errorf("Run: got %v, want a panic", err)
				}
				time.Sleep(time.Hour)
				f.Check(t)
			})
		})
	}
}

// TestStepSpawnerPanics: that is a failure of the step.
func TestStepSpawnerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(testproc.Fake)
		spec := &child.Spec{Name: "web", PostStart: []child.Step{{Name: "post", Program: child.Program{Argv: []string{"/bin/post"}}}}}
		reason := ""
		c := child.New(spec, spawner(func(s *child.Spec) (child.Process, error) {
			if s.Step != "" {
				panic("no way")
			}
			return f.Spawn(s)
		}), child.Hooks{Event: func(e child.Event) {
			if e.Kind == child.EventUnhealthy {
				reason = e.Reason
			}
		}})
		_ = c.Ref().Tell(child.Start{})
		time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Kill{}) })
		if err := c.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if !strings.Contains(reason, "no way") {
			t.Errorf("unhealthy: got %q, want the panic", reason)
		}
		f.Check(t)
	})
}

// forgetful is a process whose Wait panics.
type forgetful struct{ child.Process }

func (p forgetful) Wait() child.Exit {
	p.Process.Wait()
	panic("how was that?")
}

// TestWaitPanics: that is an end with a status that could not be learnt.
func TestWaitPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &testproc.Fake{Lives: map[string][]testproc.Life{"web": {{ExitAfter: time.Second}}}}
		var last *child.Exit
		c := child.New(&child.Spec{Name: "web"}, spawner(func(s *child.Spec) (child.Process, error) {
			p, err := f.Spawn(s)
			return forgetful{p}, err
		}), child.Hooks{Status: func(s child.Status) { last = s.Last }})
		_ = c.Ref().Tell(child.Start{})
		time.AfterFunc(time.Minute, func() { _ = c.Ref().Tell(child.Retire{}) })
		if err := c.Run(); err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		if last == nil || last.Code != 70 || last.Err == nil {
			t.Errorf("last: got %+v, want code 70 and why", last)
		}
		f.Check(t)
	})
}

// TestStepsAfterPanic: steps that run beside the process end with the actor, too.
func TestStepsAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(testproc.Fake)
		spec := &child.Spec{Name: "web", PostStart: []child.Step{{Name: "post", Program: child.Program{Argv: []string{"/bin/post"}}}}}
		c := child.New(spec, f, child.Hooks{Event: func(e child.Event) {
			if e.Kind == child.EventForwarded {
				panic("now")
			}
		}})
		_ = c.Ref().Tell(child.Start{})
		time.AfterFunc(time.Second, func() { _ = c.Ref().Tell(child.Signal{Sig: syscall.SIGWINCH}) })
		var panicked *actor.PanicError
		if err := c.Run(); !errors.As(err, &panicked) {
			t.Errorf("Run: got %v, want a panic", err)
		}
		synctest.Wait()
		f.Check(t)
	})
}
