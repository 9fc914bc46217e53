// Package client speaks to a running sidecar-init through its control socket.
//
// It is what the command line uses: whatever status, restart, logs, events or wait can do, a program can do with a [Client].
// The file api.go has the whole vocabulary, as JSON carries it; docs/openapi.yaml in the repository describes the same
// for other languages, and curl --unix-socket will do for a look.
//
// Guarantees:
//
//  1. Every call ends when its context does. A Client sets no time limits of its own.
//  2. A call that finds no supervisor fails with [ErrNoSupervisor]; an answer that is no success is an *[Error].
//  3. A Client that was given no path never speaks to a stranger in a directory where anybody may put a socket: there, on
//     Linux, the other side must be root or the caller's own user.
//  4. Streams say when they have lost something, by [Event.Lost] and [LogLine.Lost].
//
// A Client needs no Close. Its methods may be called from any goroutine. The package needs the standard library only.
package client
