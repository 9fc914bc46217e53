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

// TestAddRemove: daemons that come and go one by one, among others that do not notice.
func TestAddRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &childtest.Fake{Lives: map[string][]childtest.Life{"slow": {{On: childtest.Reactions{syscall.SIGTERM: {After: 2 * time.Second}}}}}}
		program := child.Program{Argv: []string{"x"}}
		r, err := root.New(root.Config{
			Spawner: fake, ExitCodeFrom: "web", Specs: []child.Spec{{Name: "web", Program: program}, {Name: "slow", Program: program}},
			Routes: map[syscall.Signal]root.Route{syscall.SIGHUP: {Forward: []string{"web"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run()
		}()
		ctx := t.Context()
		closed := 0
		add := func(spec child.Spec) error {
			spec.Program = program
			return r.Add(ctx, root.Daemon{Spec: spec, Close: func() { closed++ }})
		}
		names := func() string {
			all, err := r.List(ctx)
			if err != nil {
				t.Error(err)
			}
			return states(all)
		}
		if err := add(child.Spec{Name: "api", After: after("web", "")}); err != nil {
			t.Error(err)
		}
		if err := r.WaitReady(ctx, "api"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"job-1", "job-2"} {
			if err := add(child.Spec{Name: name, Service: "job"}); err != nil {
				t.Error(err)
			}
		}
		if err := r.WaitReady(ctx); err != nil {
			t.Error(err)
		}
		if got, want := names(), "web=running slow=running api=running job-1=running job-2=running"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}

		var wrong *root.ConfigError
		var unknown *root.UnknownError
		for _, tt := range []struct {
			name string
			err  error
			as   any
		}{
			{"one that is there", add(child.Spec{Name: "web"}), &wrong},
			{"without what it depends on", add(child.Spec{Name: "x", After: after("y", "")}), &wrong},
			{"one on which another depends", r.Remove(ctx, "web"), &wrong},
			{"one that is not there", r.Remove(ctx, "api", "x"), &unknown},
			{"all", r.Remove(ctx, "api", "web", "slow", "job"), &wrong},
		} {
			if !errors.As(tt.err, tt.as) {
				t.Errorf("%s: got %v", tt.name, tt.err)
			}
		}
		if closed != 2 {
			t.Errorf("%d daemons that were refused were closed, want 2", closed)
		}

		began := time.Now()
		if err := r.Remove(ctx, "slow", "job"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Remove returned after %s, want 2s", took)
		}
		if got, want := names(), "web=running api=running"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if closed != 4 {
			t.Errorf("%d daemons were closed, want 4", closed)
		}
		if err := add(child.Spec{Name: "slow"}); err != nil { // one of a name that has left
			t.Error(err)
		}
		if fake.Lived("web") != 1 {
			t.Error("web has noticed")
		}

		// One that is wanted again while it leaves does not keep Remove waiting.
		removed := make(chan error)
		go func() { removed <- r.Remove(ctx, "slow") }()
		synctest.Wait()
		if err := add(child.Spec{Name: "slow"}); err != nil {
			t.Error(err)
		}
		if err := <-removed; err != nil {
			t.Errorf("Remove of one that was added again: got %v", err)
		}
		if err := r.WaitReady(ctx, "slow"); err != nil {
			t.Error(err)
		}
		r.Ref().Tell(root.Signal{Sig: syscall.SIGHUP}) // the routes are as before; web ends by it
		if _, err := r.Wait(ctx, func(all []child.Status) bool { return all[0].State == child.StateExited }); err != nil {
			t.Error(err)
		}
		go func() { removed <- r.Remove(ctx, "slow") }()
		synctest.Wait()
		r.Shutdown("the test is over")
		<-done
		if err := <-removed; err != nil && !errors.Is(err, root.ErrEnded) {
			t.Errorf("Remove during the shutdown: got %v", err)
		}
		if err := add(child.Spec{Name: "late"}); !errors.Is(err, root.ErrEnded) {
			t.Errorf("after the end: got %v, want %v", err, root.ErrEnded)
		}
		fake.Check(t)
	})
}
