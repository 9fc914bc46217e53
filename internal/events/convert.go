package events

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/root"
)

// Lines is how many of the last log lines an unexpected end carries.
const Lines = 20

// maxLine bounds a log line in an event. The lines of one event and the events that are kept stay within reason then.
const maxLine = 2 << 10

// The events of a reload, which package root does not know.
const (
	Reloaded     child.Kind = "reloaded"      // Reason counts what was done
	ReloadFailed child.Kind = "reload-failed" // Reason says why
)

// wanted reports whether events of this kind become CloudEvents.
func wanted(k child.Kind) bool {
	switch k {
	case child.EventStarted, child.EventReady, child.EventUnhealthy, child.EventExited, child.EventFailed,
		child.EventNotStarted, child.EventRestarting, child.EventStopped, child.EventPaused, child.EventUnpaused, child.EventForwarded,
		root.EventAdded, root.EventRemoved, root.EventRevised, Reloaded, ReloadFailed, jobs.EventSkipped, jobs.EventMissed:
		return true
	}
	return false
}

// ofJob is the type of an event of a job; "" where it is none of these.
func ofJob(e *child.Event) string {
	if e.Trigger == "" {
		return ""
	}
	switch e.Kind {
	case child.EventStarted:
		return client.EventJobStarted
	case child.EventFailed:
		return client.EventJobFailed
	case jobs.EventSkipped:
		return client.EventJobSkipped
	case jobs.EventMissed:
		return client.EventJobMissed
	case child.EventExited:
		switch {
		case e.Success:
			return client.EventJobSucceeded
		case e.Requested && !e.Overdue:
			return client.EventJobCancelled
		}
		return client.EventJobFailed
	}
	return ""
}

// unexpected reports whether e tells of an end that nobody asked for.
func unexpected(e *child.Event) bool {
	switch e.Kind {
	case child.EventExited, child.EventFailed, child.EventNotStarted:
		return !e.Requested
	}
	return false
}

// convert returns the CloudEvents that e comes to, without ID and Source. An end is one, and what follows from it another.
func convert(e *child.Event, log []string) []client.Event {
	data := client.EventData{
		PID: e.PID, Uptime: seconds(e.Uptime), Attempt: e.Attempt, OOM: e.Exit.OOM, Reason: e.Reason, Log: log,
		MaxRSS: e.Exit.MaxRSS, CPUTime: seconds(e.Exit.CPU),
	}
	if !e.Begun.IsZero() {
		begun := e.Begun.UTC().Truncate(time.Microsecond)
		data.Begun = &begun
	}
	make := func(kind string, data client.EventData) client.Event {
		return client.Event{
			SpecVersion: "1.0", Type: kind, Subject: e.Daemon, Time: e.Time.UTC().Truncate(time.Microsecond),
			DataContentType: "application/json", Data: data,
		}
	}
	if kind := ofJob(e); kind != "" {
		data.Trigger, data.Attempt = string(e.Trigger), 0
		switch kind {
		case client.EventJobMissed:
			data.Missed = e.Attempt
		case client.EventJobStarted, client.EventJobSkipped:
		default:
			setExit(&data, e)
		}
		return []client.Event{make(kind, data)}
	}
	if e.Trigger != "" {
		return nil // EventStopped, which tells nothing of a job
	}
	switch e.Kind {
	case root.EventAdded:
		return []client.Event{make(client.EventAdded, data)}
	case root.EventRemoved:
		return []client.Event{make(client.EventRemoved, data)}
	case root.EventRevised:
		return []client.Event{make(client.EventUpdated, data)}
	case Reloaded:
		return []client.Event{make(client.EventReloaded, data)}
	case ReloadFailed:
		return []client.Event{make(client.EventReloadFailed, data)}
	case child.EventStarted:
		return []client.Event{make(client.EventStarted, data)}
	case child.EventReady:
		return []client.Event{make(client.EventReady, data)}
	case child.EventPaused:
		return []client.Event{make(client.EventPaused, data)}
	case child.EventUnpaused:
		return []client.Event{make(client.EventUnpaused, data)}
	case child.EventForwarded:
		name := child.SignalName(e.Signal)
		data.Signal = &name
		return []client.Event{make(client.EventSignalled, data)}
	case child.EventUnhealthy:
		return []client.Event{make(client.EventUnhealthy, data)}
	case child.EventStopped:
		data.Cause = client.CauseRequested
		return []client.Event{make(client.EventStopped, data)}
	case child.EventRestarting:
		data.Cause = client.CauseRequested
		return []client.Event{make(client.EventRestarting, data)}
	case child.EventExited, child.EventFailed, child.EventNotStarted:
	default:
		return nil
	}

	data.Cause = client.CauseUnexpected
	if e.Requested {
		data.Cause = client.CauseRequested
	}
	setExit(&data, e)
	if e.Next == child.NextRestart {
		delay := seconds(e.Delay)
		data.NextDelay = &delay
	}
	all := []client.Event{make(client.EventExited, data)}
	data.Log, data.Begun = nil, nil // once is enough
	switch e.Next {
	case child.NextRestart:
		all = append(all, make(client.EventRestarting, data))
	case child.NextGiveUp:
		all = append(all, make(client.EventGaveUp, data))
	}
	return all
}

// setExit says how the process has ended.
func setExit(data *client.EventData, e *child.Event) {
	if e.Exit.Signal != 0 {
		name := child.SignalName(e.Exit.Signal)
		data.Signal = &name
	} else {
		data.Code = &e.Exit.Code
	}
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Second)
}

// text makes a log line fit for JSON.
func text(line []byte) string {
	if len(line) <= maxLine {
		return strings.ToValidUTF8(string(line), "\uFFFD")
	}
	cut := maxLine
	for cut > maxLine-utf8.UTFMax && !utf8.RuneStart(line[cut]) {
		cut--
	}
	return strings.ToValidUTF8(string(line[:cut]), "\uFFFD") + "…"
}
