// Package notify sends events to the sinks of a bundle: HTTP servers, unix sockets and programs.
//
// Guarantees:
//
//  1. A sink that is slow, down or hanging delays only itself: no daemon, no other sink, and not the end.
//  2. Each sink gets each event once, in order, or the event is counted as dropped: delivered and dropped add up to all events. (If the
//     answer to a delivered event is lost, the event is sent again, with the same ID.)
//  3. An event that cannot be delivered is tried again, after a delay that doubles, until it is 10 minutes old. Meanwhile the history of
//     the hub is the queue; events that it no longer keeps are dropped.
//  4. The log says when a sink fails, when it works again and how many events were dropped, without a flood of lines.
//  5. Run returns by the time that is passed to Finish. Until then, undelivered events get a last chance.
//  6. A program that is a sink has a process group of its own and the public environment. When its time is over it is killed with
//     everything that it has started. It is not started on the main thread.
package notify
