package root_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// A program that supervises two daemons of its own: it asks how they are, restarts one, and ends them. Signals are
// messages: whoever wants those of the process takes them with os/signal, and sends them on.
func Example() {
	sleep := []string{"/bin/sh", "-c", "exec sleep 600"}
	bundle, err := root.New(root.Config{
		Specs: []child.Spec{
			{Name: "web", Argv: sleep, Env: os.Environ(), After: []child.Dependency{{Name: "db"}}},
			{Name: "db", Argv: sleep, Env: os.Environ()},
		},
		Routes: map[syscall.Signal]root.Route{syscall.SIGUSR1: {Restart: []string{"web"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, ref := context.Background(), bundle.Ref()

	type result struct {
		code int
		err  error
	}
	done := make(chan result)
	go func() {
		code, err := bundle.Run() // ends when all daemons have
		done <- result{code, err}
	}()

	// Wait until both run.
	await := func(until func(web, db child.Status) bool) {
		_, err := actor.Ask(ctx, ref, func(r actor.Reply[[]child.Status]) root.Msg {
			return root.Await{Until: func(all []child.Status) bool { return until(all[0], all[1]) }, Reply: r}
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	await(func(web, db child.Status) bool { return web.State.Up() && db.State.Up() })

	// Ask for the status.
	list := func() {
		all, err := actor.Ask(ctx, ref, func(r actor.Reply[[]child.Status]) root.Msg { return root.List{Reply: r} })
		if err != nil {
			fmt.Println(err)
		}
		for _, s := range all {
			fmt.Printf("%s is %s, restarts: %d\n", s.Name, s.State, s.Restarts)
		}
	}
	list()

	// Restart one, by the signal that is routed so, and wait for its second life.
	_ = ref.Tell(root.Signal{Sig: syscall.SIGUSR1})
	await(func(web, _ child.Status) bool { return web.Restarts == 1 && web.State.Up() })

	// Restart it by a command. The answer comes at once, and says from when on the status reflects it.
	accepted, err := actor.Ask(ctx, ref, func(r actor.Reply[root.Accepted]) root.Msg {
		return root.Do{Name: "web", Msg: child.Restart{}, Reply: r}
	})
	if err != nil || accepted.Err != nil {
		fmt.Println(err, accepted.Err)
	}
	await(func(web, _ child.Status) bool { return web.Seen >= accepted.Seen["web"] && web.State.Up() })
	list()

	// End the bundle: web, which depends on db, first.
	_ = ref.Tell(root.Shutdown{Reason: "the example is over"})
	end := <-done
	fmt.Printf("exit code %d, error %v\n", end.code, end.err)
	// Output:
	// web is running, restarts: 0
	// db is running, restarts: 0
	// web is running, restarts: 2
	// db is running, restarts: 0
	// exit code 0, error <nil>
}

// The exit code of a bundle tells of its daemons: it is the largest of theirs.
func ExampleRoot_Run() {
	bundle, err := root.New(root.Config{
		Specs: []child.Spec{
			{Name: "a", Argv: []string{"/bin/sh", "-c", "exit 3"}},
			{Name: "b", Argv: []string{"/bin/sh", "-c", "kill -9 $$"}},
			{Name: "c", Argv: []string{"/does/not/exist"}},
		},
		Observe: func(e child.Event) {
			if e.Kind == child.EventFailed {
				fmt.Printf("%s cannot be started: %s\n", e.Daemon, e.Reason)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err := bundle.Run()
	fmt.Println(code, err)
	// Output:
	// c cannot be started: /does/not/exist: no such file or directory
	// 137 <nil>
}

// A pretence is a process that lives for a minute. It and its maker are all that a test needs for a bundle whose time is
// virtual.
type pretence struct{ ended chan child.Exit }

func pretend(*child.Spec) (child.Process, error) {
	p := pretence{make(chan child.Exit, 1)}
	time.AfterFunc(time.Minute, func() { p.end(child.Exit{Code: 1}) })
	return p, nil
}

func (p pretence) end(e child.Exit) {
	select {
	case p.ended <- e:
	default: // it has ended already
	}
}

func (p pretence) PID() int         { return 1234 }
func (p pretence) Wait() child.Exit { return <-p.ended }
func (p pretence) Left() bool       { return false }
func (p pretence) Strays() bool     { return false }
func (p pretence) Release(bool)     {}

func (p pretence) Signal(sig syscall.Signal, _ bool) error {
	if sig == syscall.SIGTERM {
		p.end(child.Exit{Signal: sig})
	}
	return nil
}

type spawnerFunc func(*child.Spec) (child.Process, error)

func (f spawnerFunc) Spawn(s *child.Spec) (child.Process, error) { return f(s) }

// TestWithPretence is an example of how an embedder tests its bundle: a day of crashes takes no time.
func TestWithPretence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		deaths := 0
		bundle, err := root.New(root.Config{
			Specs: []child.Spec{{
				Name: "web", Argv: []string{"/bin/web"},
				Restart: child.RestartPolicy{Policy: child.RestartAlways}, Backoff: child.Backoff{Initial: time.Minute, Fixed: true},
			}},
			Spawner: spawnerFunc(pretend),
			Observe: func(e child.Event) {
				if e.Kind == child.EventExited {
					deaths++
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(24*time.Hour+time.Second, func() { _ = bundle.Ref().Tell(root.Signal{Sig: syscall.SIGTERM}) })
		code, err := bundle.Run()
		if code != 0 || err != nil {
			t.Errorf("Run: got %d, %v, want 0, nil", code, err)
		}
		const want = 24*30 + 1 // a minute up and a minute down, and at the end the one that was asked for
		if deaths != want {
			t.Errorf("got %d deaths in %v, want %d", deaths, time.Since(begin), want)
		}
	})
}
