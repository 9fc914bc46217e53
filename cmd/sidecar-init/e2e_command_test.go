//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// command is "run FLAGS -- testdaemon SCRIPT".
func command(p place, script string, flags ...string) call {
	return call{place: p, args: append(append([]string{"run"}, flags...), "--", "testdaemon", script)}
}

// TestCommand: run -- CMD is CMD, with somebody who reaps.
func TestCommand(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for i, tt := range []struct {
			script string
			signal syscall.Signal // once it is ready
			code   int
			out    string
		}{
			{script: "fork { block }; setsid { block }; orphan 3; print out; exit 1", code: 1, out: "out\n"},
			{script: "trap TERM { print term; exit 9 }; print ready; block", signal: syscall.SIGTERM, code: 9, out: "ready\nterm\n"},
			{script: "print out; exit 0", out: "out\n"},
			{script: "exit 3", code: 3},
			{script: "raise TERM", code: 128 + 15},
			{script: "raise KILL", code: 128 + 9},
			{script: "segv", code: 128 + 11},
			{script: "trap INT { print int; exit 9 }; print ready; block", signal: syscall.SIGINT, code: 9, out: "ready\nint\n"},
			{script: "trap QUIT exit 9; print ready; block", signal: syscall.SIGQUIT, code: 9, out: "ready\n"},
			{script: "trap USR2 exit 9; print ready; block", signal: syscall.SIGUSR2, code: 9, out: "ready\n"},
			{script: "trap WINCH exit 9; print ready; block", signal: syscall.SIGWINCH, code: 9, out: "ready\n"},
			{script: "trap RTMIN+1 exit 9; print ready; block", signal: 35, code: 9, out: "ready\n"},
			{script: "print ready; block", signal: syscall.SIGTERM, code: 128 + 15, out: "ready\n"},
		} {
			if i >= 2 && p.name != asRoot.name {
				break
			}
			s := start(t, command(p, tt.script))
			if tt.signal != 0 {
				s.expect("ready")
				s.signal(tt.signal)
			}
			if code := s.wait(); code != tt.code {
				t.Errorf("%s: exit code: got %d, want %d", tt.script, code, tt.code)
			}
			if got := s.output(); got != tt.out {
				t.Errorf("%s: output: got %q, want %q", tt.script, got, tt.out)
			}
		}
	})
}

// TestCommandStreams: stdin, stdout and stderr are those of the supervisor itself.
func TestCommandStreams(t *testing.T) {
	t.Parallel()
	in, feed := pipe(t)
	s := start(t, call{args: []string{"run", "--", "testdaemon", "readline; print got; eprint err; cat"}, stdin: in, env: []string{"SIDECAR_INIT_DAEMONS=none", "X=y"}})
	in.Close()
	io.WriteString(feed, "a\nb\nc")
	feed.Close()
	if code := s.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	if got, want := strings.Join(s.log(), "|"), "got|b|c<no newline>"; got != want {
		t.Errorf("stdout: got %q, want %q", got, want)
	}
	eventually(t, "stderr", func() bool { return strings.HasSuffix(s.output(), "\nerr\n") })
}

// TestCommandGrace: CMD has the grace period after SIGTERM, and no other signal limits it.
func TestCommandGrace(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		inTime(t, 1300*time.Millisecond, func() (time.Duration, error) {
			c := command(p, "ignore TERM INT; print ready; block", "--grace-period", "1s")
			c.program = shipped()
			s := start(t, c)
			s.expect("ready")
			s.signal(syscall.SIGINT)
			at := s.signal(syscall.SIGTERM)
			code := s.wait()
			if code != 128+9 {
				return 0, fmt.Errorf("exit code: got %d, want %d", code, 128+9)
			}
			return s.at.Sub(at), nil
		})
	})
}

func TestCommandThatCannotStart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cmd    string
		code   int
		stderr string
	}{
		{"/no/such/program", 127, "sidecar-init: /no/such/program cannot be started: /no/such/program: no such file or directory\n"},
		{"no-such-program", 127, "sidecar-init: no-such-program cannot be started: no-such-program: not found in PATH (" + tools() + ":/usr/bin:/bin)\n"},
		{"/etc/passwd", 126, "sidecar-init: /etc/passwd cannot be started: /etc/passwd: permission denied\n"},
	} {
		s := start(t, call{args: []string{"run", "--", tt.cmd}})
		if code := s.wait(); code != tt.code {
			t.Errorf("%s: exit code: got %d, want %d", tt.cmd, code, tt.code)
		}
		eventually(t, tt.stderr, func() bool { return s.output() == tt.stderr })
	}
}

// TestCommandOrphans: what it leaves behind is reaped at once, and told to end when it has ended.
func TestCommandOrphans(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, command(p, "orphan 50 1ms; setsid { trap TERM { print bye; exit 0 }; touch "+dir+"/1; block }; waitfile "+dir+
			"/1; trap TERM exit 7; print ready; block"))
		s.expect("ready")
		eventually(t, "no zombies", func() bool { return !slices.Contains(s.children(), "Z") })
		s.signal(syscall.SIGTERM)
		if code := s.wait(); code != 7 {
			t.Errorf("exit code: got %d, want 7", code)
		}
		s.expect("bye")
	})
}

// terminal opens a pseudo-terminal: what a user has, and what programs have.
func terminal(t *testing.T) (user, tty *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	t.Cleanup(func() { user.Close() })
	conn, err := user.SyscallConn() // Fd would make it blocking
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var ptyErr error
	if err := conn.Control(func(fd uintptr) {
		if ptyErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ptyErr == nil {
			n, ptyErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || ptyErr != nil {
		t.Fatal(err, ptyErr)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	tty.Chmod(0o666)
	return user, tty
}

// onTerminal makes the terminal that is stdin the controlling one, as docker run -it does.
func onTerminal(cmd *exec.Cmd) {
	cmd.SysProcAttr.Setsid = true
	cmd.SysProcAttr.Setctty = true
	cmd.SysProcAttr.Ctty = 0
	cmd.Stderr = cmd.Stdout
}

// TestTerminal: with a terminal CMD is in the foreground, so that Ctrl-C reaches it, once; and so is its group.
func TestTerminal(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, key := range []struct {
			name, press string
			do          func(user *os.File)
		}{
			{name: "INT", press: "\x03"},
			{name: "QUIT", press: "\x1c"},
			{name: "WINCH"},
		} {
			user, tty := terminal(t)
			c := command(p, "trap "+key.name+" { print signal; exit 5 }; tty; block")
			c.stdin, c.stdout, c.adapt = tty, tty, onTerminal
			s := start(t, c)
			tty.Close()
			user.SetReadDeadline(time.Now().Add(patience))
			lines := bufio.NewReader(user)
			next := func(want string) {
				t.Helper()
				// The terminal echoes what was typed, before the answer.
				if line, err := lines.ReadString('\n'); !strings.HasSuffix(line, want+"\r\n") {
					t.Fatalf("%s: got %q, %v, want %q", key.name, line, err, want)
				}
			}
			next("tty 0 1 2 foreground")
			if key.press != "" {
				io.WriteString(user, key.press)
			} else {
				conn, err := user.SyscallConn()
				if err != nil {
					t.Fatal(err)
				}
				conn.Control(func(fd uintptr) {
					err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 34})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			next("signal")
			if code := s.wait(); code != 5 {
				t.Errorf("%s: exit code: got %d, want 5", key.name, code)
			}
		}
	})
}

// TestTerminalComesBack: the script that has called us can go on reading from its terminal, and write to it.
func TestTerminalComesBack(t *testing.T) {
	t.Parallel()
	for _, cmd := range []string{"testdaemon tty", "/nonexistent"} {
		user, tty := terminal(t)
		script := exec.Command("/bin/sh", "-c", `stty tostop; "$0" run -- `+cmd+`; echo ready; read x; echo got $x`, shipped())
		script.Env = []string{"PATH=" + tools() + ":" + os.Getenv("PATH")}
		script.Stdin, script.Stdout, script.SysProcAttr = tty, tty, &syscall.SysProcAttr{}
		onTerminal(script)
		if err := script.Start(); err != nil {
			t.Fatal(err)
		}
		tty.Close()
		user.SetReadDeadline(time.Now().Add(patience))
		lines := bufio.NewReader(user)
		var got strings.Builder
		for !strings.HasSuffix(got.String(), "got it\r\n") {
			line, err := lines.ReadString('\n')
			got.WriteString(line)
			if err != nil {
				t.Errorf("%s: %v after %q", cmd, err, got.String())
				break
			}
			if line == "ready\r\n" {
				io.WriteString(user, "it\n")
			}
		}
		script.Process.Kill()
		script.Wait()
	}
}

// TestBundleOnTerminal: docker run -t gives the bundle a terminal; Ctrl-C ends it.
func TestBundleOnTerminal(t *testing.T) {
	t.Parallel()
	user, tty := terminal(t)
	s := start(t, call{bundle: services(daemon("a", "tty; trap INT print wrong; trap TERM { print bye; exit 0 }; print ready; block")), stdin: tty, stdout: tty, adapt: onTerminal})
	tty.Close()
	user.SetReadDeadline(time.Now().Add(patience))
	lines := bufio.NewReader(user)
	var got strings.Builder
	for !strings.Contains(got.String(), "sidecar-init: exit") {
		line, err := lines.ReadString('\n')
		got.WriteString(line)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		if line == "[a] ready\r\n" {
			io.WriteString(user, "\x03")
		}
	}
	want := "sidecar-init: starting a\r\n[a] tty\r\n[a] ready\r\nsidecar-init: shutting down (SIGINT); forwarding SIGTERM\r\n" +
		"[a] bye\r\nsidecar-init: a exited with code 0\r\nsidecar-init: exit 0\r\n"
	if text := strings.Replace(got.String(), "^C", "", 1); text != want || text == got.String() { // the terminal's echo comes when it likes
		t.Errorf("got\n%q\nwant, with ^C anywhere,\n%q", got.String(), want)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
}

// TestCommandGroup: with --group signals reach the whole process group, without it CMD alone.
func TestCommandGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, tt := range []struct {
			flags, env []string
			group      bool
		}{{flags: []string{"--group"}, group: true}, {env: []string{"SIDECAR_INIT_GROUP=true"}, group: true}, {}} {
			dir := openDir(t)
			c := command(p, "fork { trap USR1 { print child; touch "+dir+"/2 }; touch "+dir+"/1; block }; trap USR1 { print parent; touch "+dir+"/3 }; trap TERM exit 0; waitfile "+
				dir+"/1; print ready; block", tt.flags...)
			c.env = tt.env
			s := start(t, c)
			s.expect("ready")
			s.signal(syscall.SIGUSR1)
			s.expect("parent")
			if tt.group {
				s.expect("child")
			}
			s.signal(syscall.SIGTERM)
			s.wait()
			if !tt.group {
				s.never("child")
			}
		}
	})
}

// TestCommandStopSignal: SIGTERM is forwarded as another signal; it is SIGTERM all the same that begins the grace period.
func TestCommandStopSignal(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, tt := range []struct{ flags, env []string }{
			{flags: []string{"--stop-signal", "QUIT"}},
			{flags: []string{"--stop-signal=sigquit", "--group"}},
			{env: []string{"SIDECAR_INIT_STOP_SIGNAL=3"}},
			{flags: []string{"--stop-signal", "SIGQUIT"}, env: []string{"SIDECAR_INIT_STOP_SIGNAL=HUP"}},
		} {
			c := command(p, "trap TERM { print wrong }; trap QUIT { print quit; exit 6 }; print ready; block", tt.flags...)
			c.env = tt.env
			s := start(t, c)
			s.expect("ready")
			s.signal(syscall.SIGTERM)
			if code := s.wait(); code != 6 {
				t.Errorf("%v: exit code: got %d, want 6", tt, code)
			}
			s.expect("quit")
			s.never("wrong")
		}
	})
	t.Run("deaf", func(t *testing.T) {
		t.Parallel()
		for _, flags := range [][]string{{"--stop-signal", "USR1"}, {"--stop-signal", "USR1", "--group"}} {
			s := start(t, command(place{}, "ignore TERM USR1; fork { ignore TERM USR1; block }; print ready; block", append(flags, "--grace-period", "300ms")...))
			s.expect("ready")
			s.signal(syscall.SIGTERM)
			if code := s.wait(); code != 128+9 {
				t.Errorf("exit code: got %d, want %d", code, 128+9)
			}
			eventually(t, "the line", func() bool {
				return strings.Contains(s.output(), "sidecar-init: grace (300ms) elapsed; SIGKILL on testdaemon\n")
			})
		}
	})
}
