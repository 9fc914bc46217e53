// Package client talks to a running sidecar-init through its control socket.
//
// The command line uses this package: a program can do with a [Client] everything that status, restart, logs, events and wait can
// do. The types with JSON tags, most of them in the file api.go, are what is transferred. docs/openapi.yaml in the repository
// describes the same interface for other languages; curl --unix-socket works as well.
//
// Guarantees:
//
//  1. Every call returns when its context is done. A Client sets no time limits of its own.
//  2. A call that finds no supervisor fails with [ErrNoSupervisor]. An answer other than success is returned as an *[Error].
//  3. A Client without a path does not trust sockets in directories where anybody can create one: on Linux, it uses such a socket
//     only if the process on the other side runs as root or as the caller's own user.
//  4. Streams report how many events or lines were lost, by [Event.Lost] and [LogLine.Lost].
//
// A Client needs no Close. Its methods may be called from any goroutine. The package depends only on the standard library.
package client
