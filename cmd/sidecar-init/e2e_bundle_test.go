//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// TestOutput is the whole output of a bundle of one daemon.
func TestOutput(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{place: p, bundle: services(daemon("web",
			`print one; eprint two; openstdout three; print "cr\r"; print; print "\x00\xff\t"; printn last; exit 3`))})
		s.exit(3)
		want := []string{
			"sidecar-init: starting web", "[web] one", "[web] two", "[web] three", "[web] cr\r", "[web] ", "[web] \x00\xff\t", "[web] last",
			exited("web", "3"), "sidecar-init: record: code 3 from web; first failure: web, code 3", "sidecar-init: exit 3",
		}
		if !slices.Equal(s.log(), want) {
			t.Errorf("got\n%q\nwant\n%q", s.log(), want)
		}
		if s.stderr.String() != "" {
			t.Errorf("stderr: %q", s.stderr.String())
		}
	})
}

// TestLinesStayWhole: however fast daemons write, no line is torn, lost or out of order.
func TestLinesStayWhole(t *testing.T) {
	t.Parallel()
	sizes := []int{80, 81, 500, 4096, 40000}
	var daemons []string
	for _, size := range sizes {
		daemons = append(daemons, daemon(fmt.Sprint("d", size), fmt.Sprintf("lines %d %d", 2_000_000/size, size)))
	}
	s := start(t, call{bundle: services(daemons...)})
	s.exit(0)
	for _, size := range sizes {
		prefix := fmt.Sprintf("[d%d] ", size)
		n, part := 0, ""
		for _, line := range s.log() {
			text, ok := strings.CutPrefix(line, prefix)
			if !ok {
				continue
			}
			if len(line)+1 > 16<<10 {
				t.Fatalf("a line of %s has %d bytes", prefix, len(line)+1)
			}
			part += text
			if len(part) < size {
				continue // a longer line comes in parts
			}
			if part != testproc.Line(n, size) {
				t.Fatalf("line %d of %s: got %.30q…", n, prefix, part)
			}
			n, part = n+1, ""
		}
		if want := 2_000_000 / size; n != want || part != "" {
			t.Errorf("%s: got %d lines and %d bytes, want %d lines", prefix, n, len(part), want)
		}
	}
}

// TestExitCodes is what the deaths of daemons count.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	const lives = "print ready; block" // until SIGTERM
	for _, tt := range []struct {
		name   string
		bundle string
		args   []string
		lines  []string         // to wait for
		signal []syscall.Signal // after that
		code   int
		end    []string // other lines
		like   string   // another one
	}{
		{
			name: "all is well", bundle: services(daemon("a", lives), daemon("b", "trap TERM exit 0; "+lives)),
			lines: []string{"[a] ready", "[b] ready"}, signal: []syscall.Signal{syscall.SIGTERM},
			end: []string{
				"sidecar-init: shutting down (SIGTERM); forwarding SIGTERM",
				"sidecar-init: a exited with code -15 (SIGTERM)", "sidecar-init: b exited with code 0",
			},
		},
		{
			name: "a crash before the end", bundle: services(daemon("a", "exit 3"), daemon("b", lives)), code: 3,
			lines: []string{exited("a", "3"), "[b] ready"}, signal: []syscall.Signal{syscall.SIGTERM},
			end: []string{"sidecar-init: b exited with code -15 (SIGTERM)"},
		},
		{
			name: "the largest", bundle: services(daemon("a", "exit 3"), daemon("b", "exit 7"), daemon("c", "exit 0")), code: 7,
			end: []string{exited("a", "3"), exited("b", "7"), exited("c", "0")},
		},
		{
			name: "that of one", bundle: services(daemon("a", "exit 3"), daemon("b", "exit 7")),
			args: []string{"--exit-code-from", "a"}, code: 3,
		},
		{
			name: "a signal of its own", bundle: services(daemon("a", "raise USR1")), code: 128 + 10,
			end: []string{exited("a", "-10 (SIGUSR1)")},
		},
		{
			name: "SIGKILL by somebody", bundle: services(daemon("a", "raise KILL")), code: 128 + 9,
			end: []string{exited("a", "-9 (SIGKILL)")},
		},
		{
			name: "a real-time signal", bundle: services(daemon("a", "raise RTMIN+3")), code: 128 + 37,
			end: []string{exited("a", "-37 (SIGRTMIN+3)")},
		},
		{
			name: "SIGTERM by itself", bundle: services(daemon("a", "raise TERM")), code: 128 + 15,
			end: []string{exited("a", "-15 (SIGTERM)")},
		},
		{
			name: "segmentation fault", bundle: services(daemon("a", "segv")), code: 128 + 11,
			end: []string{exited("a", "-11 (SIGSEGV)")},
		},
		{
			name: "143 as an answer to SIGTERM", bundle: services(daemon("a", "trap TERM exit 143; "+lives)),
			lines: []string{"[a] ready"}, signal: []syscall.Signal{syscall.SIGTERM},
			end: []string{"sidecar-init: a exited with code 143"},
		},
		{
			name: "another answer", bundle: services(daemon("a", "trap TERM exit 9; "+lives)), code: 9,
			lines: []string{"[a] ready"}, signal: []syscall.Signal{syscall.SIGTERM},
			end: []string{"sidecar-init: a exited with code 9"},
		},
		{
			name: "143 unasked for", bundle: services(daemon("a", "exit 143")), code: 143,
		},
		{
			name: "another stop signal", bundle: services(daemon("a", "trap INT exit 130; ignore TERM; "+lives, "stop_signal: SIGINT")),
			lines: []string{"[a] ready"}, signal: []syscall.Signal{syscall.SIGTERM},
			end: []string{"sidecar-init: a exited with code 130"},
		},
		{
			name: "a forwarded signal", bundle: routed("HUP: { forward: a }", daemon("a", lives)), code: 128 + 1,
			lines: []string{"[a] ready"}, signal: []syscall.Signal{syscall.SIGHUP},
			end: []string{"sidecar-init: forwarded SIGHUP to a", exited("a", "-1 (SIGHUP)")},
		},
		{
			name: "not found", bundle: "services: { a: { command: [/no/such/program] } }", code: 127,
			end: []string{"sidecar-init: a cannot be started: /no/such/program: no such file or directory"},
		},
		{
			name: "not found in PATH", bundle: "services: { a: { command: [no-such-program], environment: [PATH=/no] } }", code: 127,
			end: []string{"sidecar-init: a cannot be started: no-such-program: not found in PATH (/no)"},
		},
		{
			name: "not executable", bundle: "services: { a: { command: [/etc/passwd] } }", code: 126,
			end: []string{"sidecar-init: a cannot be started: /etc/passwd: permission denied"},
		},
		{
			name: "a failed start is not tried again", bundle: "services: { a: { command: [/no], restart: always } }", code: 127,
		},
		{
			name: "not started",
			bundle: services(daemon("a", "exit 0"), daemon("b", "exit 2"),
				daemon("c", lives, "depends_on: { b: { condition: service_completed_successfully } }")), code: 2,
			end: []string{"sidecar-init: starting b"}, like: "sidecar-init: c not started: .*b.*",
		},
		{
			name: "not started counts 1",
			bundle: services(daemon("b", "exit 2"),
				daemon("c", lives, "depends_on: { b: { condition: service_completed_successfully } }")),
			args: []string{"--exit-code-from", "c"}, code: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, call{program: shipped(), bundle: tt.bundle, args: tt.args})
			s.expect(tt.lines...)
			s.signal(tt.signal...)
			s.exit(tt.code)
			s.expect(tt.end...)
			if tt.like != "" {
				s.match(tt.like)
			}
		})
	}
}

// TestRestartPolicies: after a crash the daemon comes back, and the last death is the one that counts.
func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	t.Run("on-failure", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		s := start(t, call{bundle: services(
			daemon("a", "once "+dir+"/1 exit 5; once "+dir+"/2 raise KILL; print ready; block", "restart: on-failure",
				"x-sidecar-init: { backoff: { initial: 10ms } }"),
			daemon("b", "exit 0", "restart: on-failure"))})
		s.match(`sidecar-init: a exited with code 5; restarting in (9|1\d)ms \(attempt 1\)`)
		s.match(`sidecar-init: a exited with code -9 \(SIGKILL\); restarting in (1[89]|2\d)ms \(attempt 2\)`)
		s.expect("[a] ready", exited("b", "0"))
		s.signal(syscall.SIGTERM)
		s.exit(0)
	})
	t.Run("limit", func(t *testing.T) {
		t.Parallel()
		s := start(t, call{
			bundle: services(daemon("a", "exit 5", "x-sidecar-init: { backoff: { initial: 1ms } }")),
			args:   []string{"--restart", "on-failure:2"},
		})
		s.exit(5)
		s.match(`sidecar-init: a exited with code 5; giving up after 2 restarts in \S+`)
		if n := s.count(`sidecar-init: starting a`); n != 3 {
			t.Errorf("%d starts, want 3", n)
		}
	})
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		s := start(t, call{bundle: services(
			daemon("a", "once "+dir+"/1 exit 0; print ready; block", "restart: always", "x-sidecar-init: { backoff: { initial: 1ms } }"))})
		s.match(`sidecar-init: a exited with code 0; restarting in \S+ \(attempt 1\)`)
		s.expect("[a] ready")
		s.signal(syscall.SIGTERM)
		s.exit(0)
	})
	t.Run("shutdown during the delay", func(t *testing.T) {
		t.Parallel()
		s := start(t, call{bundle: services(daemon("a", "exit 5", "restart: always", "x-sidecar-init: { backoff: { initial: 1h, max: 1h } }"))})
		s.match(`sidecar-init: a exited with code 5; restarting in \S+ \(attempt 1\)`)
		s.signal(syscall.SIGTERM)
		s.exit(5)
	})
}

// TestOrder: services start in the order of the file, and wait for what they depend on; at the end that goes backwards.
func TestOrder(t *testing.T) {
	t.Parallel()
	const script = "trap TERM { sleep 20ms; exit 0 }; print ready; block"
	s := start(t, call{bundle: services(
		daemon("c", script, "depends_on: [b]"),
		daemon("a", script),
		daemon("b", script, "depends_on: [a]"),
	)})
	s.expect("[a] ready", "[b] ready", "[c] ready")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	var got []string
	for _, line := range s.log() {
		if strings.HasPrefix(line, "sidecar-init: ") {
			got = append(got, strings.TrimPrefix(line, "sidecar-init: "))
		}
	}
	want := []string{
		"starting a", "starting b", "starting c", "shutting down (SIGTERM); forwarding SIGTERM",
		"c exited with code 0", "b exited with code 0", "a exited with code 0", "exit 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestGrandchildHoldsOutput: a death is noticed by the exit, whoever still has the output.
func TestGrandchildHoldsOutput(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, call{place: p, bundle: services(
			daemon("a", "fork { trap HUP print alive; touch "+dir+"/forked; block }; waitfile "+dir+"/forked; print last; exit 3"),
			daemon("b", "print ready; block"),
		)})
		s.expect("[a] last", exited("a", "3"), "[b] ready")
		s.signal(syscall.SIGTERM)
		s.exit(3)
	})
}

// TestGrandchildFloods: nor does it matter if the other one writes without end, even if it is deaf and has left the session.
func TestGrandchildFloods(t *testing.T) {
	t.Parallel()
	inTime(t, 1300*time.Millisecond, func() (time.Duration, error) {
		dir := openDir(t)
		s := start(t, call{program: shipped(), forget: "[a] ", args: []string{"--grace-period", "1s"}, bundle: services(
			daemon("a", "setsid { ignore TERM; touch "+dir+"/1; flood }; fork { touch "+dir+"/2; flood }; waitfile "+dir+"/1; waitfile "+dir+"/2; exit 3"),
			daemon("b", "closefd 1 2; exit 4"),
			daemon("c", "print ready; block"),
		)})
		s.expect(exited("a", "3"), exited("b", "4"), "[c] ready")
		at := s.signal(syscall.SIGTERM)
		err := s.ends(4)
		return s.at.Sub(at), err
	})
}

// TestLeftSession: who has left the process group of its daemon gets SIGTERM when the daemons are dead, and SIGKILL, and its
// last words are in the log.
func TestLeftSession(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, call{place: p, bundle: services(daemon("a",
			"setsid { trap TERM { print bye; exit 0 }; touch "+dir+"/1; block }; setsid { ignore TERM; touch "+dir+"/2; block };"+
				"waitfile "+dir+"/1; waitfile "+dir+"/2; exit 0"))})
		s.exit(0) // which waits until nobody holds the output
		s.expect("[a] bye")
	})
}

// TestOrphans: none is a zombie for long, and none is taken for a daemon.
func TestOrphans(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{place: p, bundle: services(
			daemon("a", "repeat 10 { orphan 20 1ms }; print done; block"),
			daemon("b", "orphan 10 1ms; exit 4"),
		)})
		s.expect("[a] done", exited("b", "4"))
		daemons := 0
		if !kernel.Own().GroupSignal {
			daemons = 1 // b, if an orphan has outlived it: its number stands for its group until that is dealt with
		}
		eventually(t, "no zombies", func() bool {
			return len(slices.DeleteFunc(s.children(), func(state string) bool { return state != "Z" })) <= daemons
		})
		s.signal(syscall.SIGTERM)
		s.exit(4)
	})
}

// TestStdoutClosed: without a reader the supervisor goes on.
func TestStdoutClosed(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		r, w := pipe(t)
		s := start(t, call{place: p, stdout: w, bundle: routed("USR1: { restart: a }",
			daemon("a", "append "+dir+"/lives x; forever { print x; append "+dir+"/log x; sleep 1ms }"))})
		w.Close()
		size := func(name string) int64 {
			info, err := os.Stat(dir + "/" + name)
			if err != nil {
				return 0
			}
			return info.Size()
		}
		eventually(t, "the daemon writes", func() bool { return size("log") > 0 })
		r.Close()
		before := size("log")
		eventually(t, "the daemon writes on", func() bool { return size("log") > before+100 })
		s.signal(syscall.SIGUSR1)
		eventually(t, "the daemon is restarted", func() bool { return size("lives") == 4 })
		s.signal(syscall.SIGTERM)
		if code := s.wait(); code != 0 {
			t.Errorf("exit code: got %d, want 0", code)
		}
	})
}

// TestStdoutFull: a reader that has stopped holds nothing up.
func TestStdoutFull(t *testing.T) {
	full := func(t *testing.T, w *os.File) {
		eventually(t, "the pipe is full", func() bool {
			ready := []unix.PollFd{{Fd: int32(w.Fd()), Events: unix.POLLOUT}}
			n, _ := unix.Poll(ready, 0)
			return n == 0
		})
	}
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		lives := func() int {
			b, _ := os.ReadFile(dir + "/lives")
			return len(b) / len("x\n")
		}
		bundle := routed("USR1: { restart: b }", daemon("a", "flood"), daemon("b", "ignore TERM; append "+dir+"/lives x; print x; block"))
		inTime(t, 1300*time.Millisecond, func() (time.Duration, error) {
			_, w := pipe(t)
			s := start(t, call{
				place: p, program: shipped(), stdout: w, bundle: bundle,
				args: []string{"--grace-period", "1s", "--restart-grace", "50ms"},
			})
			full(t, w)
			eventually(t, "b runs", func() bool { return lives() > 0 })
			before := lives()
			s.signal(syscall.SIGUSR1)
			eventually(t, "b is restarted", func() bool { return lives() > before })
			at := s.signal(syscall.SIGTERM)
			if code := s.wait(); code != 0 {
				return 0, fmt.Errorf("exit code: got %d, want 0", code)
			}
			return s.at.Sub(at), nil
		})
	})
	t.Run("the reader comes back", func(t *testing.T) {
		t.Parallel()
		r, w := pipe(t)
		s := start(t, call{stdout: w, bundle: services(daemon("a", "flood"))})
		full(t, w)
		s.signal(syscall.SIGTERM)
		w.Close()
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if code := s.wait(); code != 0 {
			t.Errorf("exit code: got %d, want 0", code)
		}
		if want := "\nsidecar-init: exit 0\n"; !strings.HasSuffix(string(out), want) {
			t.Errorf("the output does not end with %q", want)
		}
		if want := "\nsidecar-init: a exited with code -15 (SIGTERM)\n"; !strings.Contains(string(out), want) {
			t.Errorf("the output does not contain %q", want)
		}
	})
}

// TestOverflow: with "overflow: drop" a daemon does not wait for a reader that has stopped, and what is lost is whole lines,
// which are counted.
func TestOverflow(t *testing.T) {
	t.Parallel()
	const n = 50_000
	done := openDir(t) + "/done"
	r, w := pipe(t)
	s := start(t, call{stdout: w, bundle: services(
		daemon("a", fmt.Sprintf("lines %d 100; touch %s; block", n, done), "x-sidecar-init: { overflow: drop }"))})
	w.Close()
	eventually(t, "all is written", func() bool {
		_, err := os.Stat(done)
		return err == nil
	})
	s.signal(syscall.SIGTERM)
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	next, told, dropped := 0, 0, 0 // of those told of, dropped are not yet seen to be missing
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		var i, lost int
		if _, err := fmt.Sscanf(line, "sidecar-init: a: %d lines dropped", &lost); err == nil {
			told += lost
			dropped += lost
			continue
		}
		if _, err := fmt.Sscanf(line, "[a] %d ", &i); err != nil {
			continue
		}
		if line != "[a] "+testproc.Line(i, 100) || i < next {
			t.Fatalf("after line %d: %q", next-1, line)
		}
		dropped -= i - next
		next = i + 1
	}
	if dropped != n-next || told == 0 {
		t.Errorf("the last line is %d of %d; %d are told to be dropped, %d more than are missing before it", next-1, n, told, dropped)
	}
}

// TestKillMode: with "kill_mode: process" the stop signal is for the main process alone; the others get theirs at the end.
func TestKillMode(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := start(t, call{bundle: routed("USR1: { restart: a }", daemon("a", "once "+dir+"/1 { fork { trap TERM { print bye; exit 0 }; trap HUP print alive; touch "+
		dir+"/forked; pid; block }; waitfile "+dir+"/forked }; print ready; block", "x-sidecar-init: { kill_mode: process }"))})
	s.expect("[a] ready")
	s.match(`\[a\] pid \d+`)
	s.signal(syscall.SIGUSR1)
	s.expect("sidecar-init: a exited with code -15 (SIGTERM)", "[a] ready")
	s.never(`\[a\] bye`)
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.expect("[a] bye")
}
