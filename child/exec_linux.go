package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// osProcess is a process of [Exec].
//
// Signals to the main process, and its collection, are left to package os, which knows by itself what pidfds are good for.
// The process group outlives its leader. Where a pidfd reaches it even then (reach), the leader is collected at once. Elsewhere
// only its number does, and that stays the group's as long as the leader is not collected, or anybody is in the group: so the
// leader is collected when it was the last.
type osProcess struct {
	*system
	cmd    *exec.Cmd
	exited func()
	// pidfd is our own handle, in the netpoller: it tells of the exit without a thread that waits. nil where there is none.
	pidfd *os.File
	group bool // what is left of the process group is our business
	reach bool
	mark  string // in the environment of its descendants
	began uint64 // in ticks

	mu        sync.Mutex // nobody collects the leader while its number is in use
	ended     bool       // the main process has
	collected bool
	empty     bool // nobody is left in the group who would be our business
}

func start(cmd *exec.Cmd, s *system, spec *Spec) (*osProcess, error) {
	p := &osProcess{system: s, cmd: cmd, group: spec.KillMode != KillProcess, mark: mark(spec.Env), began: ticks()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// Not SysProcAttr.PidFD, which makes the start fail where clone refuses the flag. The process is not collected yet, so
	// that its number is still its own.
	if s.kernel.Pidfd {
		if fd, err := unix.PidfdOpen(p.PID(), unix.PIDFD_NONBLOCK); err == nil {
			p.pidfd = os.NewFile(uintptr(fd), "pidfd")
		} else if fd, err := unix.PidfdOpen(p.PID(), 0); err == nil { // before Linux 5.10
			_ = unix.SetNonblock(fd, true) // for the netpoller; else a thread waits
			p.pidfd = os.NewFile(uintptr(fd), "pidfd")
		}
	}
	p.reach = p.pidfd != nil && s.kernel.GroupSignal
	return p, nil
}

// PID implements [Process].
func (p *osProcess) PID() int { return p.cmd.Process.Pid }

// Signal implements [Process].
func (p *osProcess) Signal(sig syscall.Signal, group bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case group && !p.empty && p.reach:
		return p.signalGroup(sig)
	case group && !p.empty:
		return unix.Kill(-p.PID(), sig)
	case group || p.ended:
		return os.ErrProcessDone
	}
	return p.cmd.Process.Signal(sig)
}

func (p *osProcess) signalGroup(sig syscall.Signal) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := conn.Control(func(fd uintptr) {
		sendErr = unix.PidfdSendSignal(int(fd), sig, nil, kernel.SignalProcessGroup)
	}); err != nil {
		return err
	}
	return sendErr
}

// Wait implements [Process].
func (p *osProcess) Wait() Exit {
	if p.pidfd != nil {
		if conn, err := p.pidfd.SyscallConn(); err == nil {
			_ = conn.Read(func(fd uintptr) bool { // an error means: wait in a thread, below
				ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				n, err := unix.Poll(ready, 0)
				return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
			})
		}
	}
	exit := p.status()
	p.mu.Lock()
	p.ended, p.empty = true, !p.group
	p.mu.Unlock()
	if p.reach || !p.group {
		p.collect()
	}
	if p.exited != nil {
		p.exited()
	}
	return exit
}

// siginfo is the siginfo_t of waitid.
type siginfo struct {
	signo, errno, code int32
	_                  [^uint(0) >> 63]int32 // the rest is aligned like a pointer
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

// status waits for the end, and returns what the leader, which stays uncollected, says of it.
func (p *osProcess) status() Exit {
	var info siginfo
	var usage unix.Rusage
	for {
		err := unix.Waitid(unix.P_PID, p.PID(), (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT, &usage)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return Exit{Code: 255, Err: os.NewSyscallError("cannot learn its exit status: waitid", err)}
		}
		break
	}
	exit := Exit{CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), MaxRSS: int64(usage.Maxrss) * 1024} // in kilobytes
	switch info.code {
	case cldExited:
		exit.Code = int(info.status)
	default:
		exit.Signal, exit.Core = syscall.Signal(info.status), info.code == cldDumped
	}
	return exit
}

// The codes of a siginfo_t that matter: CLD_EXITED and CLD_DUMPED.
const (
	cldExited = 1
	cldDumped = 3
)

// collect lets the leader's number go.
func (p *osProcess) collect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.collected {
		p.collected = true
		_ = p.cmd.Wait() // all that it could say is known
	}
}

// Left implements [Process].
func (p *osProcess) Left() bool {
	p.mu.Lock()
	empty, keep := p.empty, !p.reach && !p.collected
	p.mu.Unlock()
	switch {
	case empty:
		return false
	case keep:
		if alive, _ := p.members(); alive > 0 {
			return true
		}
		// A scan is no snapshot: it can miss those that fork and end. From here on the number is the group's only as long as
		// somebody is in it, and a signal could reach another group if all of them ended, and the system had used up all
		// other numbers, since it was asked last.
		p.collect()
	}
	if !errors.Is(p.Signal(0, true), unix.ESRCH) {
		// There is somebody, or there are zombies that nobody collects. Where no member is seen at all, /proc does not tell.
		if alive, dead := p.members(); alive > 0 || dead == 0 {
			return true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = true
	return false
}

// members returns how many members of the group live, and how many wait to be collected.
func (p *osProcess) members() (alive, dead int) {
	for _, s := range p.procs.Look() {
		switch {
		case s.Group != p.PID():
		case s.Dead():
			dead++
		default:
			alive++
		}
	}
	return alive, dead
}

// Release implements [Process].
func (p *osProcess) Release(kill bool) {
	if kill && p.Signal(unix.SIGKILL, true) == nil {
		p.collect() // from here on the number is only asked for, which takes no look at /proc in nearly all cases
		ctx, cancel := context.WithTimeout(context.Background(), killWait)
		defer cancel()
		awaitEmpty(ctx, p)
	}
	p.mu.Lock()
	p.empty = true // nobody is to be signalled any more
	p.mu.Unlock()
	p.collect()
	if p.pidfd != nil {
		p.pidfd.Close()
	}
}

// maySetGroups reports whether setgroups would be allowed.
func maySetGroups() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil || data[0].Effective>>unix.CAP_SETGID&1 == 0 {
		return false
	}
	denied, _ := os.ReadFile("/proc/self/setgroups") // of the user namespace
	return string(denied) != "deny\n"
}

// setParentDeath makes the kernel send sig to the process when the thread that starts it ends. Threads of the Go runtime end with
// the program, but for those that a goroutine has locked and left so (go.dev/issue/27505), which none here does.
func setParentDeath(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
