package child

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pidfdSignalProcessGroup is PIDFD_SIGNAL_PROCESS_GROUP of linux/pidfd.h (Linux 6.9): the signal goes to the process group
// whose ID is the pidfd's process. x/sys does not have it yet.
const pidfdSignalProcessGroup = 4

// osProcess is a process of Exec. Its *exec.Cmd passes from Spawn to Wait; other methods use only what may be used at
// any time.
type osProcess struct {
	cmd    *exec.Cmd
	exited func()
	// pidfd is our own handle, in the netpoller: it tells of the exit without a thread that waits, and reaches the process
	// group without the risk that its number is another's by now. nil where the system has no pidfd (before Linux 5.4).
	pidfd *os.File
	// killLate: the pidfd reaches the process group, even after the leader was collected. Elsewhere what is left of the
	// group is killed right before that, while the leader's number cannot be another's.
	killLate  bool
	killGroup bool
}

func start(cmd *exec.Cmd, killGroup bool) (*osProcess, error) {
	fd := -1
	cmd.SysProcAttr.PidFD = &fd
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &osProcess{cmd: cmd, killGroup: killGroup}
	if fd >= 0 {
		if err := unix.SetNonblock(fd, true); err != nil { // for the netpoller
			unix.Close(fd)
			return p, nil
		}
		p.pidfd = os.NewFile(uintptr(fd), "pidfd")
		p.killLate = !errors.Is(p.signalGroup(0), unix.EINVAL)
	}
	return p, nil
}

// PID implements Process.
func (p *osProcess) PID() int { return p.cmd.Process.Pid }

// Signal implements Process.
func (p *osProcess) Signal(sig syscall.Signal, group bool) error {
	switch {
	case group && p.killLate:
		return p.signalGroup(sig)
	case group:
		if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil { // collected: the number may be another's
			return err
		}
		return unix.Kill(-p.PID(), sig)
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
		sendErr = unix.PidfdSendSignal(int(fd), sig, nil, pidfdSignalProcessGroup)
	}); err != nil {
		return err
	}
	return sendErr
}

// Wait implements Process.
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
	if p.killGroup && !p.killLate {
		p.killUncollected()
	}
	err := p.cmd.Wait()
	if p.exited != nil {
		p.exited()
	}
	return exitOf(p.cmd, err)
}

// killUncollected kills what is left of the group of a leader that has ended and is not collected yet.
func (p *osProcess) killUncollected() {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, p.PID(), &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = unix.Kill(-p.PID(), unix.SIGKILL)
}

// killWait bounds the time that Release waits for the killed rest of a process group. A process that was killed needs the CPU
// once more to end, and on a busy machine that takes longer than one would think: with 100 ms one start in 20 came too early,
// at a load of 15 on 2 CPUs. Only a zombie that nobody reaps, or a process stuck in the kernel, makes it wait so long.
const killWait = 500 * time.Millisecond

// Release implements Process.
func (p *osProcess) Release(kill bool) {
	if p.pidfd == nil {
		return
	}
	defer p.pidfd.Close()
	if !kill || !p.killLate || p.signalGroup(unix.SIGKILL) != nil {
		return
	}
	// Those processes are no children of ours, so nothing tells when they are gone; it takes some 100 µs.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(killWait); time.Now().Before(deadline); <-tick.C {
		if p.signalGroup(0) != nil {
			return
		}
	}
}

// maxRSS is in bytes; Linux counts kilobytes.
func maxRSS(ru *syscall.Rusage) int64 { return int64(ru.Maxrss) * 1024 }
