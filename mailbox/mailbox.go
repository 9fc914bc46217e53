// Package mailbox provides the queue in front of an actor.
//
// Guarantees:
//
//  1. Send and Offer never block, whatever the receiver does. They hold a mutex for a few
//     nanoseconds, so they can be called in any goroutine and inside a testing/synctest bubble.
//  2. FIFO: messages of one sender are received in the order in which it sent them. There are
//     no priority lanes: urgency is expressed by the receiver's state, never by queue order,
//     because a message that overtakes can be undone by the one that it overtook.
//  3. Nothing accepted vanishes: every message for which Send or Offer returned nil is either
//     returned by Drain or by Close.
//  4. Only the receiver seals the queue. A sender learns of it by [ErrClosed], never by a panic.
//
// Why not a Go channel: a bounded one either blocks the sender, so that two actors can wait for
// each other, or drops, and a lost "exited" is a supervisor that hangs for ever. DESIGN in
// docs/adr/0001-mailbox.md.
//
// Rules for callers: Wake, Drain and Close belong to one goroutine, the receiver. What actors say
// to each other goes through Send and must be finite by construction; what outsiders can multiply
// goes through Offer.
package mailbox

import (
	"errors"
	"sync"
)

var (
	// ErrClosed says that the receiver has sealed the mailbox; the message was not accepted.
	ErrClosed = errors.New("mailbox: closed")
	// ErrFull says that the mailbox holds as many messages as its limit; only Offer returns it.
	ErrFull = errors.New("mailbox: full")
)

// A Mailbox is a FIFO queue of messages with any number of senders and one receiver.
// Make one with [New].
type Mailbox[M any] struct {
	limit int
	wake  chan struct{} // capacity 1: a token means "look into the queue"
	done  chan struct{} // closed by Close

	mu     sync.Mutex
	queue  []M
	closed bool
	high   int
}

// New returns an empty mailbox. Offer is refused while limit or more messages are queued; Send is not
// subject to the limit.
func New[M any](limit int) *Mailbox[M] {
	return &Mailbox[M]{limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Send queues m, however many messages are queued already. Its only error is [ErrClosed].
func (b *Mailbox[M]) Send(m M) error { return b.put(m, false) }

// Offer queues m unless the mailbox is at its limit ([ErrFull]) or sealed ([ErrClosed]).
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
	default: // a token is there already
	}
	return nil
}

// Wake returns the channel that has a token whenever messages may be queued. A token can be stale:
// Drain may then return nothing.
func (b *Mailbox[M]) Wake() <-chan struct{} { return b.wake }

// Drain takes every queued message, in order. The caller hands in the slice of the previous call, which
// becomes the next queue, so a steady state allocates nothing; it must not use that slice afterwards.
func (b *Mailbox[M]) Drain(previous []M) []M {
	clear(previous) // do not keep what messages point to
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.queue
	b.queue = previous[:0]
	return taken
}

// Close seals the mailbox and returns what was still queued, so that the receiver can refuse it. Later
// calls return nothing.
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

// Done is closed once the mailbox is sealed.
func (b *Mailbox[M]) Done() <-chan struct{} { return b.done }

// HighWater is the largest number of messages that were ever queued at once: a measure for tests and
// metrics of whether the receiver keeps up.
func (b *Mailbox[M]) HighWater() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.high
}
