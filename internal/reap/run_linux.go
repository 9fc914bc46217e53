package reap

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Run reaps orphans until done is closed. The main goroutine calls it, once whatever ends the program runs elsewhere.
func (r *Reaper) Run(done <-chan struct{}) {
	defer onMainThread()()
	wake := make(chan os.Signal, 1) // signals are not a queue: a token means that there may be any number of zombies
	signal.Notify(wake, unix.SIGCHLD)
	defer signal.Stop(wake)
	isDone := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	for {
		r.drain(isDone, r.report) // the first time too: a shell that executed us may have left zombies
		select {
		case <-done:
			return
		case <-wake:
		}
	}
}

// onMainThread keeps the calling goroutine on the main thread until the function that it returns is called.
func onMainThread() (release func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		runtime.UnlockOSThread()
		panic("reap: not on the main thread; let the main goroutine call it, after runtime.LockOSThread in an init function")
	}
	return runtime.UnlockOSThread
}

func (r *Reaper) report(pid int, status syscall.WaitStatus) {
	r.reaped.Add(1)
	if r.onOrphan != nil {
		r.onOrphan(pid, status)
	}
}

// drain reaps every orphan that has ended, and says whether the main thread has no children left. It looks at stop now
// and then, since processes that fork without end can keep it busy for ever.
func (r *Reaper) drain(stop func() bool, report func(int, syscall.WaitStatus)) (empty bool) {
	for n := 1; ; n++ {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, unix.WNOHANG|unix.WNOTHREAD, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // ECHILD
			return true
		case pid == 0:
			return false
		default:
			report(pid, status)
		}
		if n%64 == 0 && stop() {
			return false
		}
	}
}
