package child

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// events are what the machine has emitted.
func events(m *machine) []Event {
	var all []Event
	for _, o := range m.out {
		if o.kind == doEmit {
			all = append(all, o.event)
		}
	}
	return all
}

// armed is what the timer was last armed with; 0 if it was disarmed since.
func armed(m *machine) time.Duration {
	var d time.Duration
	for _, o := range m.out {
		switch o.kind {
		case doArm:
			d = o.delay
		case doDisarm:
			d = 0
		}
	}
	return d
}

// signals are those that the machine has sent.
func signals(m *machine) []syscall.Signal {
	var all []syscall.Signal
	for _, o := range m.out {
		if o.kind == doSignal {
			all = append(all, o.sig)
		}
	}
	return all
}

// TestPolicy is what follows each end under each policy.
func TestPolicy(t *testing.T) {
	const dead, again = "exited", "backoff"
	die := func(e Exit) []happening {
		return []happening{onExecuted, {"death", func(m *machine) { m.exited(m.gen, e, false, false) }}}
	}
	sick := func(e Exit) []happening {
		return []happening{onExecuted, onUnhealthy, {"death", func(m *machine) { m.exited(m.gen, e, false, false) }}}
	}
	fail := func(err error) []happening {
		return []happening{{"failure", func(m *machine) { m.failed(m.gen, err) }}}
	}
	for _, tt := range []struct {
		cause                  string
		path                   []happening
		no, onFailure, always  string // the state that follows
		kind                   Kind
		exit                   string
		result, resultIfStayed int // the latter with the policy no, where that is another
	}{
		{cause: "exit 0", path: die(Exit{}), no: dead, onFailure: dead, always: again, kind: EventExited, exit: "code 0"},
		{cause: "exit 1", path: die(Exit{Code: 1}), no: dead, onFailure: again, always: again, kind: EventExited, exit: "code 1", result: 1},
		{
			cause: "exit 143 by itself", path: die(Exit{Code: 143}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code 143", result: 143,
		},
		{
			cause: "SIGSEGV", path: die(Exit{Signal: syscall.SIGSEGV}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code -11 (SIGSEGV)", result: 139,
		},
		{
			cause: "SIGTERM from elsewhere", path: die(Exit{Signal: syscall.SIGTERM}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code -15 (SIGTERM)", result: 143,
		},
		{
			cause: "status unknown", path: die(Exit{Code: 255, Err: errors.New("no child")}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code 255", result: 255,
		},
		{
			cause: "not found", path: fail(&StartError{Reason: "web: not found", Code: 127}), no: dead, onFailure: dead, always: dead,
			kind: EventFailed, exit: "code 127", result: 127,
		},
		{
			cause: "not executable", path: fail(fmt.Errorf("web: %w", &StartError{Reason: "permission denied", Code: 126})),
			no: dead, onFailure: dead, always: dead, kind: EventFailed, exit: "code 126", result: 126,
		},
		{
			cause: "no error of ours", path: fail(errors.New("oops")), no: dead, onFailure: dead, always: dead,
			kind: EventFailed, exit: "code 126", result: 126,
		},
		{
			cause: "no memory", path: fail(&StartError{Reason: "out of memory", Code: 126, Transient: true}),
			no: dead, onFailure: again, always: again, kind: EventFailed, exit: "code 126", result: 126,
		},
		{
			cause: "unhealthy, then exit 0", path: sick(Exit{}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code 0",
		},
		{
			cause: "unhealthy, then exit 1", path: sick(Exit{Code: 1}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code 1", result: 1,
		},
		{ // with the policy no nobody has sent the signal
			cause: "unhealthy, then SIGTERM", path: sick(Exit{Signal: syscall.SIGTERM}), no: dead, onFailure: again, always: again,
			kind: EventExited, exit: "code -15 (SIGTERM)", result: 0, resultIfStayed: 143,
		},
	} {
		for policy, want := range map[Policy]string{
			"": tt.no, RestartNo: tt.no, RestartOnFailure: tt.onFailure, RestartAlways: tt.always, RestartUnlessStopped: tt.always,
		} {
			t.Run(fmt.Sprintf("%s/%s", tt.cause, policy), func(t *testing.T) {
				path := append([]happening{onStart}, tt.path[:len(tt.path)-1]...)
				m := newTestMachine(&Spec{Name: "web", Restart: RestartPolicy{Policy: policy}}, path...)
				tt.path[len(tt.path)-1].do(m)
				if string(m.state) != want {
					t.Errorf("state: got %s, want %s", m.state, want)
				}
				all := events(m)
				if len(all) != 1 {
					t.Fatalf("got events %v, want one", all)
				}
				e := all[0]
				if e.Kind != tt.kind || e.Exit.String() != tt.exit || e.Daemon != "web" || e.Requested || e.Restart || e.Gen != 1 {
					t.Errorf("got event %+v, want %s of %q", e, tt.kind, tt.exit)
				}
				if tt.kind == EventFailed && (e.Reason == "" || e.Exit.Err == nil || m.reason != e.Reason) {
					t.Errorf("got event %+v and reason %q, want both to say why", e, m.reason)
				}
				next, delay, attempt := NextNothing, time.Duration(0), 0
				if want == again {
					next, delay, attempt = NextRestart, 500*time.Millisecond, 1
				}
				if e.Next != next || e.Delay != delay || e.Attempt != attempt || armed(m) != delay {
					t.Errorf("got next %q, attempt %d, delay %v, armed %v; want %q, %d, %v",
						e.Next, e.Attempt, e.Delay, armed(m), next, attempt, delay)
				}
				result := tt.result
				if tt.resultIfStayed != 0 && (policy == RestartNo || policy == "") {
					result = tt.resultIfStayed
				}
				if s := m.status(); s.Result != result || s.Last == nil || s.Last.String() != tt.exit || s.PID != 0 {
					t.Errorf("got status %+v, want result %d, last %q, no pid", s, result, tt.exit)
				}
			})
		}
	}
}

// TestResult is what an end counts for the exit code of the bundle.
func TestResult(t *testing.T) {
	stopped := []happening{onStart, onExecuted, onTerminate}
	killed := []happening{onStart, onExecuted, onTerminate, onTimeout}
	quit := func(path ...happening) []happening { return append([]happening{onStart, onExecuted}, path...) }
	code := func(n int) Exit { return Exit{Code: n} }
	sig := func(s syscall.Signal) Exit { return Exit{Signal: s} }
	for _, tt := range []struct {
		name string
		spec Spec
		path []happening
		exit Exit
		want int
	}{
		{name: "by itself, 0", path: quit(), exit: code(0), want: 0},
		{name: "by itself, 3", path: quit(), exit: code(3), want: 3},
		{name: "by itself, SIGTERM", path: quit(), exit: sig(syscall.SIGTERM), want: 143},
		{name: "by itself, SIGKILL", path: quit(), exit: sig(syscall.SIGKILL), want: 137},
		{name: "by a forwarded signal", path: quit(onHup), exit: sig(syscall.SIGHUP), want: 129},
		{
			name: "by a forwarded stop signal", path: quit(happening{"", func(m *machine) { _ = m.forward(syscall.SIGTERM, false) }}),
			exit: sig(syscall.SIGTERM), want: 143,
		},
		{name: "stopped, 0", path: stopped, exit: code(0), want: 0},
		{name: "stopped, 3", path: stopped, exit: code(3), want: 3},
		{name: "stopped, SIGTERM", path: stopped, exit: sig(syscall.SIGTERM), want: 0},
		{name: "stopped, 143", path: stopped, exit: code(143), want: 0},
		{name: "stopped, SIGSEGV", path: stopped, exit: sig(syscall.SIGSEGV), want: 139},
		{name: "stopped, but killed by somebody else", path: stopped, exit: sig(syscall.SIGKILL), want: 137},
		{name: "killed", path: killed, exit: sig(syscall.SIGKILL), want: 0},
		{name: "killed, 137", path: killed, exit: code(137), want: 0},
		{name: "killed, but SIGTERM was quicker", path: killed, exit: sig(syscall.SIGTERM), want: 0},
		{name: "killed, but 3 was quicker", path: killed, exit: code(3), want: 3},
		{name: "killed at the deadline", path: quit(onTerminateF, onKill), exit: sig(syscall.SIGKILL), want: 0},
		{name: "killed without having been stopped", path: quit(onKill), exit: sig(syscall.SIGKILL), want: 0},
		{name: "stop signal QUIT, SIGQUIT", spec: Spec{StopSignal: syscall.SIGQUIT}, path: stopped, exit: sig(syscall.SIGQUIT), want: 0},
		{name: "stop signal QUIT, 131", spec: Spec{StopSignal: syscall.SIGQUIT}, path: stopped, exit: code(131), want: 0},
		{name: "stop signal QUIT, SIGTERM", spec: Spec{StopSignal: syscall.SIGQUIT}, path: stopped, exit: sig(syscall.SIGTERM), want: 143},
		{name: "stop signal KILL", spec: Spec{StopSignal: syscall.SIGKILL}, path: stopped, exit: sig(syscall.SIGKILL), want: 0},
		{name: "said that it ends, SIGTERM", path: quit(onLeave), exit: sig(syscall.SIGTERM), want: 143},
		{name: "said that it ends, killed", path: quit(onLeave, onTimeout), exit: sig(syscall.SIGKILL), want: 0},
		{name: "said that it ends, killed by somebody else", path: quit(onLeave), exit: sig(syscall.SIGKILL), want: 137},
		{name: "restart", path: quit(onRestart), exit: sig(syscall.SIGTERM), want: 0},
		{name: "after a shutdown began, by itself", path: quit(onRetire), exit: code(4), want: 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&tt.spec, tt.path...)
			m.exited(m.gen, tt.exit, false, false)
			if got := m.status().Result; got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name string
		path []happening
		want int
	}{
		{"never started", nil, 0},
		{"stopped before it was started", []happening{onTerminate}, 0},
		{"skipped", []happening{onSkip}, 1},
		{"failed to start", []happening{onStart, onNotFound}, 127},
		{"failed to start while it was stopped", []happening{onStart, onTerminateF, onNotFound}, 127},
		{"crashed, then lives", []happening{onStart, onExecuted, onExit1, onStart, onExecuted}, 1},
		{"crashed, then was stopped", []happening{onStart, onExecuted, onExit1, onStart, onExecuted, onTerminate, onExitTerm}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := newTestMachine(&Spec{}, tt.path...).status().Result; got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, tt := range []struct {
		name    string
		backoff Backoff
		roll    float64
		want    []time.Duration // of the first, second … restart in a row
	}{
		{name: "default", want: []time.Duration{500 * ms, s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}},
		{name: "least", roll: -1, want: []time.Duration{450 * ms, 900 * ms, 1800 * ms, 3600 * ms, 7200 * ms, 14400 * ms, 27 * s, 27 * s}},
		{name: "most", roll: 1, want: []time.Duration{550 * ms, 1100 * ms, 2200 * ms, 4400 * ms, 8800 * ms, 17600 * ms, 33 * s, 33 * s}},
		{name: "own", backoff: Backoff{Initial: s, Max: 5 * s}, want: []time.Duration{s, 2 * s, 4 * s, 5 * s, 5 * s}},
		{name: "only the first", backoff: Backoff{Initial: 20 * s}, want: []time.Duration{20 * s, 30 * s, 30 * s}},
		{name: "first above the default maximum", backoff: Backoff{Initial: time.Minute}, want: []time.Duration{time.Minute, time.Minute}},
		{name: "first above the maximum", backoff: Backoff{Initial: 9 * s, Max: s}, want: []time.Duration{9 * s, 9 * s}},
		{name: "fixed", backoff: Backoff{Initial: 3 * s, Fixed: true}, roll: 1, want: []time.Duration{3 * s, 3 * s, 3 * s}},
		{name: "fixed, default", backoff: Backoff{Fixed: true}, roll: 1, want: []time.Duration{500 * ms, 500 * ms}},
		{name: "no delay", backoff: Backoff{NoDelay: true}, roll: 1, want: []time.Duration{0, 0, 0}},
		{name: "no delay, fixed", backoff: Backoff{NoDelay: true, Fixed: true, Max: s}, want: []time.Duration{0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&Spec{Restart: RestartPolicy{Policy: RestartAlways}, Backoff: tt.backoff}, onStart)
			for i, want := range tt.want {
				m.spawned(m.gen, 1)
				m.out, m.roll = nil, tt.roll
				m.exited(m.gen, Exit{Code: 1}, false, false)
				e := events(m)[0]
				if e.Delay != want || e.Attempt != i+1 {
					t.Errorf("got delay %v of attempt %d, want %v of %d", e.Delay, e.Attempt, want, i+1)
				}
				if s := m.status(); s.Failures != i+1 || s.Restarts != i {
					t.Errorf("got %d failures and %d restarts, want %d and %d", s.Failures, s.Restarts, i+1, i)
				}
				m.timeout()
			}
		})
	}
	if got := (Backoff{}).delay(math.MaxInt, 0); got != 30*s {
		t.Errorf("after very many restarts: got %v, want %v", got, 30*s)
	}
}

// TestBackoffReset: a life that was long enough puts the delay back to the start, and so does a start by hand.
func TestBackoffReset(t *testing.T) {
	live := func(d time.Duration) happening {
		return happening{d.String(), func(m *machine) { m.now = m.now.Add(d - time.Second); onExit1.do(m) }}
	}
	crashes := []happening{onStart, onExecuted, onExit1, onTimeout, onExecuted, onExit1, onTimeout, onExecuted}
	for _, tt := range []struct {
		name    string
		backoff Backoff
		path    []happening
		want    int
	}{
		{name: "59.999s", path: []happening{live(time.Minute - time.Millisecond)}, want: 3},
		{name: "60s", path: []happening{live(time.Minute)}, want: 1},
		{name: "an hour", path: []happening{live(time.Hour)}, want: 1},
		{name: "own, too short", backoff: Backoff{ResetAfter: 3 * time.Second}, path: []happening{live(2 * time.Second)}, want: 3},
		{name: "own, long enough", backoff: Backoff{ResetAfter: 3 * time.Second}, path: []happening{live(3 * time.Second)}, want: 1},
		{name: "start by hand", path: []happening{onExit1, onStart, onExecuted, onExit1}, want: 1},
		{name: "restart by hand", path: []happening{onExit1, onRestart, onExecuted, onExit1}, want: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := slices.Concat(crashes, tt.path)
			m := newTestMachine(&Spec{Restart: RestartPolicy{Policy: RestartAlways}, Backoff: tt.backoff}, path...)
			if got := m.status().Failures; got != tt.want || m.state != StateBackoff {
				t.Errorf("got %d failures in state %s, want %d", got, m.state, tt.want)
			}
		})
	}
}

// TestLimits: when a daemon is given up, after how many restarts, and what the event says of them. It lives for a second
// each time, and its delay is a second, too.
func TestLimits(t *testing.T) {
	const s = time.Second
	second := Backoff{Initial: s, Fixed: true}
	for _, tt := range []struct {
		name     string
		spec     Spec
		lives    int // until it is given up; 0: never, in 50 lives
		restarts int // as the event has them
		window   time.Duration
	}{
		{name: "no limit", spec: Spec{Restart: RestartPolicy{Policy: RestartAlways}}},
		{name: "on-failure:1", spec: Spec{Restart: RestartPolicy{RestartOnFailure, 1}}, lives: 2, restarts: 1, window: 2 * s},
		{name: "on-failure:3", spec: Spec{Restart: RestartPolicy{RestartOnFailure, 3}}, lives: 4, restarts: 3, window: 6 * s},
		{name: "on-failure:3, reset", spec: Spec{Restart: RestartPolicy{RestartOnFailure, 3}, Backoff: Backoff{Initial: s, Fixed: true, ResetAfter: s}}},
		{name: "limit 2 in 10s", spec: Spec{Restart: RestartPolicy{Policy: RestartAlways}, Limit: Limit{2, 10 * s}}, lives: 3, restarts: 2, window: 4 * s},
		{name: "limit 2 in 4s", spec: Spec{Restart: RestartPolicy{Policy: RestartAlways}, Limit: Limit{2, 4 * s}}, lives: 3, restarts: 2, window: 4 * s},
		{name: "limit 2 in 3s, which is never reached", spec: Spec{Restart: RestartPolicy{Policy: RestartAlways}, Limit: Limit{2, 3 * s}}},
		{
			name: "limit 2 in 4s, whatever is reset", lives: 3, restarts: 2, window: 4 * s,
			spec: Spec{Restart: RestartPolicy{Policy: RestartAlways}, Limit: Limit{2, 4 * s}, Backoff: Backoff{Initial: s, Fixed: true, ResetAfter: s}},
		},
		{
			name: "both, the limit first", lives: 3, restarts: 2, window: 4 * s,
			spec: Spec{Restart: RestartPolicy{RestartOnFailure, 5}, Limit: Limit{2, 10 * s}},
		},
		{
			name: "both, the row first", lives: 3, restarts: 2, window: 4 * s,
			spec: Spec{Restart: RestartPolicy{RestartOnFailure, 2}, Limit: Limit{9, time.Hour}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.spec.Backoff == (Backoff{}) {
				tt.spec.Backoff = second
			}
			m := newTestMachine(&tt.spec, onStart)
			gaveUp, restarts, window := 0, 0, time.Duration(0)
			for life := 1; life <= 50 && m.state != StateGaveUp; life++ {
				m.out = nil
				m.spawned(m.gen, 1)
				m.now = m.now.Add(s)
				m.exited(m.gen, Exit{Code: 1}, false, false)
				for _, e := range events(m) {
					if e.Next == NextGiveUp {
						gaveUp, restarts, window = life, e.Attempt, e.Window
					}
				}
				m.now = m.now.Add(s)
				m.timeout()
			}
			if gaveUp != tt.lives || restarts != tt.restarts || window != tt.window {
				t.Errorf("given up after %d lives, %d restarts in %v; want %d, %d, %v", gaveUp, restarts, window, tt.lives, tt.restarts, tt.window)
			}
			if gaveUp == 0 {
				return
			}
			if s := m.status(); s.Result != 1 || s.State != StateGaveUp || armed(m) != 0 {
				t.Errorf("got status %+v, want gave-up with result 1, and no timer", s)
			}
			// A command makes it forget, whichever of the two it is.
			for _, again := range []happening{onStart, onRestart} {
				again.do(m)
				m.spawned(m.gen, 1)
				m.exited(m.gen, Exit{Code: 1}, false, false)
				if m.state != StateBackoff || m.failures != 1 {
					t.Errorf("after %s: got state %s with %d failures, want backoff with 1", again.name, m.state, m.failures)
				}
				m.state = StateGaveUp
			}
		})
	}
}

// TestForward is what happens to a signal for the daemon: after it, the daemon has got it, or is started, at least once; or
// the log says why not.
func TestForward(t *testing.T) {
	const toBeStarted, stopping, notStarted = "it is about to be started", "it is being stopped", "it was not started"
	for _, tt := range []struct {
		name      string
		readiness bool
		policy    Policy
		path      []happening
		want      string      // forwarded, pending, or why it is dropped; "" for the line with the exit code
		later     []happening // if it is pending: what happens next
		wantLater string
	}{
		{name: "waiting", path: nil, want: toBeStarted},
		{name: "waiting, with readiness", readiness: true, want: "pending", later: []happening{onStart, onExecuted, onReady}, wantLater: "forwarded"},
		{name: "waiting, skipped", readiness: true, want: "pending", later: []happening{onSkip}, wantLater: ""},
		{name: "waiting, stopped", readiness: true, want: "pending", later: []happening{onTerminate}, wantLater: notStarted},
		{name: "starting", path: []happening{onStart}, want: "pending", later: []happening{onExecuted}, wantLater: "forwarded"},
		{name: "starting, fails", path: []happening{onStart}, want: "pending", later: []happening{onNotFound}, wantLater: ""},
		{name: "starting, wanted down", path: []happening{onStart, onTerminate}, want: "pending", later: []happening{onExecuted, onExit0}, wantLater: ""},
		{
			name: "starting, to be restarted", path: []happening{onStart, onRestart}, want: "pending",
			later: []happening{onExecuted, onExit0, onExecuted}, wantLater: "forwarded",
		},
		{name: "running", path: []happening{onStart, onExecuted}, want: "forwarded"},
		{
			name: "not ready", readiness: true, path: []happening{onStart, onExecuted}, want: "pending",
			later: []happening{onReady}, wantLater: "forwarded",
		},
		{
			name: "not ready, dies", readiness: true, path: []happening{onStart, onExecuted}, want: "pending",
			later: []happening{onExit1}, wantLater: "",
		},
		{
			name: "not ready, restarted", readiness: true, path: []happening{onStart, onExecuted}, want: "pending",
			later: []happening{onRestart, onExitTerm, onExecuted, onReady}, wantLater: "forwarded",
		},
		{name: "ready", readiness: true, path: []happening{onStart, onExecuted, onReady}, want: "forwarded"},
		{name: "unhealthy", readiness: true, path: []happening{onStart, onExecuted, onReady, onUnhealthy}, want: "forwarded"},
		{
			name: "unhealthy before it was ready", readiness: true, path: []happening{onStart, onExecuted, onUnhealthy}, want: "pending",
			later: []happening{onReady}, wantLater: "forwarded",
		},
		{name: "unhealthy, without readiness", path: []happening{onStart, onExecuted, onUnhealthy}, want: "forwarded"},
		{name: "stopping", path: []happening{onStart, onExecuted, onTerminate}, want: stopping},
		{name: "stopping for a restart", path: []happening{onStart, onExecuted, onRestart}, want: toBeStarted},
		{name: "stopping, unhealthy", policy: RestartAlways, path: []happening{onStart, onExecuted, onUnhealthy}, want: stopping},
		{name: "backoff", policy: RestartAlways, path: []happening{onStart, onExecuted, onExit1}, want: ""},
		{name: "exited", path: []happening{onStart, onExecuted, onExit1}, want: ""},
		{name: "skipped", path: []happening{onSkip}, want: ""},
		{name: "stopped", path: []happening{onStart, onExecuted, onTerminate, onExitTerm}, want: ""},
		{name: "stopped before it was started", path: []happening{onTerminate}, want: notStarted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&Spec{Readiness: tt.readiness, Restart: RestartPolicy{Policy: tt.policy}}, tt.path...)
			onHup.do(m)
			if tt.want != "pending" {
				checkForwarded(t, m, tt.want)
				return
			}
			if len(m.out) != 0 {
				t.Errorf("got %v, want nothing yet", m.out)
			}
			onHup.do(m) // coalesces with the first
			for _, h := range tt.later {
				m.out = slices.DeleteFunc(m.out, func(e effect) bool { return e.sig != syscall.SIGHUP && e.event.Signal != syscall.SIGHUP })
				h.do(m)
			}
			checkForwarded(t, m, tt.wantLater)
			if len(m.pending) != 0 {
				t.Errorf("got %v pending, want none", m.pending)
			}
		})
	}
}

// checkForwarded looks for the one thing that happened to SIGHUP.
func checkForwarded(t *testing.T, m *machine, want string) {
	t.Helper()
	var got []string
	for _, e := range events(m) {
		switch {
		case e.Signal != syscall.SIGHUP:
		case e.Kind == EventForwarded && e.PID != 0 && e.PID == m.pid:
			got = append(got, "forwarded")
		case e.Kind == EventDropped && e.Reason == "" && e.Exit != *m.last:
			got = append(got, "dropped with the wrong exit")
		case e.Kind == EventDropped:
			got = append(got, e.Reason)
		}
	}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q once", got, want)
	}
	sent := slices.Contains(signals(m), syscall.SIGHUP)
	if sent != (want == "forwarded") {
		t.Errorf("SIGHUP was sent: %v", sent)
	}
}

// TestStatus: the numbers of the status.
func TestStatus(t *testing.T) {
	m := newTestMachine(&Spec{Name: "web", Restart: RestartPolicy{Policy: RestartAlways}},
		onStart, onExecuted, onExit1, onTimeout, onNoMemory, onTimeout, onExecuted)
	got := m.status()
	if got.Name != "web" || got.State != StateRunning || got.PID != 103 || got.Gen != 3 || got.Starts != 2 || got.Restarts != 1 ||
		got.Failures != 2 || !got.Started.Equal(epoch.Add(7*time.Second)) || !got.Since.Equal(got.Started) || got.Reason != "" {
		t.Errorf("got %+v", got)
	}
	if got.Last == nil || got.Last.Code != 126 || got.Result != 126 {
		t.Errorf("got last %v, result %d, want those of the failed start", got.Last, got.Result)
	}
	onUnhealthy.do(m)
	if got := m.status(); got.State != StateStopping || got.Reason != "no answer" {
		t.Errorf("got %+v, want stopping and why", got)
	}
	onExit0.do(m)
	if got := m.status(); got.State != StateBackoff || got.Reason != "no answer" || got.Last.Code != 0 {
		t.Errorf("got %+v, want backoff after exit code 0, and why", got)
	}
	m = newTestMachine(&Spec{}, onStart, onExecuted, onUnhealthy)
	if got := m.status(); got.State != StateUnhealthy || got.Reason != "no answer" {
		t.Errorf("got %+v, want unhealthy and why", got)
	}
}

// TestStop: the signals that stop a daemon, and its graces.
func TestStop(t *testing.T) {
	const s = time.Second
	up := []happening{onStart, onExecuted}
	for _, tt := range []struct {
		name  string
		spec  Spec
		last  happening
		sig   syscall.Signal
		group bool
		grace time.Duration
	}{
		{name: "stop", last: onTerminate, sig: syscall.SIGTERM, group: true, grace: 5 * s},
		{name: "restart", last: onRestart, sig: syscall.SIGTERM, group: true, grace: 5 * s},
		{name: "restart grace", spec: Spec{RestartGrace: 2 * s}, last: onRestart, sig: syscall.SIGTERM, group: true, grace: 2 * s},
		{name: "own grace", spec: Spec{StopGrace: 9 * s, RestartGrace: 2 * s}, last: onRestart, sig: syscall.SIGTERM, group: true, grace: 9 * s},
		{name: "shutdown", spec: Spec{RestartGrace: 2 * s}, last: onTerminateF, sig: syscall.SIGTERM, group: true},
		{name: "shutdown, own grace", spec: Spec{StopGrace: 3 * s}, last: onTerminateF, sig: syscall.SIGTERM, group: true, grace: 3 * s},
		{name: "stop signal", spec: Spec{StopSignal: syscall.SIGINT}, last: onTerminate, sig: syscall.SIGINT, group: true, grace: 5 * s},
		{name: "process", spec: Spec{KillMode: KillProcess}, last: onTerminate, sig: syscall.SIGTERM, grace: 5 * s},
		{name: "group", spec: Spec{KillMode: KillGroup}, last: onTerminate, sig: syscall.SIGTERM, group: true, grace: 5 * s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newTestMachine(&tt.spec, up...)
			tt.last.do(m)
			m.out = slices.DeleteFunc(m.out, func(e effect) bool { return e.kind == doEmit || e.kind == doDisarm })
			var want []string
			for _, e := range []effect{{kind: doSignal, sig: tt.sig, group: tt.group}, {kind: doSignal, sig: syscall.SIGCONT, group: tt.group}} {
				want = append(want, e.String())
			}
			if tt.grace > 0 {
				want = append(want, effect{kind: doArm, delay: tt.grace}.String())
			}
			if got := fmt.Sprint(m.out); got != "["+strings.Join(want, " ")+"]" {
				t.Errorf("got %v, want %v", got, want)
			}
			if tt.grace == 0 {
				return
			}
			m.out = nil
			m.timeout()
			if e := events(m); len(e) != 1 || e[0].Kind != EventKilled || e[0].Signal != tt.sig || e[0].Delay != tt.grace || e[0].PID != m.pid {
				t.Errorf("got %+v, want one that says that %s was not heard for %v", e, tt.sig, tt.grace)
			}
			if kill := (effect{kind: doSignal, sig: syscall.SIGKILL, group: tt.group}); m.out[1].String() != kill.String() {
				t.Errorf("got %v, want %v", m.out[1], kill)
			}
		})
	}
}
