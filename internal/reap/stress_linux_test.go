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

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

type stressParams struct {
	Children int  // run by os/exec, 16 at a time
	Orphans  int  // made by 4 helpers at the same time
	Usual    bool // reap with the usual wait4(-1) loop instead
}

type stressResult struct {
	Lost, Wrong, Orphans, Left, Threads int
	CPU, Wall                           time.Duration
}

// stressRole runs children with distinct exit codes beside orphans, and counts the codes that were not learnt.
func stressRole() {
	var p stressParams
	roleParams(&p)
	start := time.Now()
	done := make(chan struct{})
	allReaped := make(chan struct{})
	r := &Reaper{}
	r.OnOrphan = func(int, syscall.WaitStatus) {
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
		result.Threads = len(readDirInts("/proc/self/task"))
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
		var got stressResult
		p.run(t, "stress", params, &got)
		t.Logf("%d children, %d orphans: %+v", params.Children, params.Orphans, got)
		if got.Lost != 0 || got.Wrong != 0 || got.Orphans != params.Orphans || got.Left != 0 {
			t.Errorf("lost %d and got %d wrong of %d statuses, reaped %d of %d orphans, left %d processes",
				got.Lost, got.Wrong, params.Children, got.Orphans, params.Orphans, got.Left)
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
