package client

import (
	"net"
	"os"
	"syscall"
)

// PIDNamespace returns the inode number of the PID namespace of this process (pid_namespaces(7)); 0 if it is not known, and on
// other systems than Linux. If the [Bundle] of a supervisor has another number, its process IDs are not valid in this process.
func PIDNamespace() uint64 {
	info, err := os.Stat("/proc/self/ns/pid")
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino
}

// foreign reports whether path is not a file that belongs to root or to our own user.
func foreign(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid()
}

// peer reports whether the process on the other side is in this PID namespace or a descendant of it (for others, the kernel
// returns process ID 0), and whether it runs as root or as our own user.
func peer(conn *net.UnixConn) (near, known bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, false, err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return false, false, err
	}
	if credErr != nil {
		return false, false, os.NewSyscallError("getsockopt", credErr)
	}
	return cred.Pid != 0, cred.Uid == 0 || int(cred.Uid) == os.Geteuid(), nil
}
