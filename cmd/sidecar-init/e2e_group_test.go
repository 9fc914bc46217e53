//go:build linux

package main

import (
	"syscall"
	"testing"
)

// TestGroup: a stop and a shutdown are over when nobody of the process group is left, and a death is told when it happens.
func TestGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		const main = "trap TERM { print term; exit 3 }; print ready; block"
		t.Run("what finishes", func(t *testing.T) {
			t.Parallel()
			s := start(t, call{place: p, bundle: services(daemon("a", "fork { trap TERM { sleep 300ms; print finished; exit 0 }; print member; block }; "+main))})
			s.expect("[a] ready", "[a] member")
			s.signal(syscall.SIGTERM)
			s.expect("[a] term", "sidecar-init: a exited with code 3", "[a] finished")
			s.exit(3)
		})
		t.Run("what is deaf", func(t *testing.T) {
			t.Parallel()
			s := start(t, call{
				place: p, args: []string{"--grace-period", "500ms"},
				bundle: services(daemon("a", "fork { ignore TERM; print member; block }; "+main)),
			})
			s.expect("[a] ready", "[a] member")
			s.signal(syscall.SIGTERM)
			s.expect("sidecar-init: a exited with code 3", "sidecar-init: grace (500ms) elapsed; SIGKILL on a")
			s.exit(3)
		})
		t.Run("what is left when all are dead", func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			s := start(t, call{place: p, bundle: services(daemon("a",
				"fork { trap TERM { print bye; exit 0 }; touch "+dir+"/1; block }; fork { ignore TERM; touch "+dir+"/2; block }; "+
					"waitfile "+dir+"/1; waitfile "+dir+"/2; exit 0"))})
			s.expect("sidecar-init: a: processes that it has started still run: does it go into the background?", "[a] bye")
			s.exit(0)
		})
	})
}

// TestBackground: of a daemon that goes into the background is said so, once.
func TestBackground(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		s := start(t, call{place: p, args: []string{"--grace-period", "1s"}, bundle: services(
			daemon("a", "setsid { touch "+dir+"/up; block }; waitfile "+dir+"/up; exit 0", "restart: always",
				"x-sidecar-init: { backoff: { initial: 1ms, max: 1ms } }"),
			daemon("b", "print up; exit 0"), daemon("c", "print ready; block"))})
		s.expect("[b] up", "[c] ready")
		for range 3 {
			s.match(`sidecar-init: a exited with code 0; restarting in .*`)
		}
		s.signal(syscall.SIGTERM)
		s.exit(0)
		const hint = "sidecar-init: .: processes that it has started still run: does it go into the background\\?"
		if n := s.count(hint); n != 1 {
			t.Errorf("%d hints, want 1", n)
		}
		s.never("sidecar-init: b: .*")
	})
}
