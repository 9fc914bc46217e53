package shim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Main makes this process the daemon, if it is a shim, and does not return then. It is called first of all.
func Main() {
	if len(os.Args) != 3 || os.Args[1] != word {
		return
	}
	// Capabilities and user IDs belong to a thread, and the program gets those of the thread that executes it.
	runtime.LockOSThread()
	fd, err := strconv.Atoi(os.Args[2])
	if err != nil || fd < 3 {
		fmt.Fprintln(os.Stderr, "sidecar-init: "+word+" is for sidecar-init itself")
		os.Exit(64)
	}
	report := fd + 1
	unix.CloseOnExec(fd)
	unix.CloseOnExec(report)
	what, err := become(fd, report)
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		what += ": " + err.Error()
	}
	_, _ = unix.Write(report, fmt.Appendf(nil, "%c%d %s", failed, int(errno), what))
	os.Exit(126)
}

// become does what the request in fd says. It returns only if something cannot be done: what, and the error.
func become(fd, report int) (what string, err error) {
	b, err := readRequest(fd)
	if err != nil {
		return "cannot read the request", err
	}
	r, err := decode(b)
	if err != nil {
		return "cannot understand the request", err
	}
	unix.Close(fd)
	if r.PIDVariable != "" {
		r.env = set(r.env, r.PIDVariable, strconv.Itoa(os.Getpid()))
	}
	dir, err := unix.BytePtrFromString(r.dir)
	if err != nil {
		return "working directory", err
	}
	was, err := current()
	if err != nil {
		return "cannot read the capabilities", err
	}
	root := was.root
	if r.Credential != nil {
		root = r.Credential.Uid == 0
	}
	to := was
	if !r.Caps.none() {
		if to, err = r.Caps.apply(was, root); err != nil {
			return err.Error(), nil
		}
	}

	domain := -1
	if r.Wall != nil { // as long as files can be opened
		if domain, err = ruleset(r.Wall); err != nil {
			return wallError(err)
		}
		r.NoNewPrivileges = true // without it the kernel wants CAP_SYS_ADMIN
	}
	group := -1
	if r.Cgroup != "" { // before it is perhaps behind a wall, or another user
		if group, err = unix.Open(r.Cgroup+"/cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
			return "its control group", err
		}
	}
	if what, err := r.privileged(was, to); err != nil {
		return what, err
	}
	if group >= 0 { // from here on its limits hold
		zero := [1]byte{'0'} // the writer
		if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(group), uintptr(unsafe.Pointer(&zero[0])), 1); errno != 0 {
			return "its control group", errno
		}
	}
	if cred := r.Credential; cred != nil {
		if to.permitted != 0 && was.root && !root {
			if err := raw(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1); err != nil {
				return "cannot keep capabilities", err
			}
		}
		if err := setUser(cred); err != nil {
			return theUser, err
		}
	}
	if !r.Caps.none() {
		if what, err := setCaps(to); err != nil {
			return what, err
		}
		if lost := was.bounding &^ to.bounding; lost != 0 && !was.permitted.has(unix.CAP_SETPCAP) {
			r.NoNewPrivileges = true
		}
	}
	if r.NoNewPrivileges {
		if err := raw(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
			return "no-new-privileges", err
		}
	}
	if domain >= 0 {
		if err := raw(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(domain), 0); err != nil {
			return "its wall", err
		}
	}
	if r.dir != "" {
		if _, _, errno := unix.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(dir)), 0, 0); errno != 0 {
			return "working directory " + r.dir, errno
		}
	}
	said := [1]byte{executing}
	// As in raw: the limits hold by now, and a new thread can be one too many.
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(report), uintptr(unsafe.Pointer(&said[0])), 1)
	return theExec, syscall.Exec(r.path, r.argv, r.env)
}

// privileged does what needs the privileges that was has: from here on nothing allocates much, or starts a thread.
func (r *request) privileged(was, to privilege) (what string, err error) {
	if r.OOMScoreAdj != nil {
		value := strconv.Itoa(*r.OOMScoreAdj)
		fd, err := unix.Open("/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte(value))
			unix.Close(fd)
		}
		if err != nil {
			return "oom_score_adj " + value, err
		}
	}
	if was.permitted.has(unix.CAP_SETPCAP) {
		for c := range 64 {
			if (was.bounding &^ to.bounding).has(c) {
				if err := raw(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c)); err != nil {
					return "cannot drop the capability " + capSet(1<<c).String(), err
				}
			}
		}
	}
	if r.Umask != nil {
		unix.Umask(*r.Umask)
	}
	if len(r.CPUs) > 0 {
		var set unix.CPUSet
		for _, c := range r.CPUs {
			set.Set(c)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return "cpuset", err
		}
	}
	for _, l := range r.Rlimits {
		// Not by a raw system call: syscall.Exec would set back the soft limit of files that the Go runtime has raised.
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: uint64(l.Soft), Max: uint64(l.Hard)}); err != nil {
			return fmt.Sprintf("ulimit %s %d:%d", l.Name, l.Soft, l.Hard), err
		}
	}
	return "", nil
}

// setUser sets the groups and the user of this thread.
func setUser(cred *syscall.Credential) error {
	if !cred.NoSetGroups {
		groups := append(cred.Groups, 0) // so that there is a first one
		_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(cred.Groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
		if errno != 0 {
			return errno
		}
	}
	gid, uid := uintptr(cred.Gid), uintptr(cred.Uid)
	if err := raw(sysSetresgid, gid, gid, gid); err != nil {
		return err
	}
	return raw(sysSetresuid, uid, uid, uid)
}

// setCaps sets the capabilities of this thread, save for the bounding set.
func setCaps(to privilege) (what string, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		data[i].Effective = uint32(to.permitted >> (32 * i))
		data[i].Permitted = data[i].Effective
		data[i].Inheritable = uint32(to.inheritable >> (32 * i))
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return "cannot set its capabilities", err
	}
	if err := raw(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return "cannot clear its ambient capabilities", err
	}
	for c := range 64 {
		if to.ambient.has(c) {
			if err := raw(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c)); err != nil {
				return "cannot hand on the capability " + capSet(1<<c).String(), err
			}
		}
	}
	return "", nil
}

// current is what this thread has.
func current() (p privilege, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return p, err
	}
	p.permitted = capSet(data[1].Permitted)<<32 | capSet(data[0].Permitted)
	p.inheritable = capSet(data[1].Inheritable)<<32 | capSet(data[0].Inheritable)
	p.root = os.Geteuid() == 0
	for c := range 64 {
		in, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, uintptr(c), 0)
		if errno != 0 { // the kernel knows no more of them
			break
		}
		p.bounding |= capSet(in) << c
		in, _, errno = unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(c), 0, 0, 0)
		if errno == 0 {
			p.ambient |= capSet(in) << c
		}
	}
	return p, nil
}

// raw makes a system call on this thread, without a word to the scheduler, which could start a thread otherwise.
func raw(trap uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// readRequest reads what encode has made.
func readRequest(fd int) ([]byte, error) {
	var size [sizeLen]byte
	if err := readFull(fd, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxRequest {
		return nil, unix.E2BIG
	}
	b := make([]byte, n)
	return b, readFull(fd, b)
}

func readFull(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.EPIPE
		}
		b = b[n:]
	}
	return nil
}

// set sets a variable of an environment.
func set(env []string, name, value string) []string {
	var out []string
	for _, kv := range env {
		if len(kv) <= len(name) || kv[:len(name)+1] != name+"=" {
			out = append(out, kv)
		}
	}
	return append(out, name+"="+value)
}
