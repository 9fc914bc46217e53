// Package shim starts programs with attributes that package os/exec cannot set: resource limits, capabilities, no-new-privileges,
// oom_score_adj, a wall (Landlock), a control group; and with another user, which os/exec cannot set without a trace in the supervisor:
// its child shares the memory of PID 1 until it executes the program, and the kernel makes a process undumpable if one that shares its
// memory changes its user.
//
// These attributes belong to the calling process or thread, so PID 1 cannot set them for a child without having them itself for a
// moment. Instead the child first executes this program again (/proc/self/exe), whose Main sets the attributes for itself and then
// executes the daemon: a chain, as with s6-softlimit or setpriv, without another binary in the image.
//
// Guarantees:
//
//  1. The process is the daemon's from the start: its process ID, session, descriptors, signal mask and dispositions are the same as
//     without a shim.
//  2. The daemon is executed only if everything was set. A failure is reported as it would be without a shim: a failed execve by its
//     error number, everything else in words.
//  3. The daemon's arguments and environment are not those of the shim. They come through a pipe that no other process gets.
//  4. Without attributes there is no shim, and no cost.
//
// # Capabilities
//
// cap_add and cap_drop mean the same as in Docker, applied to the supervisor's own set: the bounding set if it is root, else the
// permitted set. First the capabilities of cap_drop are removed, then those of cap_add are added; ALL in cap_add means all but cap_drop,
// ALL in cap_drop means none but cap_add. To add what the supervisor does not have is an error. The result is the bounding set.
//
// For a daemon that runs as root it is also the permitted and effective set. For other users these are empty, as in Docker, except for
// capabilities that cap_add names one by one: those are also inheritable and ambient, so that the daemon has them. (In Docker they would
// be in the bounding set only and of no use, which no file that names them can have meant.)
//
// Reducing the bounding set needs CAP_SETPCAP. A supervisor without it sets no-new-privileges instead: then no program that is executed
// later can get what is still in the bounding set.
package shim
