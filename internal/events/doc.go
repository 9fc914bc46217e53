// Package events turns events of daemons into CloudEvents, keeps the last ones, and passes them to readers.
//
// Guarantees:
//
//  1. Hub.Observe never blocks and does no I/O. It may be called on an actor's goroutine.
//  2. Events of one daemon stay in order. An event is encoded once: every reader gets the same bytes.
//  3. Memory is bounded. A Reader that is too slow loses the oldest events, is told how many, and slows nobody down.
//  4. Close ends the stream only after everything that was observed before it.
//
// Nothing is sent to readers: each has a position in the kept events, like a log.Follower. So an idle reader costs nothing and needs no
// queue of its own.
package events
