package setup

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// signalsRole sends itself each signal, and says which arrived.
func signalsRole() {
	taken := Take()
	got := []string{}
	for _, sig := range Signals() {
		must(syscall.Kill(os.Getpid(), sig.(syscall.Signal)))
		if sig != syscall.SIGPIPE {
			got = append(got, fmt.Sprint(sig, <-taken == sig))
		}
	}
	fmt.Println(encode(got))
}

func TestTakeTakesAll(t *testing.T) {
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			var got []string
			p.run(t, nil, "signals", nil, &got)
			var want []string
			for _, sig := range Signals() {
				if sig != syscall.SIGPIPE {
					want = append(want, fmt.Sprint(sig, true))
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// floodRole sends itself a flood of one signal, then others, before anything is received.
func floodRole() {
	taken := Take()
	for range 10_000 {
		must(syscall.Kill(os.Getpid(), syscall.SIGHUP))
	}
	others := map[os.Signal]bool{syscall.SIGTERM: true, syscall.SIGINT: true, syscall.SIGUSR1: true}
	for sig := range others {
		must(syscall.Kill(os.Getpid(), sig.(syscall.Signal)))
	}
	hups := 0
	for len(others) > 0 {
		sig := <-taken
		if sig == syscall.SIGHUP {
			hups++
		}
		delete(others, sig)
	}
	fmt.Println(encode(hups))
}

func TestTakeLosesNothingInAFlood(t *testing.T) {
	var hups int
	plain.run(t, nil, "flood", nil, &hups) // that it ends is what counts
	if hups > 4 {
		t.Errorf("SIGHUP came %d times, although it waited to be received", hups)
	}
}

func TestSignals(t *testing.T) {
	if got := len(Signals()); got != 56 {
		t.Errorf("%d signals, want 56: 64 without KILL, STOP, CHLD, URG, PROF, 32, 33, 34", got)
	}
}

func TestSupervises(t *testing.T) {
	for _, tt := range []struct {
		args string
		want bool
	}{
		{"sidecar-init", true},
		{"/sbin/init", true},
		{"sidecar-init run", true},
		{"sidecar-init run -f x a", true},
		{"sidecar-init run -- cat", true},
		{"sidecar-init --grace-period 1s", true},
		{"sidecar-init -- cat", true},
		{"sidecar-init logs --follow", false},
		{"sidecar-init check -f -", false},
		{"sidecar-init __exec 3", false}, // a shim: what it took would not reach the daemon
		{"/tmp/setup.test -test.timeout=5m", false},
		{"/tmp/setup.test", false},
		{"", false},
	} {
		args := strings.Fields(tt.args)
		if got := supervises(args); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.args, got, tt.want)
		}
	}
	if early := takeEarly([]string{"sidecar-init", "logs"}); early != nil {
		t.Error("took the signals of a call that does not supervise")
	}
}
