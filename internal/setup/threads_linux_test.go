package setup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/reap"
)

// exhaustedRole does what a supervisor does while no process and no thread can be made.
func exhaustedRole() {
	var cold bool
	decodeParams(&cold)
	if !cold {
		Process()
	}
	taken := Take()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReader(os.Stdin)
		cmd := exec.Command("/bin/cat")
		cmd.Stdin = nil
		hold, err := cmd.StdinPipe()
		must(err)
		must(cmd.Start())
		fmt.Println("ready")
		_, err = in.ReadByte() // no more pids from here on
		must(err)

		var g sync.WaitGroup
		full, drain := fullPipe()
		for range 2 { // stdout that nobody reads, and something else that blocks
			g.Go(func() { _, err := unix.Write(full, []byte{0}); must(err) })
		}
		for range 4 {
			g.Go(func() {
				if err := exec.Command("/bin/true").Run(); !errors.Is(err, unix.EAGAIN) {
					must(fmt.Errorf("a process was started: %v", err))
				}
			})
		}
		for range 3 {
			runtime.GC()
			must(syscall.Kill(os.Getpid(), syscall.SIGHUP))
			<-taken
		}
		must(hold.Close())
		must(cmd.Wait())
		drain()
		g.Wait()
		fmt.Println("survived")
	}()
	(&reap.Reaper{}).Run(done)
}

// fullPipe returns the write end of a full pipe, and what makes room in it.
func fullPipe() (w int, drain func()) {
	var p [2]int
	must(unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	for {
		if _, err := unix.Write(p[1], make([]byte, 4096)); err == unix.EAGAIN {
			break
		}
	}
	must(unix.SetNonblock(p[1], false))
	return p[1], func() {
		_, err := unix.Read(p[0], make([]byte, 1<<16))
		must(err)
	}
}

// pidsCgroup makes a cgroup that can limit the number of processes.
func pidsCgroup(t *testing.T) string {
	for _, base := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := filepath.Join(base, "sidecar-init-test-"+strconv.Itoa(os.Getpid())+"-"+filepath.Base(t.TempDir()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if _, err := os.Stat(filepath.Join(dir, "pids.max")); err == nil {
			return dir
		}
	}
	t.Skip("there is no writable cgroup with the pids controller")
	return ""
}

// The Go runtime dies when it needs a thread and cannot make one. Without WarmThreads it died in each of 10 runs.
func TestSurvivesWithoutPids(t *testing.T) {
	for range 3 {
		if out, err := exhaust(t, false); err != nil || !strings.HasSuffix(out, "survived\n") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// exhaust runs exhaustedRole in a cgroup in which nothing can be forked.
func exhaust(t *testing.T, cold bool) (out string, err error) {
	dir := pidsCgroup(t)
	cmd := plain.command(self, "exhausted", encode(cold))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	for name, value := range map[string]string{"cgroup.procs": strconv.Itoa(cmd.Process.Pid), "pids.max": "1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stdin.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			break
		}
	}
	return all.String(), cmd.Wait()
}

func TestWarmThreads(t *testing.T) {
	var got primed
	plain.run(t, nil, "primed", nil, &got)
	n, err := strconv.Atoi(got.Threads)
	if err != nil || n < warm+3 || n > 16 { // the main one, sysmon, the template thread
		t.Errorf("got %q threads, want %d or some more", got.Threads, warm+3)
	}
}
