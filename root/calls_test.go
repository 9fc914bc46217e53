package root_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/childtest"
	"github.com/bot-bottle/sidecar-init/root"
)

// TestCalls: the messages as calls, and what they answer at which time.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &childtest.Fake{Lives: map[string][]childtest.Life{"bad": {{ExitAfter: time.Second, Exit: child.Exit{Code: 3}}}}}
		r, err := root.New(root.Config{Spawner: fake, Specs: []child.Spec{
			{Name: "web-1", Service: "web", Program: child.Program{Argv: []string{"w"}}},
			{Name: "web-2", Service: "web", Program: child.Program{Argv: []string{"w"}}},
			{Name: "bad", Program: child.Program{Argv: []string{"b"}}},
			{Name: "nightly", Program: child.Program{Argv: []string{"n"}}, Job: child.TriggerManual},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		type result struct {
			code int
			err  error
		}
		done := make(chan result, 1)
		go func() {
			code, err := r.RunContext(ctx)
			done <- result{code, err}
		}()
		calls := t.Context()
		if err := r.WaitReady(calls, "web"); err != nil {
			t.Error(err)
		}
		if err := r.WaitReady(calls); err != nil {
			t.Errorf("while bad runs: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := r.WaitReady(calls); err == nil || err.Error() != "bad has ended: bad ended with code 3" {
			t.Errorf("after the end of bad: got %v", err)
		}
		all, err := r.Restart(calls, "web")
		if err != nil || len(all) != 2 || all[0].Restarts != 1 || all[1].Restarts != 1 {
			t.Errorf("restart: got %+v, %v", all, err)
		}
		if all, err = r.Stop(calls, "web-1"); err != nil || len(all) != 1 || all[0].State != child.StateStopped {
			t.Errorf("stop: got %+v, %v", all, err)
		}
		if err := r.Signal(calls, "web-1", syscall.SIGHUP); err == nil {
			t.Error("a signal to a dead daemon was sent")
		}
		if err := r.Signal(calls, "web-2", syscall.SIGWINCH); err != nil {
			t.Error(err)
		}
		if all, err = r.Start(calls, "web-1"); err != nil || all[0].State != child.StateRunning {
			t.Errorf("start: got %+v, %v", all, err)
		}
		var unknown *root.UnknownError
		if _, err := r.Start(calls, "api"); !errors.As(err, &unknown) {
			t.Errorf("got %v, want that it is unknown", err)
		}
		if err := r.WaitReady(calls, "api"); !errors.As(err, &unknown) {
			t.Errorf("got %v, want that it is unknown", err)
		}
		var job *root.JobError
		if _, err := r.Start(calls, "nightly"); !errors.As(err, &job) {
			t.Errorf("got %v, want that it is a job", err)
		}
		late, stop := context.WithTimeout(calls, time.Second)
		defer stop()
		if _, err := r.Wait(late, func([]child.Status) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that it took too long", err)
		}
		if _, err := r.Run(); !errors.Is(err, root.ErrRun) {
			t.Errorf("a second Run: got %v", err)
		}
		cancel(errors.New("enough"))
		if got := <-done; got.code != 3 || got.err != nil {
			t.Errorf("got %+v, want the exit code of bad", got)
		}
		if _, err := r.List(calls); !errors.Is(err, root.ErrEnded) {
			t.Errorf("after the end: got %v", err)
		}
		fake.Check(t)
	})
}
