package probe

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

func TestExec(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
		program            child.Program
		root               bool
	}{
		{name: "success", script: "print fine; exit 0"},
		{name: "failure", script: "exit 1", want: "it ended with code 1"},
		{name: "the last line", script: "print one; eprint two; print; exit 2", want: "it ended with code 2: two"},
		{name: "a line without end", script: "printn almost; exit 3", want: "it ended with code 3: almost"},
		{name: "not fit for a log", script: `print "a\x1b[31m\tb\xff"; exit 1`, want: "it ended with code 1: a [31m b\uFFFD"},
		{name: "more than a pipe holds", script: "lines 2000 100; eprint the end; exit 1", want: "it ended with code 1: the end"},
		{name: "a signal", script: "raise TERM", want: "it ended with code -15 (SIGTERM)"},
		{name: "a descendant holds the pipe", script: "print y; setsid { sleep 3s }; exit 1", want: "it ended with code 1: y"},
		{name: "environment", script: "env; exit 1", program: child.Program{Env: []string{"A=b"}}, want: "it ended with code 1: A=b"},
		{name: "directory", script: "cwd; exit 1", program: child.Program{Dir: "/"}, want: "it ended with code 1: cwd /"},
		{name: "no program", program: child.Program{Argv: []string{"/no/such"}}, want: "/no/such: no such file or directory"},
		{
			name: "user", script: "uid; exit 1", program: child.Program{User: "65534:65533"}, root: true,
			want: "it ended with code 1: uid 65534 gid 65533 groups",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.root && os.Getuid() != 0 {
				t.Skip("only root can execute a program as another user")
			}
			if tt.program.Argv == nil {
				tt.program.Argv = testproc.Argv(tt.script)
				tt.program.Argv[0] = "/proc/self/exe" // the binary may be where only we can go
			}
			if got := text(Exec(child.Exec{}, "web", tt.program, nil)(t.Context())); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestExecKilled: the program and its descendants are gone when its time is up, though they ignore SIGTERM.
func TestExecKilled(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Both hold the pipe: its end is their end.
	argv := []string{"/bin/sh", "-c", fmt.Sprintf("exec 3>/proc/%d/fd/%d; trap '' TERM; sleep 1000 & echo >&3; wait", os.Getpid(), w.Fd())}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	check := Exec(child.Exec{}, "web", child.Program{Argv: argv}, nil)
	go func() { done <- check(ctx) }()
	b := make([]byte, 1)
	if _, err := r.Read(b); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got, want := text(try(t.Context(), time.Millisecond, check)), "the one before cannot be ended"; got != want {
		t.Errorf("a second check at the same time: got %q, want %q", got, want)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("got nil")
	}
	if _, err := r.Read(b); err != io.EOF {
		t.Errorf("after the end: got %v, want %v", err, io.EOF)
	}
}

// TestExecCancelled: a check of a life that is over executes nothing for long.
func TestExecCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Exec(child.Exec{}, "web", testproc.Spec("web", "block").Program, nil)(ctx)
	if err == nil {
		t.Error("got nil")
	}
}

// TestNothingStays: many checks, of many lives, leave neither descriptors nor goroutines nor zombies.
func TestNothingStays(t *testing.T) {
	check := Exec(child.Exec{}, "web", child.Program{Argv: []string{"/bin/true"}}, nil)
	fail := Exec(child.Exec{}, "web", child.Program{Argv: []string{"/bin/false"}}, nil)
	_, _ = check(t.Context()), fail(t.Context()) // what is made once
	fds, goroutines := countFDs(t), runtime.NumGoroutine()
	told := make(chan child.Fact)
	p := New(Plan{Ready: check, Health: &Health{Check: fail, Interval: 1, Retries: 1}}, func(m child.Fact) { told <- m })
	for gen := uint64(1); gen <= 20; gen++ {
		p.Observe(started(gen))
		if m := <-told; m != (child.Unhealthy{Gen: gen, Reason: "its health check has failed: it ended with code 1"}) {
			t.Errorf("told: got %v", m)
		}
		p.Observe(exited(gen))
	}
	for begin := time.Now(); countFDs(t) > fds || runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d descriptors and %d goroutines, want %d and %d", countFDs(t), runtime.NumGoroutine(), fds, goroutines)
		}
	}
	if _, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("a child is left: %v", err)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
