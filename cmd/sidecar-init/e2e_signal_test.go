//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// TestShutdown: three signals end the bundle.
func TestShutdown(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, sig := range p.sample(syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT) {
			s := start(t, call{place: p, bundle: services(daemon("a", "trap TERM { print bye; exit 0 }; print ready; block"))})
			s.expect("[a] ready")
			s.signal(sig)
			s.exit(0)
			s.expect(fmt.Sprintf("sidecar-init: shutting down (%s); forwarding SIGTERM", child.SignalName(sig)),
				"[a] bye", "sidecar-init: a exited with code 0")
		}
	})
}

// TestDeadline: what is deaf to SIGTERM gets SIGKILL when the grace is over, and the supervisor is gone soon after.
func TestDeadline(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		deaf := "ignore TERM; print ready; block"
		inTime(t, 1300*time.Millisecond, func() (time.Duration, error) {
			s := start(t, call{place: p, program: shipped(), args: []string{"--grace-period", "1s"}, bundle: services(
				daemon("a", deaf), daemon("b", "setsid { "+deaf+" }; "+deaf), daemon("c", "print ready; block"))})
			s.expect("[a] ready", "[b] ready", "[b] ready", "[c] ready")
			at := s.signal(syscall.SIGTERM)
			s.expect("sidecar-init: c exited with code -15 (SIGTERM)")
			s.signal(syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGTERM) // change nothing
			err := errors.Join(s.ends(0), s.said("sidecar-init: grace (1s) elapsed; SIGKILL on a, b",
				"sidecar-init: a exited with code -9 (SIGKILL)", "sidecar-init: b exited with code -9 (SIGKILL)"))
			if n := s.count("sidecar-init: shutting down .*"); n != 1 {
				t.Errorf("%d lines say that it shuts down, want 1", n)
			}
			if took := s.at.Sub(at); took < time.Second {
				t.Errorf("took %v, want at least 1s", took)
			}
			return s.at.Sub(at), err
		})
	})
	t.Run("default", func(t *testing.T) {
		t.Parallel()
		inTime(t, 8300*time.Millisecond, func() (time.Duration, error) {
			s := start(t, call{program: shipped(), bundle: services(daemon("a", "ignore TERM; print ready; block"))})
			s.expect("[a] ready")
			at := s.signal(syscall.SIGTERM)
			err := errors.Join(s.ends(0), s.said("sidecar-init: grace (8s) elapsed; SIGKILL on a"))
			return s.at.Sub(at), err
		})
	})
}

// TestSecondInterrupt: a SIGINT while a shutdown is under way ends it at once.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	for _, first := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s := start(t, call{bundle: services(daemon("a", "ignore TERM; print ready; block"))})
		s.expect("[a] ready")
		s.signal(first)
		s.match(`sidecar-init: shutting down .*`)
		at := s.signal(syscall.SIGINT)
		s.exit(0)
		s.expect("sidecar-init: a exited with code -9 (SIGKILL)")
		if took := s.at.Sub(at); took > 4*time.Second {
			t.Errorf("%v, then SIGINT: took %v", first, took)
		}
		s.never(".*grace.*")
	}
}

// TestStopped: a daemon that was stopped by SIGSTOP ends at once all the same.
func TestStopped(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{place: p, bundle: services(daemon("a", "trap TERM { print bye; exit 0 }; pid; stop; block"))})
		s.match(`\[a\] pid \d+`)
		eventually(t, "it is stopped", func() bool { return slices.Equal(s.children(), []string{"T"}) })
		at := s.signal(syscall.SIGTERM)
		s.exit(0)
		s.expect("[a] bye")
		if took := s.at.Sub(at); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestForward: a routed signal reaches the main process of its daemon, and no other process.
func TestForward(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, call{place: p, bundle: routed("HUP: { forward: a }",
			daemon("a", "fork { trap HUP print wrong; touch "+dir+"/forked; block }; trap HUP print reloaded; trap USR1 exit 3; waitfile "+
				dir+"/forked; print ready; block"),
			daemon("b", "trap HUP print wrong; print ready; block"))})
		s.expect("[a] ready", "[b] ready")
		for range 3 {
			s.signal(syscall.SIGHUP)
			s.expect("sidecar-init: forwarded SIGHUP to a", "[a] reloaded")
		}
		s.signal(syscall.SIGTERM)
		s.exit(0)
		s.never(".*wrong")
	})
}

// TestForwardBurst: after the last of many signals the daemon has reloaded once more.
func TestForwardBurst(t *testing.T) {
	t.Parallel()
	config := filepath.Join(openDir(t), "config")
	s := start(t, call{bundle: routed("HUP: { forward: a }", daemon("a", "trap HUP show "+config+"; print ready; block"))})
	s.expect("[a] ready")
	for i := range 100 {
		writeFile(t, config, fmt.Sprintf("config %d\n", i))
		s.signal(syscall.SIGHUP)
	}
	s.expect("[a] config 99")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// writeFile replaces a file in one step.
func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestForwardToTheDead: the signal is dropped with a line.
func TestForwardToTheDead(t *testing.T) {
	t.Parallel()
	s := start(t, call{bundle: routed("HUP: { forward: a }, USR1: { forward: b }, USR2: { forward: c }",
		daemon("a", "exit 3"), daemon("b", "raise TERM"), daemon("c", "exit 1", "restart: always", "x-sidecar-init: { backoff: { initial: 1h, max: 1h } }"),
		daemon("d", "print ready; block"))})
	s.expect(exited("a", "3"), exited("b", "-15 (SIGTERM)"), "[d] ready")
	s.match(`sidecar-init: c exited with code 1; restarting in .*`)
	s.signal(syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	s.expect("sidecar-init: SIGHUP for a dropped; daemon already exited (rc=3)",
		"sidecar-init: SIGUSR1 for b dropped; daemon already exited (rc=-15)",
		"sidecar-init: SIGUSR2 for c dropped; daemon already exited (rc=1)")
	s.signal(syscall.SIGTERM)
	s.exit(128 + 15)
}

// TestRestart: a routed signal restarts a daemon in place; the others do not notice.
func TestRestart(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{place: p, bundle: routed("USR1: { restart: a }",
			daemon("a", "trap TERM { print bye; exit 0 }; pid; block"), daemon("b", "trap TERM { print bye; exit 0 }; print ready; block"))})
		s.expect("[b] ready")
		first := s.match(`\[a\] pid (\d+)`)[0]
		for range 2 {
			s.signal(syscall.SIGUSR1)
			s.expect("sidecar-init: restarting a", "[a] bye", "sidecar-init: a exited with code 0")
			said := s.match(`sidecar-init: a restarted \(pid (\d+)\)`)[0]
			next := s.match(`\[a\] pid (\d+)`)[0]
			if next == first || next != said {
				t.Errorf("pid: was %s, is %s, the log says %s", first, next, said)
			}
			first = next
		}
		s.never(`\[b\] bye`)
		s.signal(syscall.SIGTERM)
		s.exit(0)
	})
}

// TestRestartBurst: of many signals at once, restarts come that are not doubled, and one of them after the last signal.
func TestRestartBurst(t *testing.T) {
	t.Parallel()
	config := filepath.Join(openDir(t), "config")
	writeFile(t, config, "config -1\n")
	s := start(t, call{bundle: routed("USR1: { restart: a }", daemon("a", "trap TERM { sleep 300ms; exit 0 }; show "+config+"; block"))})
	s.expect("[a] config -1")
	for i := range 100 {
		writeFile(t, config, fmt.Sprintf("config %d\n", i))
		s.signal(syscall.SIGUSR1)
	}
	s.expect("[a] config 99")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	if n := s.count(`\[a\] config .*`); n > 4 {
		t.Errorf("%d lives, want at most 4", n)
	}
}

// TestRestartOfTheStubborn, of the dead, and of nobody.
func TestRestartOfTheStubborn(t *testing.T) {
	t.Parallel()
	t.Run("stubborn", func(t *testing.T) {
		t.Parallel()
		s := start(t, call{
			args:   []string{"--restart-grace", "200ms", "--grace-period", "1s"},
			bundle: routed("USR1: { restart: a }", daemon("a", "ignore TERM; print ready; block")),
		})
		s.expect("[a] ready")
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: restarting a", "sidecar-init: a did not exit within 200ms of SIGTERM; SIGKILL",
			"sidecar-init: a exited with code -9 (SIGKILL)", "[a] ready")
		s.match(`sidecar-init: a restarted \(pid \d+\)`)
		s.signal(syscall.SIGINT, syscall.SIGINT)
		s.wait()
	})
	t.Run("stubborn by default", func(t *testing.T) {
		t.Parallel()
		s := start(t, call{bundle: routed("USR1: { restart: a }", daemon("a", "ignore TERM; print ready; block"))})
		s.expect("[a] ready")
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: a did not exit within 5s of SIGTERM; SIGKILL", "[a] ready")
		s.signal(syscall.SIGINT)
		s.match("sidecar-init: shutting down .*")
		s.signal(syscall.SIGINT)
		s.exit(0)
	})
	t.Run("dead", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		s := start(t, call{bundle: routed("USR1: { restart: a }",
			daemon("a", "once "+dir+"/1 exit 3; print ready; block"), daemon("b", "print ready; block"))})
		s.expect(exited("a", "3"), "[b] ready")
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: restarting a", "[a] ready")
		s.match(`sidecar-init: a restarted \(pid \d+\)`)
		s.signal(syscall.SIGTERM)
		s.exit(0) // the last death counts
	})
	t.Run("in its delay", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		s := start(t, call{bundle: routed("USR1: { restart: a }",
			daemon("a", "once "+dir+"/1 exit 3; print ready; block", "restart: always", "x-sidecar-init: { backoff: { initial: 1h, max: 1h } }"))})
		s.match("sidecar-init: a exited with code 3; restarting in .*")
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: restarting a", "[a] ready")
		s.signal(syscall.SIGTERM)
		s.exit(0)
	})
	t.Run("during the shutdown", func(t *testing.T) {
		t.Parallel()
		s := start(t, call{bundle: routed("USR1: { restart: a }", daemon("a", "trap TERM { sleep 500ms; exit 0 }; print ready; block"))})
		s.expect("[a] ready")
		s.signal(syscall.SIGTERM)
		s.match("sidecar-init: shutting down .*")
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: restart a skipped; supervisor is shutting down")
		s.exit(0)
		s.never("sidecar-init: restarting a")
	})
	t.Run("shutdown during the restart", func(t *testing.T) {
		t.Parallel()
		s := start(t, call{bundle: routed("USR1: { restart: a }", daemon("a", "trap TERM { print term; sleep 300ms; exit 0 }; print ready; block"))})
		s.expect("[a] ready")
		s.signal(syscall.SIGUSR1)
		s.expect("[a] term")
		s.signal(syscall.SIGTERM)
		s.exit(0)
		if n := s.count(`\[a\] ready`); n != 1 {
			t.Errorf("%d lives, want 1", n)
		}
	})
	t.Run("its group goes first", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		s := start(t, call{args: []string{"--restart-grace", "300ms"}, bundle: routed("USR1: { restart: a }",
			daemon("a", "once "+dir+"/1 { fork { ignore TERM; append "+dir+"/log x; touch "+dir+"/forked; forever { append "+dir+"/log x; sleep 1ms } } };"+
				"waitfile "+dir+"/forked; print ready; block"))})
		s.expect("[a] ready")
		s.signal(syscall.SIGUSR1)
		s.expect("sidecar-init: a exited with code -15 (SIGTERM)", "sidecar-init: a did not exit within 300ms of SIGTERM; SIGKILL", "[a] ready")
		before, err := os.ReadFile(dir + "/log")
		if err != nil {
			t.Fatal(err)
		}
		s.signal(syscall.SIGUSR1) // takes longer than the other would need to write
		s.expect("[a] ready")
		if after, err := os.ReadFile(dir + "/log"); len(after) != len(before) {
			t.Errorf("a process of the last life goes on (%v)", err)
		}
		s.signal(syscall.SIGTERM)
		s.exit(0)
	})
}

// TestOtherSignals: each is ignored with one line, or without one; none ends the supervisor. Those that could hurt it are
// dropped by the kernel.
func TestOtherSignals(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		s := start(t, call{place: p, bundle: services(daemon("a", "print ready; block"))})
		s.expect("[a] ready")
		silent, loud := []string{}, 0
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			switch sig {
			case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL, syscall.SIGSTOP:
			case 32, 33, 34:
				// They belong to libc, and Go does not let a program catch them; but PID 1 is protected from them.
				if p.name != subreaper.name {
					s.signal(sig)
				}
			case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGPIPE, syscall.SIGPROF, syscall.SIGXFSZ, syscall.SIGTTOU:
				s.signal(sig)
				silent = append(silent, child.SignalName(sig))
			default:
				isFault := slices.Contains([]syscall.Signal{syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSTKFLT, syscall.SIGSYS}, sig)
				if sig > 34 || isFault && p.name != subreaper.name {
					s.signal(sig)
					silent = append(silent, child.SignalName(sig))
					continue
				}
				s.signal(sig)
				s.match("sidecar-init: " + regexp.QuoteMeta(child.SignalName(sig)) + " ignored.*")
				loud++
			}
		}
		s.signal(syscall.SIGTERM)
		s.exit(0)
		for _, name := range silent {
			s.never(".*" + name + "\\b.*")
		}
		if n := s.count("sidecar-init: .* ignored.*"); n != loud {
			t.Errorf("%d lines say that a signal is ignored, want %d", n, loud)
		}
	})
}

// TestShutdownAnyTime sends SIGTERM at random moments of a life of starts, crashes and restarts. It always wins.
func TestShutdownAnyTime(t *testing.T) {
	t.Parallel()
	bundle := "x-sidecar-init: { signals: { USR1: { restart: a }, HUP: { forward: b } } }\n" + services(
		daemon("a", "trap TERM { sleep 10ms; exit 0 }; print up; block"),
		daemon("b", "trap HUP print reloaded; print up; block", "depends_on: [a]"),
		daemon("c", "exit 0", "restart: always", "x-sidecar-init: { backoff: { initial: 1ms } }"),
		daemon("d", "fork { fork { sleep 5ms }; exit 1 }; sleep 3ms; raise KILL", "restart: on-failure", "x-sidecar-init: { backoff: { initial: 5ms, max: 10ms } }"),
		daemon("e", "block", "depends_on: { f: { condition: service_completed_successfully } }"),
		daemon("f", "sleep 20ms; exit 0"),
	)
	started := regexp.MustCompile(`^sidecar-init: starting (\w+)$`)
	for i := range 18 {
		p := []place{asRoot, asNobody, subreaper}[i%3]
		t.Run(fmt.Sprint(i, " ", p.name), func(t *testing.T) {
			t.Parallel()
			p.require(t)
			c, early := call{place: p, bundle: bundle}, i%5 == 0
			if early {
				c.program = shipped() // with the race detector that is cgo: see settle in package setup
			}
			s := start(t, c)
			rest := time.Duration(rand.Int64N(int64(150 * time.Millisecond)))
			if early {
				// As early as its signals are its own: before that the kernel drops SIGTERM to PID 1.
				eventually(t, "it catches SIGTERM", s.catches)
				rest = time.Duration(rand.Int64N(int64(5 * time.Millisecond)))
			} else {
				s.expect("sidecar-init: starting a")
			}
			for ; rest > 10*time.Millisecond; rest -= 10 * time.Millisecond {
				time.Sleep(10 * time.Millisecond) // the moment is what is tested
				s.signal([]syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP}[rand.IntN(2)])
			}
			time.Sleep(rest)
			at := s.signal(syscall.SIGTERM)
			code := s.wait()
			if took := s.at.Sub(at); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
			if early && code != 0 && s.last() == "" {
				return // ended by the Go runtime, before main began
			}
			down := s.find("that it shuts down", func(l string) bool {
				return l == "sidecar-init: shutting down (SIGTERM); forwarding SIGTERM"
			})
			// A start that was under way then may be told of after it, but not a second one of that daemon.
			starts := map[string]int{}
			for _, line := range s.log()[down:] {
				if m := started.FindStringSubmatch(line); m != nil {
					starts[m[1]]++
				}
			}
			for name, n := range starts {
				if n > 1 {
					t.Errorf("after the shutdown %d starts of %s", n, name)
				}
			}
			for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
				lives := s.count("sidecar-init: (starting " + name + "|" + name + ` restarted \(pid \d+\))`)
				if deaths := s.count("sidecar-init: " + name + " exited with code .*"); deaths != lives {
					t.Errorf("%s: %d lives and %d deaths", name, lives, deaths)
				}
			}
			if want := fmt.Sprintf("sidecar-init: exit %d", code); s.last() != want {
				t.Errorf("last line: got %q, want %q", s.last(), want)
			}
		})
	}
}
