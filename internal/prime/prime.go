// Package prime makes a process fit to be a supervisor: what it has inherited shall neither hurt it nor reach its daemons.
//
// Guarantees:
//
//  1. After Process, a process that this program starts has an empty signal mask, and none of the descriptors that this
//     program was started with besides 0, 1 and 2.
//  2. The environment is returned, and no longer stands in /proc/PID/environ, where daemons of the same user could read
//     what is private to others. (They still can in /proc/PID/mem if they may ptrace this process; only another user or
//     fewer capabilities help against that.)
//  3. Nothing here is fatal: what cannot be done is returned as a warning, of one line.
//
// Process is called once, first thing, by the main goroutine on the main thread. It starts no process.
package prime

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
)

// Process prepares this process. It returns the environment that it was started with, and warnings.
func Process() (environ, warnings []string) {
	var p primer
	environ = os.Environ()
	p.do("signals that were blocked at the start stay blocked in daemons", clearMask)
	p.do("descriptors that were open at the start stay open in daemons", closeOnExec)
	p.do("private variables can be read in /proc/PID/environ", eraseEnviron)
	if os.Getpid() != 1 {
		p.do("orphans are left to PID 1", becomeSubreaper)
	}
	tuneRuntime()
	WarmThreads(4)
	return environ, p.warnings
}

type primer struct{ warnings []string }

// do calls f; what it means that f has failed comes before its error.
func (p *primer) do(meaning string, f func() error) {
	if err := f(); err != nil {
		p.warnings = append(p.warnings, meaning+": "+err.Error())
	}
}

// Signals are those that a supervisor takes by signal.Notify: all that can be caught, but for SIGCHLD (the reaper's),
// SIGURG and SIGPROF (the Go runtime's) and 32 to 34 (the C library's).
//
// Taking them is what keeps ignored signals from daemons, too: an ignored signal stays ignored across execve, and the Go
// runtime sets to the default, in a process that it starts, only those that it handles. For the same reason unwanted ones
// are taken and dropped, SIGPIPE among them, never ignored (signal.Ignore).
func Signals() []os.Signal {
	var all []os.Signal
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34:
		default:
			all = append(all, sig)
		}
	}
	return all
}

// tuneRuntime makes the Go runtime small, and deaf to variables that are meant for daemons written in Go.
func tuneRuntime() {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
	if os.Getenv("GOMAXPROCS") == "" {
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
