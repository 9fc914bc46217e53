package events

import (
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/mailbox"
)

// queueLimit is how many events of daemons may wait for the hub. Reaching it takes some seconds without a processor.
const queueLimit = 4096

// Options say what a Hub needs to know.
type Options struct {
	// Source is the source of all events: a slash and the name of the bundle, else that of the host.
	Source string
}

// A Hub makes events and keeps the last of them. Make one with New, and call Run once.
type Hub struct {
	options Options
	box     *mailbox.Mailbox[observed]
	dropped atomic.Uint64 // events of daemons that did not fit into box
	closing chan struct{}
	once    sync.Once
	prefix  string // of IDs
	next    uint64 // the number in the next ID
	sent    map[sending]time.Time

	mu     sync.Mutex
	kept   store
	closed bool
	wake   chan struct{} // closed at the next event; nil if nobody waits
}

// New returns a Hub that does nothing until Run is called; what is observed before that is not lost.
func New(o Options) *Hub {
	h := &Hub{options: o, box: mailbox.New[observed](queueLimit), closing: make(chan struct{}), kept: newStore(maxBytes, maxDaemon)}
	// IDs must not repeat when the container has been started anew, with the same source.
	h.prefix = strconv.FormatInt(time.Now().UnixNano(), 36) + "-"
	return h
}

// A Tail returns the last n lines of a daemon's log. It must not block.
type Tail func(n int) []log.Line

// observed is an event with the log of its daemon.
type observed struct {
	child.Event
	tail Tail
}

// Observe takes an event of a daemon, with its log, which may be nil, or of the bundle. It never blocks: if the hub is thousands
// of events behind, this one is dropped and counted.
func (h *Hub) Observe(e child.Event, tail Tail) {
	if !wanted(e.Kind) {
		return
	}
	if h.box.Offer(observed{e, tail}) != nil {
		h.dropped.Add(1)
	}
}

// Run makes events of what is observed, until Close. Its error is always nil.
func (h *Hub) Run() error {
	var batch []observed
	for done := false; !done; {
		select {
		case <-h.box.Wake():
			batch = h.box.Drain(batch)
		case <-h.closing:
			batch, done = append(h.box.Drain(batch), h.box.Close()...), true
		}
		for i := range batch {
			h.handle(&batch[i])
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.rouse()
	return nil
}

// Close lets Run handle what was observed until now, and return. It may be called more than once.
func (h *Hub) Close() { h.once.Do(func() { close(h.closing) }) }

// A sending is a signal to a daemon.
type sending struct {
	daemon string
	signal syscall.Signal
}

// Signals are told at most so often, each for each daemon: a program that sends one in a loop must not push out what else has happened, nor
// keep sinks busy.
const (
	signalRest = time.Second
	maxSent    = 1024
)

// again reports whether the same signal was told of a moment ago.
func (h *Hub) again(e *child.Event) bool {
	key := sending{e.Daemon, e.Signal}
	if last, ok := h.sent[key]; ok && e.Time.Sub(last) < signalRest {
		return true
	}
	if h.sent == nil || len(h.sent) >= maxSent { // of daemons that are gone, too
		h.sent = map[sending]time.Time{}
	}
	h.sent[key] = e.Time
	return false
}

// handle makes the events that e comes to.
func (h *Hub) handle(o *observed) {
	e := &o.Event
	if e.Kind == child.EventForwarded && h.again(e) {
		return
	}
	var lines []string
	if unexpected(e) && o.tail != nil {
		// The news of an end is held back until its last lines have been read, for 100 ms at most (child.Output.Exited):
		// they are here by now. Those of the next life may be too.
		for _, l := range o.tail(2 * Lines) {
			if !l.Time.After(e.Time) {
				line := text(l.Text)
				if l.Partial {
					line += ` \` // as in the log
				}
				lines = append(lines, line)
			}
		}
		lines = lines[max(0, len(lines)-Lines):]
	}
	for _, ev := range convert(e, lines) {
		ev.Source = h.options.Source
		ev.ID = h.prefix + strconv.FormatUint(h.next, 10)
		h.next++
		b, err := json.Marshal(&ev)
		for err == nil && len(b) > maxDaemon && len(ev.Data.Log) > 0 { // escape codes become six times as long
			ev.Data.Log = ev.Data.Log[1:]
			b, err = json.Marshal(&ev)
		}
		if err != nil { // no value of these types has an error
			continue
		}
		h.keep(record{Record: Record{JSON: b, Time: e.Time}, subject: ev.Subject, kind: kindOf(e, &ev), log: size(ev.Data.Log)})
	}
}

// size is about what lines take as JSON.
func size(lines []string) (bytes int) {
	for _, line := range lines {
		bytes += len(line) + len(`"",`)
	}
	return bytes
}

// kindOf says what an event means for what is kept of its daemon.
func kindOf(e *child.Event, ev *client.Event) kind {
	switch {
	case ev.Type != client.EventExited && ev.Type != client.EventJobFailed:
		return other
	case !unexpected(e) || e.Success:
		return other
	case e.Attempt <= 1:
		return first
	}
	return again
}

// keep adds an event.
func (h *Hub) keep(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.add(r)
	h.rouse()
}

// Since is the time from which on all events are kept; zero if all are.
func (h *Hub) Since() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept.since
}

// rouse wakes the readers. The caller holds the lock.
func (h *Hub) rouse() {
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
}

// Stats are the counters of a Hub.
type Stats struct {
	Events  uint64 // that were made
	Dropped uint64 // events of daemons for which none was made, because the hub was too far behind
	// QueueHighWater is the largest number of events of daemons that ever waited for the hub.
	QueueHighWater int
}

// Stats returns the counters as they are now.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	n := h.kept.next
	h.mu.Unlock()
	return Stats{Events: n, Dropped: h.dropped.Load(), QueueHighWater: h.box.HighWater()}
}

// LostEvent is the event that stands in a stream of client.Event where n are missing.
func LostEvent(n int, source string, at time.Time) client.Event {
	return client.Event{
		SpecVersion: "1.0", ID: "lost-" + strconv.FormatInt(at.UnixNano(), 36), Source: source, Type: client.EventLost,
		Time: at.UTC(), DataContentType: "application/json", Data: client.EventData{Lost: n},
	}
}
