// Package cgroup puts daemons into control groups of their own (version 2, Linux), with limits, below the group that this process is
// in.
//
// Guarantees:
//
//  1. Other processes are not affected: the group of this process is divided only if all processes in it are ours.
//  2. A group is created for each process of a daemon, so that its counters and limits are those of that process, unless members may
//     outlive it (child.KillProcess).
//  3. Everything in a group can be ended at once, whatever it has become: by cgroup.kill (Linux 5.14), or by freezing it and killing
//     its processes one by one.
//  4. Close undoes all of it.
//
// The rules are those of the kernel's Documentation/admin-guide/cgroup-v2.rst: a group that enables controllers for groups below it
// must not have processes itself, so this process moves into a group beside those of the daemons.
package cgroup
