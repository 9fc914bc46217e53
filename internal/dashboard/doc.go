// Package dashboard is a web page about a bundle: daemons, jobs, a log, events, the timeline and what a reload would do. It is served by a
// process that is a client of the control socket, and knows nothing else.
//
// Guarantees:
//
//  1. Without Options.Actions nothing can be changed through it. With it, who changes something has the token, in a header that no other
//     site's page can make a browser send.
//  2. A request for another host than those that are allowed is refused, so that no name that somebody else controls leads to it (DNS
//     rebinding). On an address that is not loopback, reading takes the token too.
//  3. The page loads nothing from elsewhere, and runs no script but its own (Content-Security-Policy). What daemons have written is text on it.
//  4. As many streams as Options.Streams go on at a time, and each ends with its reader.
package dashboard
