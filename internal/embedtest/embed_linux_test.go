// Package embedtest tests what a program can rely on that runs a bundle besides its own work.
package embedtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

func TestMain(m *testing.M) {
	testproc.Main()
	testproc.Unignore()
	os.Exit(m.Run())
}

// A bundle runs beside a test.
type bundle struct {
	t    *testing.T
	root *root.Root
	code chan int
}

func start(t *testing.T, specs ...child.Spec) *bundle {
	t.Helper()
	r, err := root.New(root.Config{Specs: specs, Grace: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t, r, make(chan int, 1)}
	go func() {
		code, err := r.Run()
		if err != nil {
			t.Errorf("Run: got %v, want nil", err)
		}
		b.code <- code
	}()
	return b
}

// await waits until all daemons are as they should be.
func (b *bundle) await(ok func(child.Status) bool) []child.Status {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	all, err := actor.Ask(ctx, b.root.Ref(), func(r actor.Reply[[]child.Status]) root.Msg {
		return root.Await{
			Until: func(all []child.Status) bool {
				return ctx.Err() != nil || !slices.ContainsFunc(all, func(s child.Status) bool { return !ok(s) })
			},
			Reply: r,
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func running(s child.Status) bool { return s.State == child.StateRunning }

func (b *bundle) stop() int {
	_ = b.root.Ref().Tell(root.Shutdown{Reason: "the test is over"})
	return <-b.code
}

// crash is a daemon that dies again and again, with a code that the host must not see.
func crash(name string) child.Spec {
	return child.Spec{
		Name: name, Program: child.Program{Argv: []string{"/bin/sh", "-c", "exit 3"}},
		Restart: child.RestartPolicy{Policy: child.RestartAlways}, Backoff: child.Backoff{Initial: 5 * time.Millisecond, Fixed: true},
	}
}

// TestCommandsOfTheHost: the host's own children are its own. Nobody takes their exit codes, however many daemons die
// meanwhile, and the host takes none of theirs.
func TestCommandsOfTheHost(t *testing.T) {
	b := start(t, crash("a"), crash("b"), *testproc.Spec("c", "block"))
	var hosts sync.WaitGroup
	for host := range 4 {
		hosts.Go(func() {
			for n := range 25 {
				want := 10 + host
				err := exec.Command("/bin/sh", "-c", fmt.Sprintf("exit %d", want)).Run()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != want {
					t.Errorf("command %d: got %v, want exit code %d", n, err, want)
				}
			}
		})
	}
	hosts.Wait()
	for _, s := range b.await(func(s child.Status) bool { return s.Name == "c" || s.Starts > 10 }) {
		if s.Name != "c" && (s.Last == nil || s.Last.Code != 3 || s.Last.Err != nil) {
			t.Errorf("%s: got %v, want code 3", s.Name, s.Last)
		}
	}
	if code := b.stop(); code != 0 && code != 3 { // a and b may have been dead at that time
		t.Errorf("exit code: got %d, want 0 or 3", code)
	}
}

// TestSignalsOfTheHost: no disposition changes, a signal reaches the host's handlers alone, and the bundle does nothing
// about it.
func TestSignalsOfTheHost(t *testing.T) {
	before := status(t, "SigIgn", "SigCgt", "SigBlk")
	b := start(t, *testproc.Spec("a", "block"), crash("b"))
	b.await(func(s child.Status) bool { return s.Name == "b" && s.Starts > 1 || running(s) })
	if got := status(t, "SigIgn", "SigCgt", "SigBlk"); got != before {
		t.Errorf("with a bundle: got %s, want %s", got, before)
	}
	if signal.Ignored(syscall.SIGHUP) {
		t.Error("SIGHUP is ignored")
	}

	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP, syscall.SIGTERM)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != sig {
			t.Errorf("got %v, want %v", got, sig)
		}
	}
	signal.Stop(heard)
	b.await(func(s child.Status) bool { return s.Name == "b" || running(s) })
	b.stop()
	if got := status(t, "SigIgn", "SigCgt", "SigBlk"); got != before {
		t.Errorf("after it: got %s, want %s", got, before)
	}
}

// TestTwoBundles: there is nothing that two of them would share.
func TestTwoBundles(t *testing.T) {
	one, two := start(t, *testproc.Spec("a", "trap TERM exit 4; block")), start(t, *testproc.Spec("a", "block"))
	one.await(running)
	two.await(running)
	if code := two.stop(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	one.await(running)
	_ = one.stop() // it may have been asked before it had its trap
}

// TestNothingIsLeft: goroutines, descriptors and children are as before.
func TestNothingIsLeft(t *testing.T) {
	run := func() {
		pre := child.Step{Name: "a", Program: testproc.Spec("a", "exit 0").Program}
		a := *testproc.Spec("a", "block")
		a.PreStart = []child.Step{pre}
		b := start(t, a, *testproc.Spec("b", "fork block; block"), *testproc.Spec("c", "exit 0"), child.Spec{Name: "d", Program: child.Program{Argv: []string{"/does/not/exist"}}}, crash("e"))
		b.await(func(s child.Status) bool {
			return running(s) || s.State == child.StateExited || s.Name == "e" && s.Starts > 3
		})
		b.stop()
	}
	run() // the first time, the runtime and its poller take what they keep
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for range 5 {
		run()
	}
	if got := descriptors(t); !slices.Equal(got, fds) {
		t.Errorf("descriptors: got %q, want %q", got, fds)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(deadline) { // the last acts of goroutines that have been told
			stacks := make([]byte, 1<<20)
			t.Fatalf("got %d goroutines, want %d\n%s", runtime.NumGoroutine(), goroutines, stacks[:runtime.Stack(stacks, true)])
		}
	}
	var none unix.WaitStatus
	if pid, err := unix.Wait4(-1, &none, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
		t.Errorf("wait4: got %d, %v, want that there are no children", pid, err)
	}
}

// TestGroupsAreNotLeft: when a bundle has ended, by itself too, nobody is left of the process groups of its daemons, though
// nobody reaps orphans here.
func TestGroupsAreNotLeft(t *testing.T) {
	for try := 1; ; try++ {
		late := groupsAreNotLeft(t)
		if late == nil {
			return
		}
		if t.Logf("%v: the machine starves", late); try == 4 {
			t.Fatal("each time")
		}
	}
}

// groupsAreNotLeft returns the error of a bundle whose daemon has not ended within 150 ms of SIGKILL.
func groupsAreNotLeft(t *testing.T) (late error) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := func(*child.Spec) (child.Output, error) { return child.Output{Stdout: w, Stderr: w}, nil }
	dir := t.TempDir()
	script := func(dir string) string {
		return "fork { ignore TERM; touch " + dir + "/1; block }; fork { trap TERM { print bye; exit 0 }; touch " + dir + "/2; block }; " +
			"waitfile " + dir + "/1; waitfile " + dir + "/2; exit 3"
	}
	bundle, err := root.New(root.Config{Specs: []child.Spec{*testproc.Spec("a", script(dir))}, Spawner: child.Exec{Output: out}})
	if err != nil {
		t.Fatal(err)
	}
	code, err := bundle.Run()
	if err != nil && strings.Contains(err.Error(), "outlived SIGKILL") {
		late = err
	} else if code != 3 || err != nil {
		t.Errorf("Run: got %d, %v, want 3, nil", code, err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	if text, err := io.ReadAll(r); string(text) != "bye\n" || err != nil { // to the end: nobody holds it
		t.Errorf("got %q, %v, want bye", text, err)
	}
	return late
}

// status returns lines of the status file of the thread that calls.
func status(t *testing.T, names ...string) string {
	t.Helper()
	// Any other thread may just be starting a thread or a process, with every signal blocked.
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains(names, name) {
			found = append(found, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(found, "; ")
}

// descriptors are the open ones, with what they are.
func descriptors(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, name := range names {
		if target, err := os.Readlink(name); err == nil { // that of the listing itself is gone
			open = append(open, filepath.Base(name)+" "+target)
		}
	}
	slices.Sort(open)
	return open
}
