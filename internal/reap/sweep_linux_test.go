package reap

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

const (
	// soon is a deadline, and a bound, that is short.
	soon = 600 * time.Millisecond // enough for an obedient one in an emulated machine
	// patient is a bound for tests of what happens, not of when: on a busy machine a process that was killed needs its
	// time to end.
	patient = 20 * time.Second
	// slack is what a busy machine may add to a time.
	slack = 3 * time.Second
)

type sweepParams struct {
	Orphans []string // kinds
	// Deadline from the start of the sweep on, negative if it has passed; 0 means none.
	Deadline time.Duration
	Bound    time.Duration
	Scan     bool
	// Waited starts a deaf process that a goroutine of the program waits for.
	Waited bool
	// Unwaited starts a process that ends and that nobody waits for.
	Unwaited bool
	// NoKill drops CAP_KILL first.
	NoKill bool
	// NoProc hides /proc.
	NoProc bool
	// Late waits for the end of the orphans after the sweep.
	Late bool
	// Times the sweep is done; the fastest is reported.
	Times int
}

type sweepResult struct {
	Swept  Swept
	Took   time.Duration
	Output string // lines "kind: word", of the orphans
	Left   int    // processes, after the sweep
	Waited string // how the process of Waited ended
}

// orphans are shell scripts. Each writes a line to fd 3 when it is ready, and may write to fd 3 what happens to it. Those that
// trap a signal are busy: a shell that is about to read when the signal comes would run the trap after the read only.
var orphans = map[string]string{
	"obedient": `echo ready >&3; exec sleep 1000`,
	"deaf":     `trap "" TERM; echo ready >&3; exec sleep 1000`,
	"session":  `exec setsid sh -c 'trap "" TERM; echo ready >&3; exec sleep 1000'`,
	"telling":  `trap "echo telling: term >&3" TERM; echo ready >&3; while :; do :; done`,
	// The child of an obedient orphan becomes ours when the orphan has ended.
	"family": `sh -c 'trap "echo family: term >&3; exit" TERM; echo ready >&3; while :; do :; done' & wait`,
	// Each process of these starts the next and ends. Those of the second kind are in sessions that are not ours, like
	// those that daemons leave behind.
	"runners":         fmt.Sprintf(runners, ""),
	"session-runners": fmt.Sprintf(runners, "setsid"),
	// These two are stopped, by stoppedRole.
	"stopped":      `kill -STOP $$; exec sleep 1000`,
	"stopped-deaf": `trap "" TERM; kill -STOP $$; exec sleep 1000`,
	"nobody":       `echo ready >&3; exec sleep 1000`,
}

const runners = `export script='trap "" TERM; sh -c "$script" & exit 0'; trap "" TERM
for i in 1 2 3 4 5 6 7 8; do %s sh -c "$script" & done
echo ready >&3`

// stoppedRole makes an orphan of a stopped process: it ends once its child has stopped.
func stoppedRole() {
	cmd := exec.Command("/bin/sh", "-c", os.Args[2])
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "ready")}
	must(cmd.Start())
	var status syscall.WaitStatus
	_, err := syscall.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil)
	must(err)
	if !status.Stopped() {
		must(fmt.Errorf("not stopped: %v", status))
	}
	fmt.Fprintln(cmd.ExtraFiles[0], "ready")
}

// orphan starts an orphan. It runs on a thread that is not the main one.
func orphan(kind string, ready *os.File) error {
	cmd := exec.Command("/bin/sh", "-c", `sh -c "$0" & exit 0`, orphans[kind])
	switch {
	case strings.HasPrefix(kind, "stopped"):
		cmd = exec.Command("/proc/self/exe", "stopped", orphans[kind])
		cmd.Args[0] = roleName
	case kind == "nobody":
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.ExtraFiles = []*os.File{ready}
	return cmd.Run()
}

func sweepRole() {
	var p sweepParams
	roleParams(&p)
	r := &Reaper{scan: p.Scan}
	output, ready, err := os.Pipe()
	must(err)
	lines := bufio.NewReader(output)
	waited := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, kind := range p.Orphans {
			must(orphan(kind, ready))
			line, err := lines.ReadString('\n')
			must(err)
			if line != "ready\n" {
				must(fmt.Errorf("%s: %s", kind, line))
			}
		}
		if p.Waited {
			cmd := exec.Command("/bin/sh", "-c", orphans["deaf"])
			cmd.ExtraFiles = []*os.File{ready}
			must(cmd.Start())
			_, err := lines.ReadString('\n')
			must(err)
			go func() { waited <- fmt.Sprint(cmd.Wait()) }()
		}
		if p.Unwaited {
			cmd := exec.Command("/bin/true")
			must(cmd.Start())
			must(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
		}
	}()
	r.Run(done)
	if p.NoKill {
		must(dropCap(unix.CAP_KILL))
	}
	if p.NoProc {
		must(unix.Mount("none", "/proc", "tmpfs", 0, ""))
	}

	var result sweepResult
	for range max(1, p.Times) {
		var deadline time.Time
		start := time.Now()
		if p.Deadline != 0 {
			deadline = start.Add(p.Deadline)
		}
		result.Swept = r.Sweep(deadline, p.Bound)
		if took := time.Since(start); result.Took == 0 || took < result.Took {
			result.Took = took
		}
	}
	if p.NoProc {
		must(unix.Unmount("/proc", 0))
	}
	if p.Waited && !result.Swept.Left {
		result.Waited = <-waited
	}
	result.Left = processes()
	must(ready.Close())
	if result.Left == 0 || p.Late {
		out, err := io.ReadAll(lines)
		must(err)
		result.Output = string(out)
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
}

func TestSweep(t *testing.T) {
	type want struct {
		reaped, killed int
		min, max       time.Duration
		output         string
	}
	type test struct {
		name   string
		params sweepParams
		want   want
	}
	const never = time.Hour
	basic := []test{
		{"nothing", sweepParams{Times: 20}, want{max: TermTime / 20}},
		{"obedient", sweepParams{Orphans: []string{"obedient", "obedient"}}, want{reaped: 2}},
		{"family", sweepParams{Orphans: []string{"family"}}, want{reaped: 2, output: "family: term\n"}},
		{"deaf", sweepParams{Orphans: []string{"deaf", "session", "stopped-deaf"}}, want{reaped: 3, killed: 3, min: TermTime}},
		{"waited for", sweepParams{Orphans: []string{"obedient"}, Waited: true, Deadline: soon}, want{reaped: 1, min: soon}},
	}
	// These need not be tried everywhere.
	more := []test{
		{"nothing, deadline past", sweepParams{Times: 20, Deadline: -1}, want{max: TermTime / 20}},
		{"obedient, long deadline", sweepParams{Orphans: []string{"obedient"}, Deadline: never}, want{reaped: 1}},
		{"stopped", sweepParams{Orphans: []string{"stopped"}}, want{reaped: 1}},
		{"deaf, long deadline", sweepParams{Orphans: []string{"deaf"}, Deadline: never}, want{reaped: 1, killed: 1, min: TermTime}},
		{"deaf, short deadline", sweepParams{Orphans: []string{"deaf"}, Deadline: soon}, want{reaped: 1, killed: 1, min: soon}},
		{"term comes once", sweepParams{Orphans: []string{"telling"}}, want{reaped: 1, killed: 1, min: TermTime, output: "telling: term\n"}},
		{"deadline past: no term", sweepParams{Orphans: []string{"telling", "deaf"}, Deadline: -1}, want{reaped: 2, killed: 2}},
	}
	each(t, places, func(t *testing.T, p place) {
		tests := basic
		if p.user == pidns.Self && !p.scan {
			tests = slices.Concat(basic, more)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				params, want := tt.params, tt.want
				params.Scan, params.Bound = p.scan, patient
				if want.max == 0 {
					want.max = want.min + slack
				}
				var got sweepResult
				for range 3 { // on a machine that is very busy it is late now and then; one that waits for too long is late each time
					got = sweepResult{}
					if p.run(t, "sweep", params, &got); got.Took <= want.max {
						break
					}
				}
				if got.Swept.Left || got.Left != 0 {
					t.Errorf("left is %t, and there are %d processes", got.Swept.Left, got.Left)
				}
				if got.Swept.Reaped != want.reaped || got.Swept.Killed != want.killed {
					t.Errorf("reaped %d, killed %d, want %d, %d", got.Swept.Reaped, got.Swept.Killed, want.reaped, want.killed)
				}
				if got.Took < want.min || got.Took > want.max {
					t.Errorf("took %v, want %v to %v", got.Took, want.min, want.max)
				}
				if got.Output != want.output {
					t.Errorf("got output %q, want %q", got.Output, want.output)
				}
				if params.Waited && got.Waited != "signal: killed" {
					t.Errorf("a process of ours ended with %q, want its own status", got.Waited)
				}
			})
		}
	})
}

// A process that forks and ends again and again is never there when it is looked for.
func TestSweepEndsForkRunners(t *testing.T) {
	each(t, placesOfSelf(), func(t *testing.T, p place) {
		params := sweepParams{Orphans: []string{"session-runners"}, Deadline: soon, Bound: patient, Scan: p.scan}
		var got sweepResult
		p.run(t, "sweep", params, &got)
		t.Logf("%+v", got)
		if got.Swept.Left || got.Left != 0 || got.Swept.Killed == 0 {
			t.Errorf("got %+v, want nothing left", got)
		}
		// In our own session only PID 1 is sure to win. A subreaper can but race, and the scheduler decides.
		params.Orphans, params.Bound = []string{"runners"}, soon
		p.run(t, "sweep", params, &got)
		t.Logf("%+v", got)
		if got.Took > soon+soon+slack {
			t.Errorf("took %v, want %v", got.Took, soon+soon)
		}
		if got.Left > 0 && !got.Swept.Left {
			t.Errorf("there are %d processes left, and it does not say so", got.Left)
		}
	})
}

// Even if there is no time left, everybody gets SIGKILL.
func TestSweepTooLate(t *testing.T) {
	each(t, placesOfSelf(), func(t *testing.T, p place) {
		var got sweepResult
		p.run(t, "sweep", sweepParams{Orphans: []string{"deaf"}, Deadline: -time.Hour, Bound: soon, Scan: p.scan, Late: true}, &got)
		if got.Took > slack {
			t.Errorf("took %v", got.Took)
		}
	})
}

// A process that has ended, and that whoever started it does not wait for, keeps nobody waiting.
func TestSweepPassesOverForeignZombies(t *testing.T) {
	each(t, places, func(t *testing.T, p place) {
		var got sweepResult
		p.run(t, "sweep", sweepParams{Unwaited: true, Scan: p.scan, Times: 5, Bound: soon}, &got)
		if (got.Swept != Swept{}) || got.Took > slack || got.Left != 1 {
			t.Errorf("got %+v, want nothing reaped, at once, and the zombie still there", got)
		}
	})
}

// Without CAP_KILL root may not kill processes of other users, although kill(-1) says that it did.
func TestSweepReturnsAlthoughItMayNotKill(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for a process of another user")
	}
	each(t, placesOfSelf(), func(t *testing.T, p place) {
		params := sweepParams{Orphans: []string{"nobody"}, NoKill: true, Deadline: soon, Bound: soon, Scan: p.scan}
		var got sweepResult
		p.run(t, "sweep", params, &got)
		if got.Took < soon || got.Took > soon+soon+slack || !got.Swept.Left || got.Left != 1 {
			t.Errorf("got %+v, want one process left after %v", got, soon+soon)
		}
		// It does not wait for a far deadline either.
		params.Deadline = time.Hour
		p.run(t, "sweep", params, &got)
		if got.Took < TermTime || got.Took > TermTime+soon+slack || !got.Swept.Left || got.Left != 1 {
			t.Errorf("got %+v, want one process left after %v", got, TermTime+soon)
		}
	})
}

// PID 1 needs no /proc. A subreaper cannot know whom to signal, but it reaps, and returns in time.
func TestSweepWithoutProc(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to hide /proc")
	}
	pidns.Self.Require(t)
	var got sweepResult
	placesOfSelf()[0].run(t, "sweep", sweepParams{Orphans: []string{"obedient", "deaf"}, NoProc: true, Deadline: soon, Bound: patient}, &got)
	if got.Swept.Reaped != 2 || got.Swept.Killed != 1 || got.Left != 0 {
		t.Errorf("PID 1: got %+v", got)
	}
	p := place{user: pidns.Self}
	p.run(t, "sweep", sweepParams{Orphans: []string{"obedient"}, NoProc: true, Deadline: soon, Bound: soon}, &got)
	if got.Took > soon+soon+slack || !got.Swept.Left || got.Left != 1 {
		t.Errorf("subreaper: got %+v", got)
	}
	p.run(t, "sweep", sweepParams{NoProc: true, Times: 5}, &got)
	if got.Took > slack || (got.Swept != Swept{}) {
		t.Errorf("subreaper without orphans: got %+v", got)
	}
}

// dropCap takes a capability from the calling thread, which is the one that sends signals.
func dropCap(bit uint) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[bit/32].Effective &^= 1 << (bit % 32)
	return unix.Capset(&hdr, &data[0])
}
