// Package events turns what happens to daemons into CloudEvents, keeps the last of them, and hands them to whoever reads.
//
// Guarantees:
//
//  1. Hub.Observe never blocks and does no I/O. It may be called on an actor's goroutine.
//  2. Events of one daemon come in order. An event is made once: every reader gets the same bytes.
//  3. Memory is bounded. A Reader that is too slow loses the oldest events, is told how many, and slows nobody down.
//  4. Close ends the stream only after everything that was observed before it.
//
// Nothing is sent to readers: each has a position in what is kept, as a log.Follower has. So a reader costs nothing while
// it is idle, and needs no queue of its own.
package events
