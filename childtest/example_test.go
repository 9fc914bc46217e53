package childtest_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/childtest"
	"github.com/bot-bottle/sidecar-init/root"
)

// A supervisor under test, with fake daemons: what was done to each of them is recorded.
func ExampleFake() {
	fake := &childtest.Fake{Lives: map[string][]childtest.Life{
		"web": {{ExitAfter: time.Millisecond, Exit: child.Exit{Code: 3}}, {}}, // the first life crashes, the others run for ever
	}}
	r, err := root.New(root.Config{Spawner: fake, Specs: []child.Spec{{
		Name: "web", Program: child.Program{Argv: []string{"web"}}, Restart: child.RestartPolicy{Policy: child.RestartAlways}, Backoff: child.Backoff{NoDelay: true},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = r.Wait(ctx, func(all []child.Status) bool { return all[0].Restarts == 1 && all[0].State.Up() })
		cancel()
	}()
	code, err := r.RunContext(ctx)
	fmt.Println(code, err)
	fmt.Println("lives:", fake.Lived("web"))
	// Output:
	// 0 <nil>
	// lives: 2
}

// TestLines: real daemons, whose lines are waited for.
func TestLines(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lines := childtest.NewLines(t)
	r, err := root.New(root.Config{Spawner: lines.Spawner(), Specs: []child.Spec{
		{Name: "web", Program: child.Program{Argv: []string{"/bin/sh", "-c", "echo listening on 80; exec sleep 600"}, Env: os.Environ()}},
		{Name: "worker", Program: child.Program{Argv: []string{"/bin/sh", "-c", "echo up; exec sleep 600"}, Env: os.Environ()}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := r.RunContext(ctx); done <- err }()
	if line, err := lines.Wait(ctx, "web", "^listening on [0-9]+$"); err != nil || line != "listening on 80" {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := lines.Wait(ctx, "worker", "^up$"); err != nil {
		t.Error(err)
	}
	if err := r.WaitReady(ctx); err != nil {
		t.Error(err)
	}
	all, err := r.Restart(ctx, "web")
	if err != nil || len(all) != 1 || all[0].Restarts != 1 {
		t.Errorf("restart: got %+v, %v", all, err)
	}
	short, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	if _, err := lines.Wait(short, "web", "^never$"); err == nil {
		t.Error("a line that nobody writes was found")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
