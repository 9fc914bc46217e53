//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/top"
)

// A shown is what a program has sent to a terminal.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *shown) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// TestTop: the screen of a real terminal, which is as before after each way to leave.
func TestTop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		leave func(t *testing.T, user *os.File, cmd *exec.Cmd, s *supervisor)
		code  int
	}{
		{"q", func(_ *testing.T, user *os.File, _ *exec.Cmd, _ *supervisor) { user.WriteString("q") }, 0},
		{"Ctrl-C", func(_ *testing.T, user *os.File, _ *exec.Cmd, _ *supervisor) { user.WriteString("\x03") }, 0},
		{"SIGTERM", func(_ *testing.T, _ *os.File, cmd *exec.Cmd, _ *supervisor) { cmd.Process.Signal(syscall.SIGTERM) }, 0},
		{"SIGHUP", func(_ *testing.T, _ *os.File, cmd *exec.Cmd, _ *supervisor) { cmd.Process.Signal(syscall.SIGHUP) }, 0},
		{"a lost supervisor", func(_ *testing.T, _ *os.File, _ *exec.Cmd, s *supervisor) { s.signal(syscall.SIGTERM) }, exitNoSupervisor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, path := controlled(t, call{place: subreaper, program: shipped(), bundle: services(
				daemon("web", "trap HUP print heard; print 'hello from web'; block"), daemon("worker", "print up; block"))})
			s.expect("[web] hello from web", "[worker] up")
			user, tty := terminal(t)
			if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
				t.Fatal(err)
			}
			before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(shipped(), "top", "--control", path)
			cmd.Env = []string{"TERM=xterm"}
			cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = tty, tty, &syscall.SysProcAttr{}
			onTerminal(cmd)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			var screen shown
			go screen.readFrom(user) // until the terminal is closed
			eventually(t, "the table and the log are shown", func() bool { return screen.has("2 daemons, 2 ready") && screen.has("hello from web") })
			user.WriteString("KHUP\r")
			s.expect("[web] heard")
			eventually(t, "what was done is shown", func() bool { return screen.has("signal web: done") })
			user.WriteString("jr")
			eventually(t, "it is asked", func() bool { return screen.has("restart worker? (y/n)") })
			user.WriteString("y")
			s.match(`sidecar-init: worker restarted \(pid \d+\)`)
			tt.leave(t, user, cmd, s)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code: got %d, want %d", code, tt.code)
			}
			eventually(t, "the screen is given back", func() bool { return screen.has("\x1b[?25h\x1b[?1049l") })
			after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal was %+v, is %+v (%v)", before, after, err)
			}
		})
	}
}

func (s *shown) readFrom(user *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := user.Read(buf)
		_, _ = s.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// TestTopWithout: no terminal, a dumb one, or no supervisor.
func TestTopWithout(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(shipped(), "top").CombinedOutput()
	if err == nil || err.Error() != "exit status 64" || !strings.HasPrefix(string(out), "sidecar-init: top needs a terminal (docker exec -it); without one there is status --watch\n") {
		t.Errorf("got %v, %s", err, out)
	}
	for env, code := range map[string]int{"TERM=dumb": exitUsage, "TERM=xterm": exitNoSupervisor} {
		_, tty := terminal(t)
		cmd := exec.Command(shipped(), "top", "--control", "/nowhere")
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.SysProcAttr = []string{env}, tty, tty, &syscall.SysProcAttr{}
		onTerminal(cmd)
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("%s: exit code %d, want %d", env, got, code)
		}
	}
}

// TestParseKeys: what a terminal sends for keys.
func TestParseKeys(t *testing.T) {
	for in, want := range map[string]string{
		"q": "q", "\x1b[A": string(top.Up), "\x1bOB": string(top.Down), "a\x1b[Bz": "a" + string(top.Down) + "z", "\x1b": "\x1b", "\x1b[3~x": "x", "\x1b[1;5A": string(top.Up), "ä": "ä",
	} {
		if got := string(parseKeys([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
