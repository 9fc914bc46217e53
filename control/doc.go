// Package control serves the control socket of a bundle that your program runs by package root. The commands of sidecar-init (status,
// restart, logs, events and others) and package client then work with it as with sidecar-init itself. Linux only.
//
//	events := control.NewEvents("/my-bundle")
//	bundle, err := root.New(root.Config{Specs: specs, Observe: events.Observe})
//	…
//	server, err := control.New(control.Options{Root: bundle, Path: "/run/my.sock", Events: events})
//	…
//	go server.Run()
//	code, err := bundle.RunContext(ctx)
//	server.Close()
//
// Guarantees:
//
//  1. No client delays anything: not the bundle, its log, another client or the end.
//  2. Only root and the user of this process are answered. The socket has mode 0600 before anybody can see it.
//  3. A socket file at which nobody listens is replaced; one at which a supervisor answers is not touched, nor is a file that is
//     not a socket.
//  4. After Close, Run returns within 30 ms, and the socket file is gone.
//
// Requests that need a bundle file (reloads, jobs and transient daemons) are answered with 404. docs/openapi.yaml describes the
// requests.
package control
