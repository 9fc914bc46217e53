package reap

import (
	"sync/atomic"
	"syscall"
	"time"
)

// TermTime is how long Sweep waits, at most, between SIGTERM and SIGKILL.
const TermTime = time.Second

// A Reaper reaps orphans. The zero Reaper is ready for use; Run and Sweep are called one after the other, by the main
// goroutine.
type Reaper struct {
	// onOrphan, if not nil, is called on the main thread for each orphan that was reaped. It is for tests.
	onOrphan func(pid int, status syscall.WaitStatus)

	reaped atomic.Int64
	// scan makes Sweep find children by the parents of all processes, as it does on a kernel without
	// CONFIG_PROC_CHILDREN.
	scan bool
}

// Reaped is the number of orphans that were reaped so far. It may be called from any goroutine.
func (r *Reaper) Reaped() int64 { return r.reaped.Load() }

// Swept is what a Sweep did.
type Swept struct {
	Reaped int // orphans that ended during the sweep
	Killed int // those among them that needed SIGKILL
	// Left: something is alive still, because it may not be killed or did not end in time. It ends with PID 1.
	Left bool
}
