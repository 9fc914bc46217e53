package log

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"
)

// queueSize is how many bytes of lines a queue holds before it drops lines. The same amount can be in the process of being written.
const queueSize = 64 << 10

// A queue decouples a source of lines that must not wait for the consumer from the writer: the supervisor's own lines, or a
// daemon with overflow drop. A goroutine that exists only while the queue is not empty writes the lines.
//
// Lines that do not fit are dropped, and a notice takes their place, so the notice is where the gap is.
type queue struct {
	send   func()                               // takes what is queued and writes it
	notice func(dst []byte, dropped int) []byte // appends the line that reports dropped lines

	ready atomic.Bool // the queue is not empty; to be checked often, without the lock

	mu      sync.Mutex
	pending []byte
	lines   int // in pending
	dropped int // lines dropped after pending, not in a notice yet
	taken   int // lines that were taken and are not written yet
	spare   []byte
	running bool          // the goroutine exists
	stalled bool          // somebody has waited for room in vain since the last take
	room    chan struct{} // closed at the next take; nil if nobody waits
	idle    chan struct{} // closed when everything is written; nil if nobody waits
}

// put queues as many of the whole lines in b as fit, and returns how many it has dropped. Once it has dropped a line, it drops
// all lines until the next take, because later lines would come before the notice.
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

// run writes until the queue is empty.
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

// small returns b, emptied, if it is small enough for an idle queue to keep, else nil.
func small(b []byte) []byte {
	if cap(b) > queueSize/16 {
		return nil
	}
	return b[:0]
}

// take removes and returns everything that is queued, and the number of lines. If lines were dropped after them, it adds the
// notice, which is not counted. The method written must be called before the next take.
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

// written says that the lines of the last take are written, and returns its buffer.
func (q *queue) written(b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = b[:0]
	q.taken = 0
}

// empty waits until everything that is queued is written, and reports whether that was before timeout.
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

// idles reports whether there is nothing to write.
func (q *queue) idles() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.running
}

// abandon returns the number of lines that are queued or being written, for the count of lines that the consumer has not read.
func (q *queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lines + q.taken
}

// patience is how long the pump of a daemon with overflow drop waits if its queue is full. It distinguishes a consumer that has
// stopped reading, or is much slower than the daemon, from one that the scheduler has not run for a moment.
const patience = 10 * time.Millisecond

// soften waits until there is room in the queue, at most for patience, and at most once between two takes. If a pump has waited
// in vain since w last made progress, it does not wait at all: if the consumer stops reading, a hundred daemons wait only once.
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
