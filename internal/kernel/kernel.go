// Package kernel finds out what the kernel allows this process to do.
//
// Kernels, sandboxes and seccomp profiles refuse system calls in different ways (EINVAL, ENOSYS, EPERM). What happens on another process
// says nothing about a feature, since that process may have ended or belong to another user. So each feature is tried on this process
// itself, and any refusal means that it is missing.
//
// Guarantees:
//
//  1. A check changes nothing: no signal is sent, no limit is set, nothing stays open.
//  2. An answer is a value that is passed to the code that uses the feature, so that a test can say no.
package kernel

import "sync"

// Features are the answers. The zero value is a kernel that has nothing to offer, and with which everything must work.
type Features struct {
	// Pidfd: there are file descriptors for processes (pidfd_open, Linux 5.3), which can be polled for their end.
	Pidfd bool
	// PidfdSignal: a signal can be sent through one (pidfd_send_signal, Linux 5.1).
	PidfdSignal bool
	// GroupSignal: so can one to the process group, even after its leader was collected (Linux 6.9).
	GroupSignal bool
	// PeerPidfd: a unix socket tells of the process at its other side by a pidfd (SO_PEERPIDFD, Linux 6.5).
	PeerPidfd bool
	// CloseRange: close_range works (Linux 5.9).
	CloseRange bool
	// Subreaper: orphans can be adopted without being PID 1 (PR_SET_CHILD_SUBREAPER, Linux 3.4).
	Subreaper bool
	// SysAdmin and Perfmon: this process, or what root executes, can have CAP_SYS_ADMIN and CAP_PERFMON outside of all user
	// namespaces. Whoever has one of them reads the environment of other processes through Landlock (seen on Linux 6.18).
	SysAdmin, Perfmon bool
}

// Landlock returns the version of Landlock; 0 where there is none, or a part of it is refused. It is not among the Features, since an embedder
// has no use for it, and the answer can leave a goroutine that rests for ever (see landlocks).
var Landlock = sync.OnceValue(askLandlock)

// Own returns the features that this process has. They are asked for at the first call.
var Own = sync.OnceValue(ask)
