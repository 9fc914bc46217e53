//go:build linux

package child_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/reap"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

func init() { runtime.LockOSThread() } // the orphan reaper is on the main thread

// TestMain reaps orphans, as the supervisor does: where there is no /proc a zombie cannot be told from a process.
func TestMain(m *testing.M) {
	seccomp.Main()
	testproc.Main()
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // Kernels finds out
	code := 0
	done := make(chan struct{})
	go func() {
		code = m.Run()
		close(done)
	}()
	new(reap.Reaper).Run(done)
	os.Exit(code)
}

// A world is one of the two implementations of Spawner, with what a test has to know of its processes.
type world interface {
	spawn() (child.Process, error)
	// ready returns when n processes have said that they are ready to be signalled.
	ready(n int)
	// stopped returns when p has been stopped; a signal that comes before is not held back.
	stopped(p child.Process)
	// left reports whether the grandchild is alive.
	left() bool
}

// TestConformance is what the fake and the real processes have in common: whatever is tested with the former holds for
// the latter.
func TestConformance(t *testing.T) {
	const grandchild = "fork { trap USR1 print alive; pid; print ready; block }; "
	ignore := testproc.Reactions{syscall.SIGTERM: {Ignore: true}}
	for _, tt := range []struct {
		name   string
		life   testproc.Life
		script string
		do     func(t *testing.T, w world, p child.Process)
		want   child.Exit
		left   bool // the grandchild lives on after the end
	}{
		{name: "exit code 0", life: testproc.Life{ExitAfter: testproc.AtOnce}, script: "exit 0"},
		{
			name: "exit code 3", life: testproc.Life{ExitAfter: 1, Exit: child.Exit{Code: 3}}, script: "exit 3",
			want: child.Exit{Code: 3},
		},
		{
			name: "exit code 255", life: testproc.Life{ExitAfter: 1, Exit: child.Exit{Code: 255}}, script: "exit 255",
			want: child.Exit{Code: 255},
		},
		{
			name: "dies by itself", life: testproc.Life{ExitAfter: 1, Exit: child.Exit{Signal: syscall.SIGSEGV}}, script: "segv",
			want: child.Exit{Signal: syscall.SIGSEGV},
		},
		{
			name: "real-time signal", life: testproc.Life{ExitAfter: 1, Exit: child.Exit{Signal: 36}}, script: "raise RTMIN+2",
			want: child.Exit{Signal: 36},
		},
		{
			name: "TERM", script: "print ready; block", do: signals(1, false, syscall.SIGTERM),
			want: child.Exit{Signal: syscall.SIGTERM},
		},
		{
			name: "USR1 kills", script: "print ready; block", do: signals(1, false, syscall.SIGUSR1),
			want: child.Exit{Signal: syscall.SIGUSR1},
		},
		{
			name: "KILL", script: "print ready; block", do: signals(1, true, syscall.SIGKILL),
			want: child.Exit{Signal: syscall.SIGKILL},
		},
		{
			name: "signals that do nothing", script: "print ready; block",
			do:   signals(1, false, 0, syscall.SIGCONT, syscall.SIGWINCH, syscall.SIGURG, syscall.SIGCHLD, syscall.SIGTERM),
			want: child.Exit{Signal: syscall.SIGTERM},
		},
		{
			name: "TERM is ignored, then KILL", life: testproc.Life{On: ignore}, script: "ignore TERM; print ready; block",
			do: signals(1, true, syscall.SIGTERM, syscall.SIGKILL), want: child.Exit{Signal: syscall.SIGKILL},
		},
		{
			name: "TERM is caught", script: "trap TERM exit 9; print ready; block", do: signals(1, true, syscall.SIGTERM),
			life: testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {Exit: child.Exit{Code: 9}}}}, want: child.Exit{Code: 9},
		},
		{
			name: "TERM is caught, and takes time", script: "trap TERM { sleep 20ms; exit 9 }; print ready; block",
			life: testproc.Life{On: testproc.Reactions{syscall.SIGTERM: {After: 20 * time.Millisecond, Exit: child.Exit{Code: 9}}}},
			do:   signals(1, true, syscall.SIGTERM), want: child.Exit{Code: 9},
		},
		{
			name: "stopped, TERM waits for CONT", script: "print ready; block",
			do:   signals(1, true, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGCONT),
			want: child.Exit{Signal: syscall.SIGTERM},
		},
		{
			name: "stopped, KILL does not wait", script: "print ready; block",
			do:   signals(1, true, syscall.SIGSTOP, syscall.SIGTERM, syscall.SIGKILL),
			want: child.Exit{Signal: syscall.SIGKILL},
		},
		{
			name: "a group signal reaches the grandchild", life: testproc.Life{Fork: []testproc.Life{{}}},
			script: grandchild + "print ready; block", do: signals(2, true, syscall.SIGTERM),
			want: child.Exit{Signal: syscall.SIGTERM},
		},
		{
			name: "another does not", life: testproc.Life{Fork: []testproc.Life{{}}},
			script: grandchild + "print ready; block", do: signals(2, false, syscall.SIGTERM),
			want: child.Exit{Signal: syscall.SIGTERM}, left: true,
		},
		{
			name: "Wait waits for no grandchild", script: grandchild + "trap HUP exit 3; print ready; block",
			life: testproc.Life{
				On:   testproc.Reactions{syscall.SIGHUP: {Exit: child.Exit{Code: 3}}},
				Fork: []testproc.Life{{ExitAfter: time.Hour}},
			},
			do: signals(2, false, syscall.SIGHUP), want: child.Exit{Code: 3}, left: true,
		},
		{
			name: "the grandchild ends first", script: "fork { pid; print ready }; print ready; block",
			life: testproc.Life{Fork: []testproc.Life{{ExitAfter: testproc.AtOnce}}}, do: signals(2, false, syscall.SIGTERM),
			want: child.Exit{Signal: syscall.SIGTERM},
		},
	} {
		test := func(t *testing.T, w world) {
			for _, kill := range []bool{true, false} {
				p, err := w.spawn()
				if err != nil {
					t.Fatal(err)
				}
				if p.PID() <= 1 {
					t.Errorf("pid: got %d", p.PID())
				}
				if tt.do != nil {
					tt.do(t, w, p)
				}
				got := p.Wait()
				if got.Code != tt.want.Code || got.Signal != tt.want.Signal || got.Err != nil {
					t.Errorf("exit: got %v (%v), want %v", got, got.Err, tt.want)
				}
				if err := p.Signal(syscall.SIGTERM, false); !errors.Is(err, os.ErrProcessDone) {
					t.Errorf("Signal after the end: got %v, want %v", err, os.ErrProcessDone)
				}
				if got := w.left(); got != tt.left {
					t.Errorf("after Wait the grandchild is alive: got %t, want %t", got, tt.left)
				}
				if got := p.Left(); got != tt.left && (tt.left || !empties(p)) {
					t.Errorf("Left: got %t, want %t", got, tt.left)
				}
				if !kill && tt.left { // leave it alone, and see that
					p.Release(false)
					if !w.left() {
						t.Error("after Release(false) the grandchild is dead")
					}
					continue
				}
				p.Release(kill)
				if w.left() {
					t.Error("after Release(true) the grandchild is alive")
				}
				// What is left of the rule: never nil, for there is nothing to be signalled.
				if err := p.Signal(syscall.SIGTERM, true); err == nil {
					t.Error("Signal to a group that is gone: got nil")
				}
			}
		}
		t.Run("Fake/"+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &fakeWorld{fake: testproc.Fake{Lives: map[string][]testproc.Life{"x": {tt.life}}}}
				test(t, w)
				if tt.left { // one is left alone on purpose
					for _, v := range w.fake.Violations() {
						t.Error(v)
					}
					return
				}
				w.fake.Check(t)
			})
		})
		for _, k := range child.Kernels() {
			t.Run(k.Name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				test(t, &realWorld{t: t, kernel: k, script: tt.script})
			})
		}
	}
}

// empties waits until nobody is left in the group of p: who closes its files is not gone yet.
func empties(p child.Process) bool {
	for begin := time.Now(); time.Since(begin) < 20*time.Second; runtime.Gosched() {
		if !p.Left() {
			return true
		}
	}
	return false
}

// signals sends signals once n processes are ready.
func signals(n int, group bool, sigs ...syscall.Signal) func(*testing.T, world, child.Process) {
	return func(t *testing.T, w world, p child.Process) {
		w.ready(n)
		for _, sig := range sigs {
			if err := p.Signal(sig, group); err != nil {
				t.Errorf("%v: %v", sig, err)
			}
			if sig == syscall.SIGSTOP {
				w.stopped(p)
			}
		}
	}
}

type fakeWorld struct {
	fake  testproc.Fake
	begun int // processes of lives that are over, and were left alive on purpose
}

func (w *fakeWorld) spawn() (child.Process, error) {
	w.begun = w.fake.Alive("x")
	return w.fake.Spawn(&child.Spec{Name: "x"})
}

func (w *fakeWorld) ready(int)             {}
func (w *fakeWorld) stopped(child.Process) {}
func (w *fakeWorld) left() bool            { return w.fake.Alive("x") > w.begun }

// realWorld runs a script, which says "ready", and whose grandchild says "pid N" and, at SIGUSR1, "alive".
type realWorld struct {
	t          *testing.T
	kernel     child.Kernel
	script     string
	out        *bufio.Reader // the end of it means that nobody is left
	grandchild int
}

func (w *realWorld) spawn() (child.Process, error) {
	r, out, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(20 * time.Second))
	w.out = bufio.NewReader(r)
	w.grandchild = 0
	p, err := w.kernel.On(child.Exec{Output: func(*child.Spec) (child.Output, error) {
		return child.Output{Stdout: out, Stderr: out, Started: func() { out.Close() }}, nil
	}}).Spawn(testproc.Spec("x", w.script))
	w.t.Cleanup(func() {
		if w.grandchild != 0 {
			syscall.Kill(w.grandchild, syscall.SIGKILL)
		}
		r.Close()
	})
	return p, err
}

func (w *realWorld) ready(n int) {
	w.t.Helper()
	for n > 0 {
		line, err := w.out.ReadString('\n')
		switch _, scanErr := fmt.Sscanf(line, "pid %d\n", &w.grandchild); {
		case scanErr == nil:
		case line == "ready\n":
			n--
		default:
			w.t.Fatalf("got %q, %v", line, err)
		}
	}
}

func (w *realWorld) stopped(p child.Process) {
	w.t.Helper()
	for begin := time.Now(); time.Since(begin) < 20*time.Second; runtime.Gosched() {
		// All threads: one that is still on its way would take the next signal.
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
		if err != nil || len(threads) == 0 {
			w.t.Fatalf("its threads: %q, %v", threads, err)
		}
		if !slices.ContainsFunc(threads, func(thread string) bool {
			stat, err := os.ReadFile(thread)
			return err == nil && !strings.Contains(string(stat), ") T ")
		}) {
			return
		}
	}
	w.t.Fatal("it does not stop")
}

func (w *realWorld) left() bool {
	w.t.Helper()
	if w.grandchild != 0 {
		_ = syscall.Kill(w.grandchild, syscall.SIGUSR1) // it may be gone
	}
	switch line, err := w.out.ReadString('\n'); {
	case line == "alive\n":
		return true
	case err == io.EOF && line == "":
		return false
	default:
		w.t.Fatalf("got %q, %v, want alive or the end", line, err)
		return false
	}
}

// TestStartErrors is why a program may not be executed.
func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	file := write("file", "#!/bin/sh\n", 0o666)
	noInterpreter := write("script", "#!/no/such/interpreter -x\n", 0o777)
	crlf := write("crlf", "#!/bin/sh\r\necho hello\r\n", 0o777)
	crlfArgument := write("crlf2", "#!/no/such/interpreter\t-x\r\n", 0o777)
	text := write("text", "echo hello\n", 0o777)
	empty := write("empty", "", 0o777)
	write("path/prog", "#!/bin/sh\n", 0o666)
	write("path2/prog2", "#!/bin/sh\n", 0o666)
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	exe := testproc.Argv("exit 0")
	for _, tt := range []struct {
		name string
		spec child.Spec
		code int
		want string
	}{
		{"no command", child.Spec{}, 126, "there is no command"},
		{
			"not in PATH",
			child.Spec{Program: child.Program{Argv: []string{"prog"}, Env: []string{"PATH=/no:" + dir}}},
			127,
			"prog: not found in PATH (/no:" + dir + ")",
		},
		{
			"in PATH, not executable",
			child.Spec{Program: child.Program{Argv: []string{"prog"}, Env: []string{"PATH=" + dir + "/path"}}},
			126,
			dir + "/path/prog: permission denied",
		},
		{
			"in a relative PATH, not executable",
			child.Spec{Program: child.Program{Argv: []string{"prog"}, Dir: dir, Env: []string{"PATH=path"}}},
			126,
			"path/prog: permission denied",
		},
		{
			"not in the default PATH",
			child.Spec{Program: child.Program{Argv: []string{"no-such-program"}}},
			127,
			"no-such-program: not found in PATH (" + child.DefaultPath + ")",
		},
		{
			"a directory in PATH",
			child.Spec{Program: child.Program{Argv: []string{"path"}, Env: []string{"PATH=" + dir}}},
			127,
			"path: not found in PATH (" + dir + ")",
		},
		{"no such file", child.Spec{Program: child.Program{Argv: []string{"/no/such/file"}}}, 127, "/no/such/file: no such file or directory"},
		{"no such file in Dir", child.Spec{Program: child.Program{Argv: []string{"./prog"}, Dir: dir}}, 127, "./prog: no such file or directory"},
		{"below a file", child.Spec{Program: child.Program{Argv: []string{file + "/prog"}}}, 127, file + "/prog: not a directory"},
		{"not executable", child.Spec{Program: child.Program{Argv: []string{file}}}, 126, file + ": permission denied"},
		{"a directory", child.Spec{Program: child.Program{Argv: []string{dir}}}, 126, dir + ": is a directory"},
		{"a loop", child.Spec{Program: child.Program{Argv: []string{dir + "/loop"}}}, 126, dir + "/loop: too many levels of symbolic links"},
		{
			"text",
			child.Spec{Program: child.Program{Argv: []string{text}}},
			126,
			text + ": exec format error (neither a program for this machine nor a script that begins with #!)",
		},
		{
			"an empty file",
			child.Spec{Program: child.Program{Argv: []string{empty}}},
			126,
			empty + ": exec format error (neither a program for this machine nor a script that begins with #!)",
		},
		{
			"no interpreter",
			child.Spec{Program: child.Program{Argv: []string{noInterpreter}}},
			127,
			noInterpreter + ": its interpreter /no/such/interpreter: no such file or directory",
		},
		{
			"a carriage return",
			child.Spec{Program: child.Program{Argv: []string{crlf}}},
			127,
			crlf + ": its first line, #!/bin/sh, ends with a carriage return: save it with the line ends of Unix: no such file or directory",
		},
		{
			"a carriage return behind an argument",
			child.Spec{Program: child.Program{Argv: []string{crlfArgument}}},
			127,
			crlfArgument + ": its interpreter /no/such/interpreter: no such file or directory",
		},
		{
			"arguments too long",
			child.Spec{Program: child.Program{Argv: append(exe[:len(exe):len(exe)], strings.Repeat("x", 1<<20))}},
			126,
			exe[0] + ": argument list too long",
		},
		{
			"an argument with a zero byte",
			child.Spec{Program: child.Program{Argv: append(exe[:len(exe):len(exe)], "a\x00b")}},
			126,
			exe[0] + ": invalid argument",
		},
		{
			"no such working directory",
			child.Spec{Program: child.Program{Argv: exe, Dir: "/no/such/dir"}},
			126,
			"working directory /no/such/dir: no such file or directory",
		},
		{
			"a file as working directory",
			child.Spec{Program: child.Program{Argv: exe, Dir: file}},
			126,
			"working directory " + file + ": not a directory",
		},
		{"unknown user", child.Spec{Program: child.Program{Argv: exe, User: "nosuchuser"}}, 126, `there is no user "nosuchuser" in /etc/passwd`},
		{"unknown group", child.Spec{Program: child.Program{Argv: exe, User: "0:nosuchgroup"}}, 126, `there is no group "nosuchgroup" in /etc/group`},
		{
			"unknown further group",
			child.Spec{Program: child.Program{Argv: exe, Groups: []string{"nosuchgroup"}}},
			126,
			`there is no group "nosuchgroup" in /etc/group`,
		},
		{"negative user", child.Spec{Program: child.Program{Argv: exe, User: "-1"}}, 126, `there is no user "-1" in /etc/passwd`},
	} {
		tt.spec.Name = "x"
		test := func(t *testing.T, s child.Spawner) {
			p, err := s.Spawn(&tt.spec)
			if p != nil {
				t.Errorf("process: got %v, want nil", p)
			}
			got := new(child.StartError)
			if !errors.As(err, &got) {
				t.Fatalf("got %v (%T), want a *StartError", err, err)
			}
			if got.Reason != tt.want || got.Code != tt.code || got.Transient {
				t.Errorf("got %q, code %d, transient %t\nwant %q, code %d", got.Reason, got.Code, got.Transient, tt.want, tt.code)
			}
		}
		t.Run("Fake/"+tt.name, func(t *testing.T) {
			err := &child.StartError{Reason: tt.want, Code: tt.code}
			test(t, &testproc.Fake{Lives: map[string][]testproc.Life{"x": {{StartError: err}}}})
		})
		t.Run("Exec/"+tt.name, func(t *testing.T) { test(t, child.Exec{}) })
	}
}

// TestTransientStartErrors is for what is worth another try: here no more descriptors.
func TestTransientStartErrors(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// Not by syscall.Setrlimit: that would also be the limit of all processes that are started later.
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := child.Exec{}.Spawn(testproc.Spec("x", "exit 0"))
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil); err != nil {
		t.Fatal(err)
	}
	got := new(child.StartError)
	if !errors.As(err, &got) || !got.Transient || !errors.Is(got, syscall.EMFILE) {
		t.Errorf("got %v (%+v), want a transient EMFILE", err, got)
	}
}

// TestSpawnsAreConcurrent holds that one slow start does not delay another.
func TestSpawnsAreConcurrent(t *testing.T) {
	finish := func(t *testing.T, p child.Process, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		p.Wait()
		p.Release(true)
	}
	t.Run("Fake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &testproc.Fake{Lives: map[string][]testproc.Life{
				"slow": {{StartDelay: time.Minute, ExitAfter: 1}},
				"fast": {{ExitAfter: 1}},
			}}
			begin := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				p, err := f.Spawn(&child.Spec{Name: "slow"})
				finish(t, p, err)
			}()
			p, err := f.Spawn(&child.Spec{Name: "fast"})
			if took := time.Since(begin); took != 0 {
				t.Errorf("the fast start took %v", took)
			}
			finish(t, p, err)
			<-done
			f.Check(t)
		})
	})
	t.Run("Exec", func(t *testing.T) {
		release := make(chan struct{})
		e := child.Exec{Output: func(spec *child.Spec) (child.Output, error) {
			if spec.Name == "slow" {
				<-release
			}
			return child.Output{}, nil
		}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p, err := e.Spawn(testproc.Spec("slow", "exit 0"))
			finish(t, p, err)
		}()
		p, err := e.Spawn(testproc.Spec("fast", "exit 0"))
		close(release)
		finish(t, p, err)
		<-done
	})
}
