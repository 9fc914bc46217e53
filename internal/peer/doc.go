// Package peer tells whose a process is that has connected to a unix socket of ours.
//
// The kernel says which process has connected (SO_PEERCRED), whoever has the connection now. That process is one from
// outside, such as that of docker exec, or one that a child of ours has started; and a Family says of a child whose it is.
// docs/adr/0032-peers.md says why not by its environment, session or user.
//
// Guarantees:
//
//  1. A process is taken for a relative of those only that were its ancestors, all at one moment while it lived.
//  2. A number that another process has by now is nobody: the kernel's handle of the peer (SO_PEERPIDFD, Linux 6.5) tells,
//     or else the time at which the process was started.
//  3. Who has left his parents, has ended, or cannot be told is Unknown; never from Outside.
package peer
