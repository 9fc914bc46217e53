// Package child supervises one daemon: it starts its process, watches it, restarts it by policy, and stops it.
//
// The daemon's life is a pure state machine (machine.go: an event gives a state and effects; no I/O, no clock, no
// goroutine). A [Child] is the actor around it, which performs the effects. Its transition table is generated into
// testdata/transitions.md.
//
// Guarantees:
//
//  1. There are never two processes of one daemon.
//  2. Nothing blocks the actor: programs are executed and waited for on goroutines that post one message back.
//  3. A fact about a process (spawned, exited, ready) carries the generation that it is about. A stale one changes nothing.
//  4. A state has at most one timer.
//  5. What is wanted (up, down, restarted) is kept apart from what is, so a [Terminate] that comes while the program
//     is being executed is not forgotten, and a [Restart] while it is being stopped is not lost.
//  6. A death is noticed by the exit of the main process, never by the end of its output. A stop is over when nobody is left in
//     the process group; what a main process leaves that ends by itself lives on until the next start, a stop, or [Kill].
//  7. Nothing process-global happens: no signal handler, no wait for any child but its own.
package child
