// Package dashboard is a web page about a bundle: daemons, jobs, a log, events, the timeline, and what a reload would do. The process
// that serves it is a client of the control socket and has no other source.
//
// Guarantees:
//
//  1. Without Options.Actions nothing can be changed through it. With it, a request that changes something needs the token, in a header
//     that another site's page cannot make a browser send.
//  2. A request for a host that is not allowed is refused, so a name that somebody else controls does not lead to it (DNS rebinding).
//     On an address that is not loopback, reading needs the token too.
//  3. The page loads nothing from elsewhere and runs only its own scripts (Content-Security-Policy). Output of daemons is shown as text.
//  4. At most Options.Streams streams are open at a time, and each ends when its reader does.
package dashboard
