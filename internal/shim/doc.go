// Package shim starts programs with attributes that package os/exec cannot set: resource limits, capabilities,
// no-new-privileges, oom_score_adj, a wall (Landlock), a control group; and with another user, which os/exec cannot set without a trace in the supervisor: its
// child shares the memory of PID 1 until it executes the program, and the kernel makes memory undumpable whose process
// changes its user.
//
// They belong to the calling process or thread, so PID 1 cannot set them for a child without having them itself for a
// moment. Instead the child first becomes this same program again (/proc/self/exe), whose Main sets them for itself and
// then executes the daemon: a chain, as with s6-softlimit or setpriv, without a further binary in the image.
//
// Guarantees:
//
//  1. The process is the daemon's from the start: its process ID, session, descriptors, signal mask and dispositions are
//     what they would be without a shim.
//  2. The daemon is not executed unless everything has been set. What failed is reported as the supervisor would have
//     reported it: an execve that fails is told by its error number, everything else in words.
//  3. Neither arguments nor environment of the daemon are in those of the shim. They come through a pipe that no other
//     process gets.
//  4. Where no attribute is asked for there is no shim, and it costs nothing.
//
// # Capabilities
//
// cap_add and cap_drop mean what they mean to Docker, applied to what the supervisor has: its bounding set where it is
// root, else its permitted set. First those of cap_drop are taken away, then those of cap_add are given; ALL
// in cap_add is everything but cap_drop, ALL in cap_drop nothing but cap_add. To add what the supervisor does not
// have is an error. The result is the bounding set.
//
// For a daemon that is root it is the permitted and effective set too. For another one these are empty, as in Docker,
// except for capabilities that cap_add names one by one: those are inheritable and ambient too, so that the daemon
// has them. (In Docker they would be in the bounding set and of no use, which no file that says so can have meant.)
//
// To shrink the bounding set takes CAP_SETPCAP. A supervisor without it sets no-new-privileges instead: then no
// program that is executed later can have what is still in the bounding set.
package shim
