package events

import (
	"context"
	"io"
)

// A Reader reads the events of a Hub, each once. It needs no Close. Its methods, but for Missed, are for one goroutine.
type Reader struct {
	hub  *Hub
	pos  uint64 // the number of the event that comes next
	born uint64 // what is missing before it was gone already
}

// Read returns a Reader that begins with the oldest event that is kept.
func (h *Hub) Read() *Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &Reader{hub: h, born: h.kept.next}
}

// Next waits until there is an event that it has not yet returned, and returns it. The number of events that are missing
// before it, because the Reader was too slow, is lost. The error is that of ctx, or io.EOF when the Hub has been closed
// and there are no more.
func (r *Reader) Next(ctx context.Context) (rec Record, lost int, err error) {
	for {
		rec, lost, wake, err := r.take()
		if wake == nil {
			return rec, lost, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return Record{}, 0, ctx.Err()
		}
	}
}

// Missed returns how many events are gone that Next has not yet told of. It may be called on any goroutine.
func (r *Reader) Missed() uint64 {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	pos := max(r.pos, r.born)
	return r.hub.kept.next - pos - r.hub.kept.count(pos)
}

// Ready reports whether Next would return at once.
func (r *Reader) Ready() bool {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	return r.hub.closed || r.hub.kept.from(r.pos) != nil
}

// take is Next, with a channel in place of waiting.
func (r *Reader) take() (rec Record, lost int, wake <-chan struct{}, err error) {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if next := h.kept.from(r.pos); next != nil {
		if pos := max(r.pos, r.born); next.seq > pos {
			lost = int(next.seq - pos)
		}
		r.pos = next.seq + 1
		return next.Record, lost, nil, nil
	}
	if h.closed {
		return Record{}, 0, nil, io.EOF
	}
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	return Record{}, 0, h.wake, nil
}

// Rest lets go of all events that are left, and returns how many that are.
func (r *Reader) Rest() int {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	pos := max(r.pos, r.born)
	n := int(h.kept.next-pos) + int(h.kept.count(r.pos)-h.kept.count(pos))
	r.pos = h.kept.next
	return n
}
