package reap

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/proc"
	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

type stressParams struct {
	Children int  // run by os/exec, 16 at a time
	Orphans  int  // made by 4 helpers at the same time
	Usual    bool // reap with the usual wait4(-1) loop instead
	NoPidfd  bool // the system refuses them
}

type stressResult struct {
	Lost, Wrong, Orphans, Left, Threads int
	CPU, Wall                           time.Duration
}

// stressRole runs children with distinct exit codes beside orphans, and counts the codes that were not learnt.
func stressRole() {
	var p stressParams
	roleParams(&p)
	if p.NoPidfd {
		refusePidfds()
	}
	start := time.Now()
	done := make(chan struct{})
	allReaped := make(chan struct{})
	r := &Reaper{}
	r.onOrphan = func(int, syscall.WaitStatus) {
		if r.Reaped() == int64(p.Orphans) {
			close(allReaped)
		}
	}
	dir, err := os.MkdirTemp("", "reap")
	must(err)
	defer os.RemoveAll(dir)
	exit, orphans := filepath.Join(dir, "exit"), filepath.Join(dir, "orphans")
	must(os.WriteFile(exit, tinyExit, 0o755))
	must(os.WriteFile(orphans, tinyOrphans, 0o755))
	var result stressResult
	go func() {
		defer close(done)
		var lost, wrong atomic.Int64
		var g sync.WaitGroup
		for range 4 {
			g.Go(func() { wait(0, orphans, p.Orphans/4, &lost, &wrong) })
		}
		next := make(chan int)
		for range 16 {
			g.Go(func() {
				for i := range next {
					wait(i&255, exit, i&255, &lost, &wrong)
				}
			})
		}
		for i := range p.Children {
			next <- i
		}
		close(next)
		g.Wait()
		if !p.Usual {
			<-allReaped
		}
		result.Lost, result.Wrong = int(lost.Load()), int(wrong.Load())
		result.Threads = len(proc.PIDs("/proc/self/task"))
	}()
	if p.Usual {
		usualLoop(done)
	} else {
		r.Run(done)
	}
	result.Orphans = int(r.Reaped())
	result.Left = processes()
	result.Wall = time.Since(start)
	var ru syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
	result.CPU = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	must(json.NewEncoder(os.Stdout).Encode(result))
}

// refusePidfds makes the kernel refuse pidfd_open, as old profiles do, before package os has asked for it.
func refusePidfds() {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_PIDFD_OPEN, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})))
	if errno != 0 {
		must(os.NewSyscallError("seccomp", errno))
	}
	if _, err := unix.PidfdOpen(os.Getpid(), 0); err != unix.EPERM {
		must(fmt.Errorf("pidfd_open: got %v, want %v", err, unix.EPERM))
	}
}

// wait runs a program with n arguments, and checks its exit code.
func wait(code int, program string, n int, lost, wrong *atomic.Int64) {
	err := exec.Command(program, make([]string, n)...).Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil && code == 0:
	case errors.As(err, &exit) && exit.ExitCode() == code:
	case errors.Is(err, unix.ECHILD):
		lost.Add(1)
	default:
		wrong.Add(1)
		fmt.Fprintln(os.Stderr, "got", err, "want code", code)
	}
}

// usualLoop is what other supervisors do: reap whatever has ended. It is here to show that the stress would notice.
func usualLoop(done <-chan struct{}) {
	for {
		pid, err := syscall.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid > 0 || err == unix.EINTR {
			continue
		}
		select {
		case <-done:
			return
		default:
			runtime.Gosched()
		}
	}
}

func TestNoStatusIsLost(t *testing.T) {
	each(t, slices.DeleteFunc(slices.Clone(places), func(p place) bool { return p.scan }), func(t *testing.T, p place) {
		params := stressParams{Children: 10_000, Orphans: 20_000} // for make soak
		switch {
		case os.Getenv("SIDECAR_INIT_SOAK") != "":
		case testing.Short() || p.user == pidns.Nobody:
			params = stressParams{Children: 200, Orphans: 400}
		default:
			params = stressParams{Children: 1000, Orphans: 2000}
		}
		for _, params.NoPidfd = range []bool{false, true} {
			var got stressResult
			p.run(t, "stress", params, &got)
			t.Logf("%+v: %+v", params, got)
			if got.Lost != 0 || got.Wrong != 0 || got.Orphans != params.Orphans || got.Left != 0 {
				t.Errorf("%+v: lost %d and got %d wrong of %d statuses, reaped %d of %d orphans, left %d processes",
					params, got.Lost, got.Wrong, params.Children, got.Orphans, params.Orphans, got.Left)
			}
		}
	})
}

// Were this not to lose any, then TestNoStatusIsLost would prove nothing.
func TestUsualLoopLosesStatuses(t *testing.T) {
	params := stressParams{Children: 300, Orphans: 100, Usual: true}
	var got stressResult
	pidns.Self.Require(t)
	placesOfSelf()[0].run(t, "stress", params, &got)
	t.Logf("lost %d of %d", got.Lost, params.Children)
	if got.Lost == 0 {
		t.Error("no status was lost")
	}
}
