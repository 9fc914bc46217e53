// Package control serves HTTP and JSON at a unix socket, through which a running bundle is inspected and controlled.
//
// Guarantees:
//
//  1. No client delays anything: not the bundle, its log, another client or the end. Headers, bodies, connections and times are
//     limited, a client that does not read loses its connection, and clients together get a small share of a processor, however many
//     there are.
//  2. Only root and the user of this process are answered. The socket has mode 0600 before anybody can see it.
//  3. A socket file at which nobody listens is replaced. One at which another supervisor answers is not touched, nor is a file that
//     is not a socket.
//  4. Requests become messages to the root actor, which answers what it knows and never waits for a client or, because of a request,
//     for a daemon.
//  5. Close closes everything: Run returns within 30 ms, and the socket file is gone.
//
// The types are those of package client, so both sides of the socket share them. docs/openapi.yaml describes the interface, and a test
// compares it with the server's answers.
package control
