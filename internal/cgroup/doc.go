// Package cgroup puts daemons into control groups of their own (version 2, Linux), with limits, and below the one that this
// process is in.
//
// Guarantees:
//
//  1. Nobody else is touched: the group of this process is divided only if all processes in it are ours.
//  2. A group is made anew for each life of a daemon, so that its counters and limits are that life's, unless somebody may stay in it
//     (child.KillProcess).
//  3. What is in a group can be ended as a whole, whatever it has become: by cgroup.kill (Linux 5.14), or frozen and killed one by one.
//  4. Close undoes all of it.
//
// The rules are those of the kernel's Documentation/admin-guide/cgroup-v2.rst: a group that gives controllers to groups below it
// has no processes itself, so this process moves into a group beside those of the daemons.
package cgroup
