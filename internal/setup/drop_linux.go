package setup

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Drop lets the kernel drop, before they reach this process, signals that can only hurt it, except those that are routed.
// It is called when all routes are known, after Take, and again when they have changed: what is routed now is heard again.
//
// Real-time signals queue, one by one: some seconds of sigqueue(3) by one daemon, and no thread does anything else than to
// handle them for minutes (and the Go runtime's own, 33, which is for AllThreadsSyscall: nobody here calls that by then).
//
// SIGXFSZ and SIGTTOU come from our own writes, to a file at its limit and to a terminal with tostop in whose background we
// are. A write that fails with EFBIG is told otherwise, and with SIGTTOU ignored the terminal takes what we write.
//
// PID 1 shall also survive the signals of faults. Go takes one for a fault unless it was sent by kill(2) or tgkill(2), and
// ends the program: one sent by sigqueue(3) is enough. Of these Go needs SIGSEGV alone, for a nil pointer; it divides by
// zero without the processor's help. A real fault still ends a process that ignores its signal.
//
// The disposition is SIG_IGN for this process alone. The processes that it starts have the default, since the Go runtime
// sets that for all signals that it has installed its handler for, and does not know of this. So others are left alone.
func Drop(routed func(syscall.Signal) bool) error {
	handler, err := disposition(syscall.SIGTERM)
	if err != nil {
		return err
	}
	for _, sig := range dropped(os.Getpid() == 1) {
		now, err := disposition(sig)
		switch {
		case err != nil:
		case routed(sig) && now[0] == sigIgn: // all of these were taken (Take), so it was us
			err = setDisposition(sig, handler)
		case !routed(sig) && now[0] == handler[0]: // with cgo 33 belongs to the C library
			err = setDisposition(sig, sigaction{sigIgn})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropped are the signals that Drop is about.
func dropped(pid1 bool) []syscall.Signal {
	all := []syscall.Signal{syscall.SIGXFSZ, syscall.SIGTTOU}
	if pid1 {
		all = append(all, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSTKFLT, syscall.SIGSYS)
	}
	for sig := syscall.Signal(33); sig <= 64; sig++ {
		all = append(all, sig)
	}
	return all
}

const (
	sigDfl = 0 // SIG_DFL
	sigIgn = 1 // SIG_IGN
)

// A sigaction is larger than the kernel's on every architecture. On all that Go runs on but MIPS it begins with the handler.
type sigaction [8]uintptr

const maskSize = 8 // of the kernel's sigset_t

// disposition returns what is done about a signal: it begins with the handler, SIG_DFL, or SIG_IGN.
func disposition(sig syscall.Signal) (sigaction, error) {
	var old sigaction
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&old)), maskSize, 0, 0); errno != 0 {
		return old, os.NewSyscallError("rt_sigaction", errno)
	}
	return old, nil
}

// setDisposition sets what disposition has returned, or SIG_DFL or SIG_IGN alone.
func setDisposition(sig syscall.Signal, action sigaction) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0); errno != 0 {
		return os.NewSyscallError("rt_sigaction", errno)
	}
	return nil
}
