package log

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// queueSize is how many bytes of lines a queue holds before it drops. As many again can be on their way out.
const queueSize = 64 << 10

// A queue stands between someone who must not wait for the consumer and the writer: the supervisor's own lines,
// and each daemon with overflow drop. It is emptied by a goroutine that exists only while there is something in it.
//
// What does not fit is dropped, and a notice takes its place, so that the gap is where the notice is.
type queue struct {
	send   func()                               // takes what is queued and writes it
	notice func(dst []byte, dropped int) []byte // appends the line that tells of dropped ones

	ready atomic.Bool // something is there to be taken; for those who look often

	mu      sync.Mutex
	pending []byte
	lines   int // in pending
	dropped int // after pending, not yet in a notice
	taken   int // lines that were taken and are not yet written
	spare   []byte
	running bool          // the goroutine exists
	stalled bool          // waiting for room was in vain since the last take
	room    chan struct{} // closed at the next take; nil if nobody waits
	idle    chan struct{} // closed when everything is written; nil if nobody waits
}

// put queues as many of the whole lines in b as fit, and returns how many it dropped. Once it has dropped some it
// drops all until the next take, because what came after the gap would come before its notice.
func (q *queue) put(b []byte, lines int) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	fit := len(b)
	switch room := queueSize - len(q.pending); {
	case q.dropped > 0:
		fit = 0
	case fit > room && (lines > 1 || len(q.pending) > 0): // a single line may be longer than the queue, in JSON
		fit = bytes.LastIndexByte(b[:max(room, 0)], '\n') + 1
	}
	dropped = bytes.Count(b[fit:], newline)
	q.pending = append(q.pending, b[:fit]...)
	q.lines += lines - dropped
	q.dropped += dropped
	q.ready.Store(true)
	if !q.running {
		q.running = true
		go q.run() // ends when the queue is empty
	}
	return dropped
}

// run writes until nothing is left.
func (q *queue) run() {
	for {
		q.send()
		q.mu.Lock()
		if len(q.pending) == 0 && q.dropped == 0 {
			break
		}
		q.mu.Unlock()
	}
	q.running = false
	q.pending, q.spare = small(q.pending), small(q.spare)
	if q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
	q.mu.Unlock()
}

// small returns b if it is worth keeping by an idle queue, else nil.
func small(b []byte) []byte {
	if cap(b) > queueSize/16 {
		return nil
	}
	return b[:0]
}

// take returns everything that is queued and how many lines that is, with the notice, which is not counted, if lines
// were dropped after it. The next take comes after the call of written.
func (q *queue) take() (b []byte, lines int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b, lines = q.pending, q.lines
	if q.dropped > 0 {
		b = q.notice(b, q.dropped)
	}
	q.pending, q.spare = q.spare[:0], nil
	q.taken, q.lines, q.dropped = lines, 0, 0
	q.stalled = false
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	q.ready.Store(false)
	return b, lines
}

// written gives the buffer of take back.
func (q *queue) written(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = b[:0]
	q.taken = 0
}

// empty waits until everything that is queued has been written, and reports whether that was before timeout.
func (q *queue) empty(timeout <-chan struct{}) bool {
	q.mu.Lock()
	if !q.running {
		q.mu.Unlock()
		return true
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	return before(idle, timeout)
}

// idles reports whether there is nothing to be written.
func (q *queue) idles() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.running
}

// abandon returns how many lines are queued or on their way, for the count of what the consumer has not taken.
func (q *queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lines + q.taken
}

// patience is how long the pump of a daemon with overflow drop waits for a queue that is full. It tells a consumer
// that has stopped, or is much slower than the daemon, from one that the scheduler has not run for a moment.
const patience = 10 * time.Millisecond

// soften waits until there is room in the queue, for at most patience and at most once between two takes. If someone
// has waited in vain since w last got rid of something, it does not wait at all: a hundred daemons that meet a
// stopped consumer wait once.
func (q *queue) soften(w *writer, need int) {
	progress := w.progress.Load()
	if w.vain.Load() == progress {
		return
	}
	q.mu.Lock()
	if q.stalled || len(q.pending)+need <= queueSize {
		q.mu.Unlock()
		return
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room := q.room
	q.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-room:
	case <-timer.C:
		w.vain.Store(progress)
		q.mu.Lock()
		q.stalled = q.room == room
		q.mu.Unlock()
	}
}
