// Package control serves the control socket of a bundle that your program runs by package root. The commands of sidecar-init
// (status, restart, logs, events and others) and package client then work with it as with sidecar-init itself. Linux only.
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
//  1. A client cannot delay anything: not the bundle, its log, another client or the end of the program.
//  2. Only root and the user of this process are served. The socket has mode 0600 before it appears at its path.
//  3. A socket file at which no process listens is replaced. A socket at which a supervisor answers, and a file that is not a
//     socket, are left alone.
//  4. After Close, Run returns within 30 ms, and the socket file is removed.
//
// Requests that need a bundle file fail: those for reloads, transient daemons and the bundle itself with status 409, those for a
// job with 404; the list of jobs is empty. docs/openapi.yaml describes the requests.
package control
