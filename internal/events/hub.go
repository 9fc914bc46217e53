package events

import (
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/mailbox"
)

// What is kept: as many of the last events, and as many of their bytes.
const (
	maxEvents = 1024
	maxBytes  = 512 << 10
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

	mu     sync.Mutex
	kept   []Record // the last ones; kept[i] has the number first+i
	first  uint64
	bytes  int // of kept
	closed bool
	wake   chan struct{} // closed at the next event; nil if nobody waits
}

// A Record is an event as it is kept and sent.
type Record struct {
	JSON []byte // not to be changed
	Time time.Time
}

// New returns a Hub that does nothing until Run is called; what is observed before that is not lost.
func New(o Options) *Hub {
	h := &Hub{options: o, box: mailbox.New[observed](queueLimit), closing: make(chan struct{})}
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

// handle makes the events that e comes to.
func (h *Hub) handle(o *observed) {
	e := &o.Event
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
		if err != nil { // no value of these types has an error
			continue
		}
		h.keep(Record{JSON: b, Time: e.Time})
	}
}

// keep adds an event, and lets go of the oldest ones that are too many.
func (h *Hub) keep(r Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, r)
	h.bytes += len(r.JSON)
	n := 0
	for len(h.kept)-n > maxEvents || h.bytes > maxBytes && len(h.kept)-n > 1 {
		h.bytes -= len(h.kept[n].JSON)
		h.kept[n] = Record{}
		n++
	}
	h.kept = h.kept[n:]
	h.first += uint64(n)
	h.rouse()
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
	n := h.first + uint64(len(h.kept))
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
