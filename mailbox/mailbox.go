// Package mailbox provides the queue in front of an actor.
//
// Guarantees:
//
//  1. Send and Offer never block, whatever the receiver does. They hold a mutex for a few
//     nanoseconds, so they can be called from any goroutine and inside a testing/synctest bubble.
//  2. FIFO: messages of one sender are received in the order in which it sent them. There are
//     no priorities. Urgency is expressed by the receiver's state, not by queue order: the
//     effect of a message that overtakes another could be undone by the one that it overtook.
//  3. No accepted message is lost: every message for which Send or Offer returned nil is
//     returned either by Drain or by Close.
//  4. Only the receiver seals the queue. A sender then gets [ErrClosed]; it does not panic.
//
// A Go channel would not do. A bounded channel either blocks the sender, so that two actors can
// wait for each other, or drops messages, and a supervisor that loses the message "exited" hangs
// for ever. docs/adr/0001-mailbox.md explains the design.
//
// Rules for callers: only one goroutine, the receiver, may call Drain and Close and receive from
// Wake. Messages between actors are sent by Send, and their number must be bounded by design.
// Messages whose number outsiders determine are sent by Offer.
package mailbox

import (
	"errors"
	"sync"
)

var (
	// ErrClosed is returned if the receiver has sealed the mailbox. The message was not accepted.
	ErrClosed = errors.New("mailbox: closed")
	// ErrFull is returned, only by Offer, if the mailbox holds as many messages as its limit. The message was not accepted.
	ErrFull = errors.New("mailbox: full")
)

// A Mailbox is a FIFO queue of messages with any number of senders and one receiver.
// Make one with [New].
type Mailbox[M any] struct {
	limit int
	wake  chan struct{} // capacity 1; a token means that the queue may have messages
	done  chan struct{} // closed by Close

	mu     sync.Mutex
	queue  []M
	closed bool
	high   int
}

// New returns an empty mailbox. Offer fails while limit or more messages are queued. Send ignores the limit.
func New[M any](limit int) *Mailbox[M] {
	return &Mailbox[M]{limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Send queues m, regardless of the limit. Its only error is [ErrClosed].
func (b *Mailbox[M]) Send(m M) error { return b.put(m, false) }

// Offer queues m unless the mailbox has reached its limit ([ErrFull]) or is sealed ([ErrClosed]).
func (b *Mailbox[M]) Offer(m M) error { return b.put(m, true) }

func (b *Mailbox[M]) put(m M, limited bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case limited && len(b.queue) >= b.limit:
		return ErrFull
	}
	b.queue = append(b.queue, m)
	b.high = max(b.high, len(b.queue))
	select {
	case b.wake <- struct{}{}:
	default: // there is a token already
	}
	return nil
}

// Wake returns a channel from which a token can be received whenever messages may be queued. A token can
// be stale; Drain then returns no messages.
func (b *Mailbox[M]) Wake() <-chan struct{} { return b.wake }

// Drain removes and returns all queued messages, in order. The caller passes the slice that the previous
// call returned, and must not use it afterwards: it becomes the next queue, so a steady state allocates
// nothing.
func (b *Mailbox[M]) Drain(previous []M) []M {
	clear(previous) // so that what the messages point to can be freed
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.queue
	b.queue = previous[:0]
	return taken
}

// Close seals the mailbox and returns the messages that are still queued, so that the receiver can refuse
// them. Later calls return nil.
func (b *Mailbox[M]) Close() []M {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	close(b.done)
	left := b.queue
	b.queue = nil
	return left
}

// Done returns a channel that is closed when the mailbox is sealed.
func (b *Mailbox[M]) Done() <-chan struct{} { return b.done }

// HighWater returns the largest number of messages that were ever queued at once. Tests and metrics use
// it to see whether the receiver keeps up.
func (b *Mailbox[M]) HighWater() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.high
}
