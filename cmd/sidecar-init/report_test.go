package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

func TestFit(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/bin/web: not found", "/bin/web: not found"},
		{"/a\nsidecar-init: exit 0\x1b[2J: not found", "/a sidecar-init: exit 0 [2J: not found"},
		{strings.Repeat("/x", 200), strings.Repeat("/x", 98) + "/…"},
		{"panic: x\n" + strings.Repeat("goroutine", 50), "panic: x\n" + strings.Repeat("goroutine", 50)},
	} {
		if got := fit(tt.in); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func TestMessage(t *testing.T) {
	term := child.Exit{Signal: syscall.SIGTERM}
	oom := child.Exit{Signal: syscall.SIGKILL, OOM: true}
	for _, tt := range []struct {
		name     string
		event    child.Event
		stopping bool
		want     string
	}{
		{name: "start", event: child.Event{Kind: child.EventStarting}, want: "starting web"},
		{name: "started", event: child.Event{Kind: child.EventStarted, PID: 7}, want: ""},
		{
			name: "death, policy no", event: child.Event{Kind: child.EventExited, Exit: child.Exit{Code: 3}},
			want: "web exited with code 3; leaving surviving daemons running (operator-visible via agent-side failure)",
		},
		{
			name: "death by signal", event: child.Event{Kind: child.EventExited, Exit: child.Exit{Signal: syscall.SIGSEGV, Core: true}},
			want: "web exited with code -11 (SIGSEGV); leaving surviving daemons running (operator-visible via agent-side failure)",
		},
		{name: "death, will restart", event: child.Event{
			Kind: child.EventExited, Exit: child.Exit{Code: 1}, Next: child.NextRestart, Delay: 512345678 * time.Nanosecond, Attempt: 1,
		}, want: "web exited with code 1; restarting in 512ms (attempt 1)"},
		{
			name: "the OOM killer, policy no", event: child.Event{Kind: child.EventExited, Exit: oom},
			want: "web exited with code -9 (SIGKILL); leaving surviving daemons running (operator-visible via agent-side failure); the kernel's OOM killer",
		},
		{name: "the OOM killer, will restart", event: child.Event{
			Kind: child.EventExited, Exit: oom, Next: child.NextRestart, Delay: time.Second, Attempt: 2,
		}, want: "web exited with code -9 (SIGKILL); restarting in 1s (attempt 2); the kernel's OOM killer"},
		{
			name: "the OOM killer during shutdown", event: child.Event{Kind: child.EventExited, Exit: oom}, stopping: true,
			want: "web exited with code -9 (SIGKILL); the kernel's OOM killer",
		},
		{name: "long delay", event: child.Event{
			Kind: child.EventExited, Exit: child.Exit{Code: 1}, Next: child.NextRestart, Delay: 28123456789 * time.Nanosecond, Attempt: 9,
		}, want: "web exited with code 1; restarting in 28.12s (attempt 9)"},
		{name: "gave up", event: child.Event{
			Kind: child.EventExited, Exit: child.Exit{Code: 1}, Next: child.NextGiveUp, Attempt: 3, Window: 4 * time.Second,
		}, want: "web exited with code 1; giving up after 3 restarts in 4s"},
		{
			name: "death when stopped", event: child.Event{Kind: child.EventExited, Exit: term, Requested: true},
			want: "web exited with code -15 (SIGTERM)",
		},
		{
			name: "death during shutdown", event: child.Event{Kind: child.EventExited, Exit: child.Exit{Code: 2}}, stopping: true,
			want: "web exited with code 2",
		},
		{
			name: "signal denied", event: child.Event{Kind: child.EventUnsent, Signal: syscall.SIGTERM, Reason: syscall.EPERM.Error()},
			want: "cannot send SIGTERM to web: operation not permitted (it runs as another user: that takes the capability KILL)",
		},
		{
			name: "signal impossible", event: child.Event{Kind: child.EventUnsent, Signal: 64, Reason: "no memory"},
			want: "cannot send SIGRTMIN+30 to web: no memory",
		},
		{
			name: "shutdown", event: child.Event{Kind: root.EventShutdown, Signal: syscall.SIGTERM},
			want: "shutting down (SIGTERM); forwarding SIGTERM",
		},
		{
			name: "shutdown by SIGINT", event: child.Event{Kind: root.EventShutdown, Signal: syscall.SIGINT},
			want: "shutting down (SIGINT); forwarding SIGTERM",
		},
		{
			name: "shutdown for a reason", event: child.Event{Kind: root.EventShutdown, Reason: "web is critical and has ended"},
			want: "shutting down (web is critical and has ended); forwarding SIGTERM",
		},
		{
			name: "deadline", event: child.Event{Kind: root.EventDeadline, Delay: 8 * time.Second, Names: []string{"a", "b"}},
			want: "grace (8s) elapsed; SIGKILL on a, b",
		},
		{
			name: "second SIGINT", event: child.Event{Kind: root.EventKillNow, Signal: syscall.SIGINT, Names: []string{"a", "b"}},
			want: "SIGINT during shutdown; SIGKILL on a, b",
		},
		{name: "forwarded", event: child.Event{Kind: child.EventForwarded, Signal: syscall.SIGHUP}, want: "forwarded SIGHUP to web"},
		{
			name: "dropped", event: child.Event{Kind: child.EventDropped, Signal: syscall.SIGHUP, Exit: term},
			want: "SIGHUP for web dropped; daemon already exited (rc=-15)",
		},
		{
			name: "dropped for a reason", event: child.Event{Kind: child.EventDropped, Signal: syscall.SIGHUP, Reason: "it is being stopped"},
			want: "SIGHUP for web dropped; it is being stopped",
		},
		{name: "restart", event: child.Event{Kind: child.EventRestarting}, want: "restarting web"},
		{name: "restarted", event: child.Event{Kind: child.EventStarted, PID: 7, Restart: true}, want: "web restarted (pid 7)"},
		{
			name: "stubborn", event: child.Event{Kind: child.EventKilled, Signal: syscall.SIGTERM, Delay: 5 * time.Second},
			want: "web did not exit within 5s of SIGTERM; SIGKILL",
		},
		{
			name: "stubborn by itself", event: child.Event{Kind: child.EventKilled, Delay: 5 * time.Second},
			want: "web did not exit within 5s of STOPPING=1; SIGKILL",
		},
		{
			name: "no grace", event: child.Event{Kind: root.EventDeadline, Delay: 1, Names: []string{"web", "db"}},
			want: "grace (0s) elapsed; SIGKILL on web, db",
		},
		{
			name: "restart while shutting down", event: child.Event{Kind: root.EventSkipped},
			want: "restart web skipped; supervisor is shutting down",
		},
		{
			name: "cannot be executed", event: child.Event{Kind: child.EventFailed, Exit: child.Exit{Code: 127, Err: errors.New("x")}, Reason: "/nope: no such file or directory"},
			want: "web cannot be started: /nope: no such file or directory",
		},
		{name: "cannot be executed for now", event: child.Event{
			Kind: child.EventFailed, Reason: "/x: resource temporarily unavailable", Next: child.NextRestart, Delay: time.Second, Attempt: 2,
		}, want: "web cannot be started: /x: resource temporarily unavailable; restarting in 1s (attempt 2)"},
		{
			name: "not started", event: child.Event{Kind: child.EventNotStarted, Reason: "db ended with code 1"},
			want: "web not started: db ended with code 1",
		},
		{name: "no route", event: child.Event{Kind: root.EventIgnored, Signal: syscall.SIGUSR2}, want: "SIGUSR2 ignored; nothing is routed to it"},
		{
			name: "absent", event: child.Event{Kind: root.EventIgnored, Signal: syscall.SIGHUP, Reason: "egress does not run in this bundle"},
			want: "SIGHUP ignored; egress does not run in this bundle",
		},
		{name: "real-time signal", event: child.Event{Kind: root.EventIgnored, Signal: 35}, want: "SIGRTMIN+1 ignored; nothing is routed to it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.event.Daemon = "web"
			if got := message(tt.event, tt.stopping); got != tt.want {
				t.Errorf("message is\n%q, want\n%q", got, tt.want)
			}
		})
	}
}
