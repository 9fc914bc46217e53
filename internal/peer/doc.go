// Package peer finds out to which daemon a process belongs that has connected to our unix socket.
//
// The kernel tells which process has connected (SO_PEERCRED), even if another process uses the connection now. That process is either
// from outside, as with docker exec, or was started, directly or not, by a child of ours; a Family knows the daemon of each child.
// docs/adr/0032-peers.md says why its environment, session or user are not used.
//
// Guarantees:
//
//  1. A process is attributed only to processes that were its ancestors, all at one moment in its life.
//  2. A process ID that was reused is not attributed: the kernel's handle of the peer (SO_PEERPIDFD, Linux 6.5) tells, or else the
//     time at which the process was started.
//  3. A process that has left its ancestors, has ended, or cannot be attributed is Unknown; it never counts as Outside.
package peer
