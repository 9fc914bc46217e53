package root_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// A program that supervises two daemons of its own: it waits until they are ready, asks for their status, restarts one, and ends them.
// Signals are messages: whoever wants those of the process takes them with os/signal, and sends them on.
func Example() {
	sleep := []string{"/bin/sh", "-c", "exec sleep 600"}
	bundle, err := root.New(root.Config{
		Specs: []child.Spec{
			{Name: "web", Program: child.Program{Argv: sleep, Env: os.Environ()}, After: []child.Dependency{{Name: "db"}}},
			{Name: "db", Program: child.Program{Argv: sleep, Env: os.Environ()}},
		},
		Routes: map[syscall.Signal]root.Route{syscall.SIGUSR1: {Restart: []string{"web"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		code, err := bundle.RunContext(ctx) // ends when all daemons have, and stops them when ctx is done
		if err != nil {
			fmt.Println(err)
		}
		ended <- code
	}()
	if err := bundle.WaitReady(ctx); err != nil {
		fmt.Println(err)
	}

	// By the signal that is routed so.
	_ = bundle.Ref().Tell(root.Signal{Sig: syscall.SIGUSR1})
	_, err = bundle.Wait(ctx, func(all []child.Status) bool { return all[0].Restarts == 1 && all[0].State.Up() })
	if err != nil {
		fmt.Println(err)
	}
	// By a call, which returns when its next life has begun.
	if _, err := bundle.Restart(ctx, "web"); err != nil {
		fmt.Println(err)
	}
	all, err := bundle.List(ctx)
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range all {
		fmt.Printf("%s is %s, restarts: %d\n", s.Name, s.State, s.Restarts)
	}

	stop() // web, which depends on db, ends first
	fmt.Println("exit code", <-ended)
	// Output:
	// web is running, restarts: 2
	// db is running, restarts: 0
	// exit code 0
}

// The exit code of a bundle tells of its daemons: it is the largest of theirs.
func ExampleRoot_Run() {
	bundle, err := root.New(root.Config{
		Specs: []child.Spec{
			{Name: "a", Program: child.Program{Argv: []string{"/bin/sh", "-c", "exit 3"}}},
			{Name: "b", Program: child.Program{Argv: []string{"/bin/sh", "-c", "kill -9 $$"}}},
			{Name: "c", Program: child.Program{Argv: []string{"/does/not/exist"}}},
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

// A bundle changes while it runs: a daemon is added, another one gets a new program, and one leaves.
func ExampleRoot_Update() {
	shell := func(name, script string) root.Daemon {
		return root.Daemon{Spec: child.Spec{Name: name, Program: child.Program{Argv: []string{"/bin/sh", "-c", script}}}}
	}
	bundle, err := root.New(root.Config{Daemons: []root.Daemon{shell("web", "exec sleep 600")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		code, _ := bundle.RunContext(ctx)
		ended <- code
	}()

	fmt.Println("added:", bundle.Add(ctx, shell("db", "exec sleep 600")), bundle.WaitReady(ctx, "db"))

	done, err := bundle.Update(ctx, root.Update{Daemons: []root.Daemon{shell("web", "exec sleep 900"), shell("db", "exec sleep 600")}})
	fmt.Println("restarted:", done.Restarted, err, "unchanged:", done.Unchanged)

	fmt.Println("removed:", bundle.Remove(ctx, "db"))
	fmt.Println(bundle.Remove(ctx, "web"))

	stop()
	fmt.Println("exit code", <-ended)
	// Output:
	// added: <nil> <nil>
	// restarted: [web] <nil> unchanged: 1
	// removed: <nil>
	// root: an update that leaves no daemons: to end the bundle, shut it down
	// exit code 0
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
				Name: "web", Program: child.Program{Argv: []string{"/bin/web"}},
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
