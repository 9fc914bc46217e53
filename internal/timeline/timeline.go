package timeline

import (
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// A Kind is what a daemon did for a while.
type Kind string

// The kinds of bars, in the order of the legend.
const (
	Waiting   Kind = "waiting"
	Starting  Kind = "starting"
	Ready     Kind = "ready" // or running, where no readiness is declared
	Unhealthy Kind = "unhealthy"
	Paused    Kind = "paused"
	Stopping  Kind = "stopping"
	Backoff   Kind = "backoff"
)

// running is a program that runs, before it is known what that means.
const running Kind = "running"

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Waiting, Starting, Ready, Unhealthy, Paused, Stopping, Backoff} }

// A Bar is a time in which a daemon did one thing.
type Bar struct {
	Kind     Kind
	From, To time.Time
}

// A Mark is a moment.
type Mark struct {
	At     time.Time
	Text   string
	Signal bool // it got one
	Crash  int  // of how many ends it tells that nobody asked for, and that were failures
}

// A Row is the life of a daemon.
type Row struct {
	Name      string
	Bars      []Bar // in order
	Marks     []Mark
	DependsOn []client.Dependency
	// Begun, Started and Up are of its first start: when that began, when the program was executed, and when dependents could rely
	// on it; Done is its first end with success. Zero where it has not come to that.
	Begun, Started, Up, Done time.Time
}

// A Timeline is the life of a bundle.
type Timeline struct {
	From, To time.Time
	// Since is the time from which on all events are known; zero if all are.
	Since time.Time
	Rows  []Row
}

// Options are what is known besides the events.
type Options struct {
	Started time.Time // when the supervisor was; zero if that is not known
	Now     time.Time
	Since   time.Time // as in Timeline
	From    time.Time // what was before it is not of interest; zero: all is
}

// New makes the timeline of these daemons, whose events are in order.
func New(events []client.Event, daemons []client.Daemon, o Options) *Timeline {
	t := &Timeline{From: o.Started, To: o.Now, Since: o.Since}
	if t.From.IsZero() {
		t.From = o.Now
		if len(events) > 0 {
			t.From = events[0].Time
		}
	}
	index := map[string]*life{}
	var lives []*life
	add := func(name string, from time.Time) *life {
		l := &life{row: Row{Name: name}, kind: Waiting, since: from}
		index[name] = l
		lives = append(lives, l)
		return l
	}
	for _, d := range daemons {
		if d.Job == "" {
			l := add(d.Name, t.From)
			l.row.DependsOn, l.ready = d.DependsOn, d.State == client.StateStarting && d.PID != 0
		}
	}
	for i := range events {
		e := &events[i]
		if e.Subject == "" || strings.Contains(e.Type, ".job.") || e.Time.After(o.Now) {
			continue
		}
		l := index[e.Subject]
		if l == nil {
			l = add(e.Subject, t.From) // it has left the bundle
		}
		l.take(e)
	}
	for _, l := range lives {
		l.close(o.Now)
		l.settle()
		t.Rows = append(t.Rows, l.row)
	}
	if o.From.After(t.From) {
		t.cut(o.From)
	}
	return t
}

// cut leaves away what was before from.
func (t *Timeline) cut(from time.Time) {
	t.From = from
	for i := range t.Rows {
		r := &t.Rows[i]
		r.Bars = slices.DeleteFunc(r.Bars, func(b Bar) bool { return !b.To.After(from) })
		if len(r.Bars) > 0 && r.Bars[0].From.Before(from) {
			r.Bars[0].From = from
		}
		r.Marks = slices.DeleteFunc(r.Marks, func(m Mark) bool { return m.At.Before(from) })
	}
}

// A life is a row in the making.
type life struct {
	row    Row
	kind   Kind // of the bar that is open; empty if there is none
	since  time.Time
	before Kind // of the bar that a pause has ended
	ready  bool // it has readiness, since it has been ready once
}

// close ends the open bar.
func (l *life) close(at time.Time) {
	if l.kind != "" && at.After(l.since) {
		l.row.Bars = append(l.row.Bars, Bar{l.kind, l.since, at})
	}
	l.kind, l.since = "", at
}

func (l *life) open(kind Kind, at time.Time) {
	l.close(at)
	l.kind = kind
}

func (l *life) mark(e *client.Event, text string, crash int) {
	l.row.Marks = append(l.row.Marks, Mark{At: e.Time, Text: text, Crash: crash})
}

// take adds an event.
func (l *life) take(e *client.Event) {
	d := &e.Data
	switch e.Type {
	case client.EventAdded:
		l.row.Bars, l.kind, l.since = nil, Waiting, e.Time
	case client.EventRemoved:
		l.close(e.Time)
	case client.EventStarted:
		begun := e.Time
		if d.Begun != nil && !d.Begun.Before(l.since) {
			begun = *d.Begun
		}
		l.open(Starting, begun)
		l.close(e.Time)
		l.kind = running
		first(&l.row.Begun, begun)
		first(&l.row.Started, e.Time)
	case client.EventReady:
		l.open(Ready, e.Time)
		l.ready = true
		first(&l.row.Up, e.Time)
	case client.EventUnhealthy:
		l.open(Unhealthy, e.Time)
		l.ready = true // what is checked is ready when the check says so
		l.mark(e, "unhealthy: "+d.Reason, 0)
	case client.EventSignalled:
		if d.Signal != nil {
			l.row.Marks = append(l.row.Marks, Mark{At: e.Time, Text: "got " + *d.Signal, Signal: true})
		}
	case client.EventPaused:
		l.before = l.kind
		l.open(Paused, e.Time)
	case client.EventUnpaused:
		l.open(l.before, e.Time)
	case client.EventExited:
		l.exited(e)
	case client.EventGaveUp:
		l.mark(e, "given up", 0)
	}
}

// exited adds an end.
func (l *life) exited(e *client.Event) {
	d := &e.Data
	if d.Begun != nil && d.Begun.After(l.since) {
		l.open(Stopping, *d.Begun)
	}
	l.close(e.Time)
	success := d.Code != nil && *d.Code == 0
	text := "ended"
	switch {
	case d.Signal != nil:
		text += " by " + *d.Signal
	case d.Code != nil:
		text += " with code " + itoa(*d.Code)
	}
	if d.OOM {
		text += ", the OOM killer"
	}
	if d.Repeats > 0 {
		text += ", and " + itoa(d.Repeats) + " times more"
	}
	crashes := 0
	if d.Cause == client.CauseUnexpected && !success {
		crashes = 1 + d.Repeats
	}
	l.mark(e, text, crashes)
	if success {
		first(&l.row.Done, e.Time)
	}
	if d.NextDelay != nil {
		l.kind = Backoff
	}
}

// settle says what a program was that ran and had not said that it is ready: ready, where it declares no readiness, else starting.
func (l *life) settle() {
	kind := Starting
	if !l.ready {
		kind, l.row.Up = Ready, l.row.Started
	}
	for i := range l.row.Bars {
		if l.row.Bars[i].Kind == running {
			l.row.Bars[i].Kind = kind
		}
	}
}

// first sets a time once.
func first(t *time.Time, at time.Time) {
	if t.IsZero() {
		*t = at
	}
}

// A Link is a daemon of the critical chain of the start.
type Link struct {
	Name string
	At   time.Duration // from the start of the supervisor to when dependents could rely on it
	Took time.Duration // from the begin of its own start to then
}

// Critical is the chain of the start that took longest, as systemd-analyze critical-chain has it: the daemon that was up last, the
// dependency that it waited for last, and so on.
func (t *Timeline) Critical() (chain []Link) {
	rows := map[string]*Row{}
	var at *Row
	for i := range t.Rows {
		r := &t.Rows[i]
		rows[r.Name] = r
		if !r.Up.IsZero() && (at == nil || r.Up.After(at.Up)) {
			at = r
		}
	}
	seen := map[string]bool{}
	end := func(r *Row, condition string) time.Time {
		switch condition {
		case "service_healthy":
			return r.Up
		case "service_completed_successfully":
			return r.Done
		}
		return r.Started
	}
	var when time.Time
	if at != nil {
		when = at.Up
	}
	for at != nil && !seen[at.Name] {
		seen[at.Name] = true
		chain = append(chain, Link{at.Name, when.Sub(t.From), when.Sub(at.Begun)})
		var next *Row
		var latest time.Time
		for _, d := range at.DependsOn {
			if r := rows[d.Name]; r != nil {
				if e := end(r, d.Condition); !e.IsZero() && !e.After(at.Begun) && (next == nil || e.After(latest)) {
					next, latest = r, e
				}
			}
		}
		at, when = next, latest
	}
	return chain
}

// A slice is what is drawn in one place of a row: one bar, or several that are too small to be told apart.
type slice struct {
	kind     Kind
	from, to float64 // in units of the picture
	count    int
}

// slices lays the bars of a row out on width units, none of them shorter than one.
func (t *Timeline) slices(r *Row, width float64) (out []slice) {
	total := t.To.Sub(t.From).Seconds()
	if total <= 0 {
		return nil
	}
	x := func(at time.Time) float64 { return at.Sub(t.From).Seconds() / total * width }
	for _, b := range r.Bars {
		from, to := x(b.From), x(b.To)
		if n := len(out) - 1; n >= 0 && (to-out[n].from < 1 || from < out[n].to && to-out[n].to < 1) {
			last := &out[n]
			if last.count++; worse(b.Kind, last.kind) {
				last.kind = b.Kind
			}
			last.to = max(last.to, to)
			continue
		}
		out = append(out, slice{b.Kind, from, to, 1})
	}
	for i := range out {
		out[i].to = min(max(out[i].to, out[i].from+1), width)
	}
	return out
}

// worse reports whether a says more of what is wrong than b.
func worse(a, b Kind) bool {
	order := []Kind{Ready, Waiting, Starting, Stopping, Paused, Unhealthy, Backoff}
	return slices.Index(order, a) > slices.Index(order, b)
}
