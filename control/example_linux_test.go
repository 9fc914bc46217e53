package control_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/control"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// A program with a bundle of its own, which the commands of sidecar-init can look at and control.
func Example() {
	dir, err := os.MkdirTemp("", "control-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	events := control.NewEvents("/example")
	bundle, err := root.New(root.Config{
		Specs:   []child.Spec{{Name: "web", Program: child.Program{Argv: []string{"/bin/sh", "-c", "exec sleep 600"}}}},
		Observe: events.Observe,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := control.New(control.Options{Root: bundle, Path: filepath.Join(dir, "socket"), Events: events})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- server.Run() }()
	ended := make(chan int)
	go func() {
		code, _ := bundle.Run()
		ended <- code
	}()

	ctx := context.Background()
	c := client.New(server.Path()) // as sidecar-init --control PATH does
	if _, err := c.Restart(ctx, "web"); err != nil {
		fmt.Println(err)
	}
	all, err := c.Daemons(ctx)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(all[0].Name, all[0].State, all[0].Restarts)

	bundle.Shutdown("the example is over")
	fmt.Println(<-ended)
	server.Close()
	fmt.Println(<-served)
	// Output:
	// web running 1
	// 0
	// <nil>
}

// TestServer: logs and events are to be had, what concerns a bundle file is not, and the socket is gone at the end.
func TestServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events := control.NewEvents("/test")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	logger := log.New(null, log.Options{})
	stream := logger.Stream("web", log.StreamOptions{})
	spawner := child.Exec{Output: child.OutputTo(func(string) child.Stream { return stream })}
	bundle, err := root.New(root.Config{
		Specs:   []child.Spec{{Name: "web", Program: child.Program{Argv: []string{"/bin/sh", "-c", "echo hello; exec sleep 600"}}}},
		Spawner: spawner, Observe: events.Observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	server, err := control.New(control.Options{Root: bundle, Path: path, Events: events, Logs: func(string) *log.Stream { return stream }})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Run() }()
	ended := make(chan int, 1)
	go func() {
		code, _ := bundle.RunContext(ctx)
		ended <- code
	}()
	c := client.New(path)
	if _, err := c.Wait(ctx, client.Ready); err != nil {
		t.Fatal(err)
	}
	for l, err := range c.Logs(ctx, client.LogOptions{Follow: true}, "web") {
		if err != nil || string(l.Raw()) != "hello" {
			t.Errorf("the log: got %q, %v", l.Raw(), err)
		}
		break
	}
	for e, err := range c.Events(ctx, true) {
		if err != nil || e.Source != "/test" {
			t.Errorf("the events: got %+v, %v", e, err)
		}
		break
	}
	if _, err := c.Reload(ctx, client.ReloadOptions{}); err == nil {
		t.Error("a reload without a file: got no error")
	}
	bundle.Shutdown("the test is over")
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	server.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there")
	}
	if _, err := control.New(control.Options{}); err == nil {
		t.Error("without a Root: got no error")
	}
}
