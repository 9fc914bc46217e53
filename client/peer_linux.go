package client

import (
	"net"
	"os"
	"syscall"
)

// PIDNamespace is the inode number of the pid namespace of this process (pid_namespaces(7)); 0 if it cannot be learnt, and elsewhere than on
// Linux. Process IDs of a supervisor whose [Bundle] has another one are not those that this process would use.
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

// foreign reports whether a path is not a file of root or of our own user.
func foreign(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid()
}

// peer says of the other side whether it is in this pid namespace or one below it (the kernel gives others the number 0),
// and whether it is root or our own user.
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
