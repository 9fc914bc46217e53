package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/root"
)

// A reporter turns events into lines of the supervisor's log.
type reporter struct {
	printf   func(format string, a ...any)
	stopping atomic.Bool // the shutdown has begun
}

// bundle reports an event of the bundle.
func (r *reporter) bundle(e child.Event) {
	if e.Kind == root.EventShutdown {
		r.stopping.Store(true)
	}
	if line := message(e, false); line != "" {
		r.printf("%s", line)
	}
}

// daemon reports an event of a daemon; with critical its end is that of the bundle.
func (r *reporter) daemon(e child.Event, critical bool) {
	if line := message(e, r.stopping.Load() || critical); line != "" {
		r.printf("%s", line)
	}
	if e.Strays {
		r.printf("%s: processes that it has started still run: does it go into the background?", e.Daemon)
	}
}

// fit makes a reason fit for a line of ours. It has names of files and the like in it, which others have chosen. That we have
// panicked is told at length.
func fit(reason string) string {
	if strings.HasPrefix(reason, "panic: ") {
		return reason
	}
	return printable.Text(reason)
}

// message is the log line of an event, or "" where there is none. Programs read these lines: they are part of what is
// promised to users. stopping says that no daemons survive this one.
func message(e child.Event, stopping bool) string {
	name := e.Daemon
	if e.Trigger != "" {
		if line, is := jobMessage(e); is {
			return line
		}
	}
	switch e.Kind {
	case child.EventStarting:
		return "starting " + name
	case child.EventStarted:
		if e.Restart {
			return fmt.Sprintf("%s restarted (pid %d)", name, e.PID)
		}
	case child.EventReady:
		return name + " is ready"
	case child.EventUnhealthy:
		return fmt.Sprintf("%s is unhealthy: %s", name, e.Reason)
	case child.EventExited:
		line := fmt.Sprintf("%s exited with %s", name, e.Exit)
		switch {
		case e.Next != child.NextNothing:
			line += "; " + next(e)
		case !e.Requested && !stopping:
			line += "; leaving surviving daemons running (operator-visible via agent-side failure)"
		}
		if e.Exit.OOM {
			line += "; the kernel's OOM killer"
		}
		return line
	case child.EventFailed:
		line := fmt.Sprintf("%s cannot be started: %s", name, e.Reason)
		if e.Next != child.NextNothing {
			line += "; " + next(e)
		}
		return line
	case child.EventNotStarted:
		return fmt.Sprintf("%s not started: %s", name, e.Reason)
	case child.EventRestarting:
		return "restarting " + name
	case child.EventKilled:
		asked := "STOPPING=1"
		if e.Signal != 0 {
			asked = child.SignalName(e.Signal)
		}
		return fmt.Sprintf("%s did not exit within %s of %s; SIGKILL", name, given(e.Delay), asked)
	case child.EventStepFailed:
		return fmt.Sprintf("%s: %s", name, e.Reason)
	case child.EventForwarded:
		return fmt.Sprintf("forwarded %s to %s", child.SignalName(e.Signal), name)
	case child.EventPaused:
		return "paused " + name
	case child.EventUnpaused:
		return "unpaused " + name
	case child.EventDropped:
		if e.Reason != "" {
			return fmt.Sprintf("%s for %s dropped; %s", child.SignalName(e.Signal), name, e.Reason)
		}
		return fmt.Sprintf("%s for %s dropped; daemon already exited (rc=%d)", child.SignalName(e.Signal), name, e.Exit.RC())
	case child.EventUnsent:
		line := fmt.Sprintf("cannot send %s to %s: %s", child.SignalName(e.Signal), name, e.Reason)
		if e.Reason == syscall.EPERM.Error() {
			line += " (it runs as another user: that takes the capability KILL)"
		}
		return line
	case root.EventShutdown:
		why := e.Reason
		if e.Signal != 0 {
			why = child.SignalName(e.Signal)
		}
		return fmt.Sprintf("shutting down (%s); forwarding SIGTERM", why)
	case root.EventDeadline:
		return fmt.Sprintf("grace (%s) elapsed; SIGKILL on %s", given(e.Delay), strings.Join(e.Names, ", "))
	case root.EventKillNow:
		return fmt.Sprintf("%s during shutdown; SIGKILL on %s", child.SignalName(e.Signal), strings.Join(e.Names, ", "))
	case root.EventIgnored:
		reason := e.Reason
		if reason == "" {
			reason = "nothing is routed to it"
		}
		return fmt.Sprintf("%s ignored; %s", child.SignalName(e.Signal), reason)
	case root.EventSkipped:
		return fmt.Sprintf("restart %s skipped; supervisor is shutting down", name)
	}
	return ""
}

// jobMessage is message for what only runs of jobs have.
func jobMessage(e child.Event) (line string, is bool) {
	line = "job " + e.Daemon
	switch e.Kind {
	case child.EventStarting:
		return fmt.Sprintf("%s started (%s)", line, e.Trigger), true
	case child.EventStarted, child.EventStopped:
		return "", true
	case child.EventExited:
		switch {
		case e.Overdue:
			line += " failed: it took longer than its timeout"
		case e.Requested:
			line += " cancelled"
		case e.Success:
			line += fmt.Sprintf(" succeeded in %s", round(e.Uptime))
		default:
			line += fmt.Sprintf(" failed with %s", e.Exit)
		}
		if e.Exit.OOM {
			line += "; the kernel's OOM killer"
		}
		return line, true
	case child.EventFailed:
		return fmt.Sprintf("%s failed: %s", line, e.Reason), true
	case jobs.EventSkipped:
		return line + " skipped; the run before is in progress", true
	case jobs.EventMissed:
		return fmt.Sprintf("%s missed %d %s; %s", line, e.Attempt, plural(e.Attempt, "fire"), e.Reason), true
	}
	return "", false
}

// plural is a noun as it follows a number.
func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// next says what follows an end.
func next(e child.Event) string {
	if e.Next == child.NextGiveUp {
		return fmt.Sprintf("giving up after %d restarts in %s", e.Attempt, round(e.Window))
	}
	return fmt.Sprintf("restarting in %s (attempt %d)", round(e.Delay), e.Attempt)
}

// given is a duration as it was given to us: for none we use the shortest that there is.
func given(d time.Duration) time.Duration {
	if d == 1 {
		return 0
	}
	return d
}

// round makes a duration readable.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
