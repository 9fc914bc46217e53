// Package client talks to a running sidecar-init through its control socket.
//
// The command line uses it too: everything that status, restart, logs, events and wait can do, a program can do with a [Client].
// The file api.go has all types that are transferred as JSON. docs/openapi.yaml in the repository describes the same interface for
// other languages; curl --unix-socket works as well.
//
// Guarantees:
//
//  1. Every call ends when its context does. A Client sets no time limits of its own.
//  2. A call that finds no supervisor fails with [ErrNoSupervisor]; an answer other than success is an *[Error].
//  3. A Client without a path does not trust sockets in directories where anybody can create one: there, on Linux, the other side
//     must be root or the caller's own user.
//  4. Streams report what they have lost, by [Event.Lost] and [LogLine.Lost].
//
// A Client needs no Close. Its methods may be called from any goroutine. The package depends only on the standard library.
package client
