package child

import (
	"context"
	"time"
)

// killWait bounds the time that Release waits for the killed rest of a process group. A process that was killed needs the CPU
// once more to end, and on a busy machine that takes longer than one would think: with 100 ms one start in 20 came too early,
// at a load of 15 on 2 CPUs. Only a process stuck in the kernel makes it wait so long.
const killWait = 500 * time.Millisecond

// slowestLook is how far apart the looks of awaitEmpty are at most.
const slowestLook = 50 * time.Millisecond

// awaitEmpty waits until nobody is left in the process group of p, whose main process has ended, and reports whether it has
// come to that before ctx was done. The members are no children of ours, so nothing tells of their end; most end at the same
// time as the main process, and who does not may take long.
func awaitEmpty(ctx context.Context, p Process) bool {
	wait := time.Millisecond
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for p.Left() {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
		wait = min(2*wait, slowestLook)
		timer.Reset(wait)
	}
	return true
}
