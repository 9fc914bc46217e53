package seccomp

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// own are the system calls that other architectures do not have, or that have another name in x/sys there.
var own = map[string]uint32{"arch_prctl": unix.SYS_ARCH_PRCTL, "newfstatat": unix.SYS_NEWFSTATAT, "poll": unix.SYS_POLL}
