// Package oom finds out which processes were killed by the kernel's OOM killer.
//
// Guarantees:
//
//  1. The answer is in child.Exit, so it is there before anybody learns of the exit, and the same for all.
//  2. It is looked up where the exit is waited for, never on an actor's goroutine.
//  3. If the counter cannot be read, nothing is reported. No kill is reported for two processes, or for a process that the supervisor has
//     killed itself.
//
// The kernel does not say what killed a process, only how many processes of a control group the OOM killer has killed; it counts before
// it kills. If the count has risen by one, and a process died of a SIGKILL that is not ours, it was the OOM killer.
package oom

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// A Spawner is a child.Spawner whose processes know in the end whether it was the OOM killer. Make one with New.
type Spawner struct {
	spawner child.Spawner
	read    func() (kills uint64, ok bool)

	mu     sync.Mutex
	last   uint64
	open   uint64    // kills that no process has been found for
	openAt time.Time // when the last of them was seen
}

// New returns a Spawner that starts processes by spawner, and looks at the counter of this process's cgroup.
func New(spawner child.Spawner) *Spawner { return newSpawner(spawner, cgroupKills()) }

func newSpawner(spawner child.Spawner, read func() (uint64, bool)) *Spawner {
	s := &Spawner{spawner: spawner, read: read}
	s.last, _ = read()
	return s
}

// Spawn implements child.Spawner.
func (s *Spawner) Spawn(spec *child.Spec) (child.Process, error) {
	s.took(false) // so that a kill from before, of somebody else, is not taken for a new one
	p, err := s.spawner.Spawn(spec)
	if err != nil {
		return nil, err
	}
	return &process{Process: p, spawner: s}, nil
}

type process struct {
	child.Process
	spawner *Spawner
	killed  atomic.Bool // by us
}

// Signal implements child.Process.
func (p *process) Signal(sig syscall.Signal, group bool) error {
	if sig == syscall.SIGKILL {
		p.killed.Store(true)
	}
	return p.Process.Signal(sig, group)
}

// Wait implements child.Process.
func (p *process) Wait() child.Exit {
	exit := p.Process.Wait()
	// The OOM killer sends SIGKILL, to the process itself or to what a shell waits for, which then ends with 137.
	exit.OOM = p.spawner.took(exit.Status() == 128+int(syscall.SIGKILL) && !p.killed.Load())
	return exit
}

// openTime is how long a kill that hit none of our own children, but one of theirs, waits for a process that ends of it.
const openTime = 2 * time.Second

// took looks at the counter, and with claim takes a kill, if there is one that no other process has taken.
func (s *Spawner) took(claim bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.openAt) > openTime {
		s.open = 0
	}
	if n, ok := s.read(); ok && n > s.last {
		s.open += n - s.last
		s.openAt, s.last = now, n
	}
	if !claim || s.open == 0 {
		return false
	}
	s.open--
	return true
}
