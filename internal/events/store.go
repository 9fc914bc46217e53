package events

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// What is kept, in bytes of JSON: of all daemons together, and of each.
const (
	maxBytes  = 4 << 20
	maxDaemon = 64 << 10
)

// A Record is an event as it is kept and sent.
type Record struct {
	JSON []byte // not to be changed
	Time time.Time
}

// A kind is what an event means for what is kept of its daemon.
type kind int8

const (
	other kind = iota
	first      // a failure, the first since the daemon was well
	again      // one of those that follow
)

// A record is a Record with what the store needs to know.
type record struct {
	Record
	seq     uint64
	subject string
	kind    kind
	log     int // how many bytes of it are lines of the log, as good as
}

// A store keeps the last events: so many bytes of all, and so many of each daemon, so that a loud one does not push out those of the
// others. Of a daemon that has too many the oldest lines of the log go first, then the oldest events, but not its latest first failure: that
// one counts the failures after it that are no longer kept.
type store struct {
	most, each int
	all        []*record // in order; nil where one is gone
	gone       int       // how many are nil
	next       uint64    // the number of the next event
	bytes      int
	daemons    map[string]*history
	since      time.Time // of the newest that is gone
}

// A history is what is kept of one daemon.
type history struct {
	records []*record // in order
	bytes   int
	logs    int     // of these
	first   *record // its latest first failure; nil if that is none, or was never kept
}

func newStore(most, each int) store {
	return store{most: most, each: each, daemons: map[string]*history{}}
}

// add adds an event, and lets go of what is too much.
func (s *store) add(r record) {
	r.seq = s.next
	s.next++
	d := s.daemons[r.subject]
	if d == nil {
		d = &history{}
		s.daemons[r.subject] = d
	}
	if r.kind == first {
		d.first = &r
	}
	s.all = append(s.all, &r)
	d.records = append(d.records, &r)
	s.grow(d, len(r.JSON))
	d.logs += r.log
	for d.bytes > s.each && s.shrink(d) {
	}
	for s.bytes > s.most && s.evict() {
	}
	if s.gone > len(s.all)/2 {
		s.all = slices.DeleteFunc(s.all, func(r *record) bool { return r == nil })
		s.gone = 0
	}
}

func (s *store) grow(d *history, by int) {
	d.bytes += by
	s.bytes += by
}

// shrink makes what is kept of a daemon less; false if nothing can go. Lines of the log have half of the room, if there is not enough.
func (s *store) shrink(d *history) bool {
	last := len(d.records) - 1
	logged := last // the newest one with lines
	for logged > 0 && d.records[logged].log == 0 {
		logged--
	}
	goes := func(i int) bool { return d.records[i] != d.first && i != last && i != logged }
	for i, r := range d.records {
		if d.logs > s.each/2 && r.log > 0 && goes(i) {
			s.strip(d, r)
			return true
		}
	}
	for i, r := range d.records {
		if goes(i) {
			s.remove(d, r)
			return true
		}
	}
	if d.first != nil && d.first.log > 0 && d.first != d.records[logged] {
		s.strip(d, d.first)
		return true
	}
	return false
}

// strip takes the lines of the log out of an event.
func (s *store) strip(d *history, r *record) {
	s.rewrite(d, r, func(e *client.Event) { e.Data.Log = nil })
	d.logs -= r.log
	r.log = 0
}

// evict lets go of the oldest event of all that is no first failure, or else of the oldest.
func (s *store) evict() bool {
	var oldest *record
	for _, r := range s.all[:len(s.all)-1] {
		if r == nil {
			continue
		}
		if s.daemons[r.subject].first != r {
			oldest = r
			break
		}
		if oldest == nil {
			oldest = r
		}
	}
	if oldest == nil {
		return false
	}
	s.remove(s.daemons[oldest.subject], oldest)
	return true
}

// remove lets an event go.
func (s *store) remove(d *history, r *record) {
	s.all[s.find(r.seq)] = nil
	s.gone++
	d.records = slices.DeleteFunc(d.records, func(other *record) bool { return other == r })
	s.grow(d, -len(r.JSON))
	d.logs -= r.log
	if r.Time.After(s.since) {
		s.since = r.Time
	}
	switch {
	case d.first == r:
		d.first = nil
	case r.kind == again && d.first != nil && d.first.seq < r.seq:
		s.rewrite(d, d.first, func(e *client.Event) { e.Data.Repeats++ })
	}
	if len(d.records) == 0 {
		delete(s.daemons, r.subject)
	}
}

// rewrite changes an event that is kept. Who has it already has it as it was.
func (s *store) rewrite(d *history, r *record, change func(*client.Event)) {
	var e client.Event
	if json.Unmarshal(r.JSON, &e) != nil { // it is of our own making
		return
	}
	change(&e)
	b, err := json.Marshal(&e)
	if err != nil {
		return
	}
	s.grow(d, len(b)-len(r.JSON))
	r.JSON = b
}

// find is the place in all of the event with that number, which is there, or else of the next one.
func (s *store) find(seq uint64) int {
	// A number is never before its place, seen from the end.
	lo, hi := 0, len(s.all)
	for lo < hi {
		mid := (lo + hi) / 2
		i := mid
		for i < hi && s.all[i] == nil {
			i++
		}
		switch {
		case i == hi:
			hi = mid
		case s.all[i].seq < seq:
			lo = i + 1
		default:
			hi = mid
		}
	}
	for lo < len(s.all) && s.all[lo] == nil {
		lo++
	}
	return lo
}

// from returns the first event that is kept from that number on; nil if there is none.
func (s *store) from(seq uint64) *record {
	if i := s.find(seq); i < len(s.all) {
		return s.all[i]
	}
	return nil
}

// count returns how many are kept from that number on.
func (s *store) count(seq uint64) (n uint64) {
	for _, r := range s.all[s.find(seq):] {
		if r != nil {
			n++
		}
	}
	return n
}
