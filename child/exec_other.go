//go:build !linux

package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// osProcess is a process of [Exec], with what POSIX has: a group outlives its leader, and as long as it does its number is
// not given to another process.
type osProcess struct {
	cmd    *exec.Cmd
	exited func()
	group  bool // what is left of the process group is our business

	mu    sync.Mutex
	empty bool // nobody is left in the group
}

func start(cmd *exec.Cmd, _ *system, spec *Spec) (*osProcess, error) {
	return &osProcess{cmd: cmd, group: spec.KillMode != KillProcess}, cmd.Start()
}

// PID implements [Process].
func (p *osProcess) PID() int { return p.cmd.Process.Pid }

// Signal implements [Process].
func (p *osProcess) Signal(sig syscall.Signal, group bool) error {
	if !group {
		return p.cmd.Process.Signal(sig)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.empty {
		return os.ErrProcessDone
	}
	return syscall.Kill(-p.PID(), sig)
}

// Wait implements [Process].
func (p *osProcess) Wait() Exit {
	err := p.cmd.Wait()
	if p.exited != nil {
		p.exited()
	}
	return exitOf(p.cmd, err)
}

// Strays implements [Process]: nothing here tells.
func (p *osProcess) Strays() bool { return false }

// Left implements [Process].
func (p *osProcess) Left() bool {
	if !p.group || !errors.Is(p.Signal(0, true), syscall.ESRCH) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.group && !p.empty
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = true
	return false
}

// Release implements [Process].
func (p *osProcess) Release(kill bool) {
	if kill && p.Signal(syscall.SIGKILL, true) == nil {
		ctx, cancel := context.WithTimeout(context.Background(), killWait)
		defer cancel()
		awaitEmpty(ctx, p)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = true
}

// exitOf translates what Wait has left in cmd.
func exitOf(cmd *exec.Cmd, err error) Exit {
	state := cmd.ProcessState
	if state == nil {
		return Exit{Code: 255, Err: fmt.Errorf("cannot learn its exit status: %w", err)}
	}
	exit := Exit{CPU: state.UserTime() + state.SystemTime()}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok {
		if ws.Signaled() {
			exit.Signal, exit.Core = ws.Signal(), ws.CoreDump()
		} else {
			exit.Code = ws.ExitStatus()
		}
	}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		exit.MaxRSS = ru.Maxrss
	}
	return exit
}

// maySetGroups reports whether setgroups would be allowed.
func maySetGroups() bool { return os.Geteuid() == 0 }

func setParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
