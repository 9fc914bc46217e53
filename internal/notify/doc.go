// Package notify sends events to those who have asked for them: HTTP servers, unix sockets and programs.
//
// Guarantees:
//
//  1. A sink that is slow, down or hanging delays nothing but itself: not a daemon, not another sink, not the end.
//  2. Each sink gets each event once, in order, or the event is counted as dropped: delivered and dropped add up to the events
//     that were made. (An answer can get lost after its event was taken; that event comes again, with the same ID.)
//  3. What cannot be delivered is tried again, after a time that doubles, until it is 10 minutes old. Meanwhile the history
//     of the hub is the queue; what falls out of it is dropped.
//  4. That a sink fails, that it works again, and how many events were dropped is printed, without a flood of lines.
//  5. Run returns by the time that Finish is given. Until then what is left gets a last chance.
//  6. A program that is a sink has a process group of its own and the public environment, and is killed with what it has
//     started when its time is over. It is not started on the main thread.
package notify
