package log_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/log"
)

// A daemon's process gets the write ends of its pipes, which are then closed here. Once it has ended, exited sees to
// it that its last lines come before whatever is said about its end.
func Example() {
	l := log.New(os.Stdout, log.Options{})
	web := l.Stream("web", log.StreamOptions{})

	l.Printf("starting web")
	cmd := exec.Command("/bin/sh", "-c", "echo listening; printf 'out of memory' >&2; exit 3")
	stdout, stderr, exited, err := web.Open(-1, -1)
	if err != nil {
		l.Printf("%v", err)
		return
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		l.Printf("cannot start web: %v", err)
	}
	stdout.Close()
	stderr.Close()
	err = cmd.Wait()
	exited()
	l.Printf("web ended: %v", err)

	l.Close(time.Now().Add(time.Second))
	// Output:
	// sidecar-init: starting web
	// [web] listening
	// [web] out of memory
	// sidecar-init: web ended: exit status 3
}

func ExampleLog_Drain() {
	l := log.New(os.Stdout, log.Options{})
	stdout, _, _, _ := l.Stream("web", log.StreamOptions{}).Open(-1, -1)
	stdout.WriteString("the last words of a grandchild\n")
	stdout.Close()

	deadline := time.Now().Add(time.Second)
	l.Drain(deadline)
	l.Printf("exit %d", 0) // the last line, whatever was in the pipes
	l.Close(deadline)
	// Output:
	// [web] the last words of a grandchild
	// sidecar-init: exit 0
}

func ExampleStream_Tail() {
	l := log.New(os.Stdout, log.Options{})
	web := l.Stream("web", log.StreamOptions{Quiet: true})
	stdout, _, exited, _ := web.Open(-1, -1)
	stdout.WriteString("one\ntwo\nthree\n")
	stdout.Close()
	exited()
	for _, line := range web.Tail(2) {
		fmt.Printf("%s\n", line.Text)
	}
	// Output:
	// two
	// three
}

func ExampleStream_Follow() {
	l := log.New(os.Stdout, log.Options{})
	web := l.Stream("web", log.StreamOptions{Quiet: true})
	stdout, _, exited, _ := web.Open(-1, -1)
	follower := web.Follow(0)
	go func() {
		stdout.WriteString("one\ntwo\n")
		stdout.Close()
		exited()
		l.Close(time.Now().Add(time.Second))
	}()
	for {
		lines, lost, err := follower.Next(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		if lost > 0 {
			fmt.Printf("%d lines lost\n", lost)
		}
		for _, line := range lines {
			fmt.Printf("%s\n", line.Text)
		}
	}
	// Output:
	// one
	// two
	// EOF
}

// Readiness by log line: the match function is set for this life, and is called until it has found what it waits for.
func ExampleStream_SetMatch() {
	l := log.New(os.Stdout, log.Options{})
	web := l.Stream("web", log.StreamOptions{Quiet: true})
	stdout, _, exited, _ := web.Open(-1, -1)
	ready := make(chan string, 1)
	web.SetMatch(func(line []byte) bool {
		found := strings.Contains(string(line), "listening")
		if found {
			ready <- string(line)
		}
		return found
	})
	stdout.WriteString("loading\nlistening on :80\nlistening on :81\n")
	fmt.Println(<-ready)
	stdout.Close()
	exited()
	// Output:
	// listening on :80
}
