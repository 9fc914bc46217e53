package setup

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launchParams is what a process is to inherit.
type launchParams struct {
	Block, Ignore []int // signals
	Open          []int // descriptors, from the given number on
	Close         []int
	HideProc      bool
	Bare          bool // a read-only root, without /proc and /tmp
	UID           int  // 0: the same
	ByDescriptor  bool // execute an open file, whose name nobody can use later
	Name          string
}

// launchRole executes the role primed with what the params say.
func launchRole() {
	var p launchParams
	decodeParams(&p)
	argv := []string{p.Name, "primed", ""}
	path := self
	if p.Bare {
		path = makeBare()
	}
	exe, err := os.Open(path)
	must(err)
	null, err := os.Open("/dev/null")
	must(err)
	for _, fd := range p.Open {
		_, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD, fd) // the next one that is free: the Go runtime has some
		must(err)
	}
	if p.Bare || p.HideProc {
		must(unix.Mount("none", "/proc", "tmpfs", unix.MS_RDONLY, ""))
	}
	if p.UID != 0 {
		must(syscall.Setgroups(nil))
		must(syscall.Setgid(p.UID))
		must(syscall.Setuid(p.UID))
	}
	for _, fd := range p.Close {
		must(unix.Close(fd))
	}
	for _, sig := range p.Ignore {
		action := [4]uintptr{sigIgn}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
			must(errno)
		}
	}
	var mask unix.Sigset_t
	for _, sig := range p.Block {
		mask.Val[(sig-1)/64] |= 1 << ((sig - 1) % 64)
	}
	must(unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil))
	if p.ByDescriptor || p.HideProc {
		must(execFile(exe, argv))
	}
	must(syscall.Exec(path, argv, os.Environ()))
}

// makeBare leaves nothing writable, and nothing of /tmp. It returns where this program is now.
func makeBare() string {
	in, err := os.Open(self) // which may be in /tmp
	must(err)
	must(unix.Mount("none", "/tmp", "tmpfs", 0, "mode=0755"))
	out, err := os.OpenFile("/tmp/program", os.O_CREATE|os.O_WRONLY, 0o755)
	must(err)
	_, err = io.Copy(out, in)
	must(err)
	must(out.Close())
	must(unix.Mount("none", "/tmp", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	must(unix.Mount("/", "/", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	return "/tmp/program"
}

// execFile is execveat(fd, "", argv, env, AT_EMPTY_PATH).
func execFile(exe *os.File, argv []string) error {
	args, err := syscall.SlicePtrFromStrings(argv)
	must(err)
	env, err := syscall.SlicePtrFromStrings(os.Environ())
	must(err)
	empty, err := syscall.BytePtrFromString("")
	must(err)
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, exe.Fd(), uintptr(unsafe.Pointer(empty)),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}
