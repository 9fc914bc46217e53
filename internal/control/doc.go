// Package control serves HTTP and JSON at a unix socket, by which a running bundle is looked at and told what to do.
//
// Guarantees:
//
//  1. No client holds anything up: not the bundle, not its log, not another client, not the end. Header, body, connections
//     and time are limited; a client that does not read loses its connection; work for clients takes a small share of a
//     processor however many there are.
//  2. Only root and the user of this process are answered. The socket has mode 0600 before anybody can see it.
//  3. A socket file that nobody listens at is replaced; one where another supervisor answers is not touched, nor is a file
//     that is no socket.
//  4. Requests become messages to the root actor. What it answers is what it knows; it never waits for a client or for a
//     daemon because of one.
//  5. Close cuts everything: Run returns within 30 ms, and the socket file is gone.
//
// The vocabulary is that of package client, so that both sides of the socket are the same Go types. docs/openapi.yaml
// describes it, and a test holds it to what the server says.
package control
