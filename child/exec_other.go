//go:build !linux

package child

import (
	"os/exec"
	"syscall"
)

// osProcess is a process of Exec, with what POSIX has: what is left of the process group is killed right before the leader
// is collected, while its number cannot be another's.
type osProcess struct {
	cmd       *exec.Cmd
	exited    func()
	killGroup bool
}

func start(cmd *exec.Cmd, killGroup bool) (*osProcess, error) {
	return &osProcess{cmd: cmd, killGroup: killGroup}, cmd.Start()
}

// PID implements Process.
func (p *osProcess) PID() int { return p.cmd.Process.Pid }

// Signal implements Process.
func (p *osProcess) Signal(sig syscall.Signal, group bool) error {
	if !group {
		return p.cmd.Process.Signal(sig)
	}
	if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		return err
	}
	return syscall.Kill(-p.PID(), sig)
}

// Wait implements Process.
func (p *osProcess) Wait() Exit {
	err := p.cmd.Wait()
	if p.killGroup {
		// A group outlives its leader, and as long as it does its number is not given to another process.
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	if p.exited != nil {
		p.exited()
	}
	return exitOf(p.cmd, err)
}

// Release implements Process.
func (p *osProcess) Release(bool) {}

func maxRSS(ru *syscall.Rusage) int64 { return ru.Maxrss }
