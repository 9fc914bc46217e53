//go:build amd64 || arm64

package seccomp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// A Feature is what a kernel may lack, or a profile refuse.
type Feature struct {
	Name string
	// rules are those that refuse it; a rule without an Errno gets that of the refusal.
	rules []Rule
}

// Refuse is the filter that refuses the feature by this error.
func (f Feature) Refuse(errno syscall.Errno) Filter {
	var filter Filter
	for _, r := range f.rules {
		if r.Errno == 0 {
			r.Errno = errno
		}
		filter.Rules = append(filter.Rules, r)
	}
	return filter
}

// Errnos are the errors that refusals come with: EPERM of Docker's profile and others of that time, ENOSYS of old kernels, sandboxes and newer
// profiles, EINVAL of kernels that know the call and not the flag.
func Errnos() []syscall.Errno { return []syscall.Errno{unix.EPERM, unix.ENOSYS, unix.EINVAL} }

// Features are the features that sidecar-init uses where they are to be had, and can do without. The last one is all of them.
func Features() []Feature {
	exactly := func(index int, value uint32) *Arg { return &Arg{Index: index, Mask: ^uint32(0), Value: value} }
	flag := func(index int, value uint32) *Arg { return &Arg{Index: index, Mask: value, Value: value} }
	features := []Feature{
		// The arguments of clone3 are in memory, which a filter cannot see. Profiles that look at the flags of clone refuse clone3
		// with ENOSYS, since libc takes clone then.
		{"a pidfd from `clone`", []Rule{{Call: "clone", When: flag(0, unix.CLONE_PIDFD)}, {Call: "clone3", Errno: unix.ENOSYS}}},
		{"`pidfd_open`", []Rule{{Call: "pidfd_open"}}},
		{"`pidfd_send_signal`", []Rule{{Call: "pidfd_send_signal"}}},
		{"`pidfd_send_signal` to a group", []Rule{{Call: "pidfd_send_signal", When: flag(3, 4)}}}, // PIDFD_SIGNAL_PROCESS_GROUP
		{"`waitid` for a pidfd", []Rule{{Call: "waitid", When: exactly(0, unix.P_PIDFD)}}},
		{"`memfd_create`", []Rule{{Call: "memfd_create"}}},
		{"`close_range`", []Rule{{Call: "close_range"}}},
		{"`prctl(PR_SET_CHILD_SUBREAPER)`", []Rule{{Call: "prctl", When: exactly(0, unix.PR_SET_CHILD_SUBREAPER)}}},
		{"Landlock", []Rule{{Call: "landlock_create_ruleset"}, {Call: "landlock_add_rule"}, {Call: "landlock_restrict_self"}}},
	}
	all := Feature{Name: "all of these"}
	for _, f := range features {
		all.rules = append(all.rules, f.rules...)
	}
	return append(features, all)
}
