package peer

import (
	"sync"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// A Family is the processes that we have started for a daemon and that live: its own, its steps and its probes. Its zero value
// has none. Its methods may be called by any goroutine.
type Family struct {
	mu       sync.Mutex
	starting int
	members  map[member]struct{}
}

// A member is a process: its number can be another one's later, but not with the same time of its start.
type member struct {
	pid   int
	start uint64
}

// Spawn lets spawner start a process, which is a member until its end.
func (f *Family) Spawn(spawner child.Spawner, spec *child.Spec) (child.Process, error) {
	f.mu.Lock()
	f.starting++
	f.mu.Unlock()
	var m member
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.starting--
		if m.start != 0 {
			if f.members == nil {
				f.members = map[member]struct{}{}
			}
			f.members[m] = struct{}{}
		}
	}()
	p, err := spawner.Spawn(spec)
	if err != nil {
		return nil, err
	}
	m = member{p.PID(), proc.Read(p.PID()).Start} // its number is its own: nobody has waited for it
	return &process{Process: p, family: f, member: m}, nil
}

// Has reports whether a child of ours is a member. It may be one of which we do not know yet as long as one is starting: a
// process runs before who has started it is told so.
func (f *Family) Has(child proc.Stat) (has, starting bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, has = f.members[member{child.PID, child.Start}]
	return has, f.starting > 0
}

// A process is a member that takes itself out.
type process struct {
	child.Process
	family *Family
	member member
}

// Wait implements child.Process.
func (p *process) Wait() child.Exit {
	exit := p.Process.Wait()
	p.family.mu.Lock()
	defer p.family.mu.Unlock()
	delete(p.family.members, p.member)
	return exit
}
