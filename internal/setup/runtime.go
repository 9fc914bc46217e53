package setup

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
)

// tuneRuntime makes the Go runtime small. The variables GOGC and GOMEMLIMIT are meant for daemons written in Go, and the
// runtime has obeyed them by now; this undoes it. There is no limit of our own: with 1000 daemons, or full rings of logs, the
// live heap would be above it, and the collector would run all the time. GOMAXPROCS may make it one, not more: two are enough
// for what a supervisor does; 64 cost 2 MB and 16 threads. (With 1000 the runtime has made 250 threads before this.)
func tuneRuntime() {
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0))) // before the next collection, for which a quarter of them get threads
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
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
