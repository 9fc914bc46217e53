package prime

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// memoryLimit is where the garbage collector begins to work against the growth of the heap. A supervisor needs less. With
// it, a spike of 30 MB goes back to the system within 2 s, without it within 5 to 10 s, if anything is allocated at all.
// It is not a bound: beyond it the collector takes three times the CPU time, and no memory is refused.
const memoryLimit = 16 << 20

// tuneRuntime makes the Go runtime small. The variables GOGC and GOMEMLIMIT are meant for daemons written in Go, and the
// runtime has obeyed them by now; this undoes it. GOMAXPROCS is left alone where it is set.
func tuneRuntime(environ []string) {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(memoryLimit)
	if !slices.ContainsFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, "GOMAXPROCS=") }) {
		// Two are enough for what a supervisor does; 64 cost 2 MB and 16 threads.
		runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	}
}

// WarmThreads makes the Go runtime have n idle threads. It never ends them, so that it needs no new one later, when the
// container may have run out of pids: then it would die, and as PID 1 take all with it ("newosproc", go.dev/issue/19163).
func WarmThreads(n int) {
	var started, ended sync.WaitGroup
	release := make(chan struct{})
	started.Add(n)
	for range n {
		// A goroutine that is locked has its thread to itself, so n at the same time need n of them. They are unlocked
		// before they end, since otherwise the thread would end too.
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			started.Done()
			<-release
		})
	}
	started.Wait()
	close(release)
	ended.Wait()
}
