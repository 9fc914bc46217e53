package seccomp

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// own are the system calls that other architectures do not have, or that have another name in x/sys there.
var own = map[string]uint32{"newfstatat": unix.SYS_FSTATAT}
