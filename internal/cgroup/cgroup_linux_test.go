package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
)

// leaf makes a group for a test, where there is a hierarchy of version 2; the kernel's files of all of them are there without controllers.
func leaf(t *testing.T) *Leaf {
	t.Helper()
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(top, &fs) != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		l := &Leaf{Dir: filepath.Join(top, fmt.Sprintf("sidecar-init-%d-%s", os.Getpid(), strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())))}
		if err := os.Mkdir(l.Dir, 0o755); err != nil {
			t.Skip("there is no cgroup that can be written: ", err)
		}
		t.Cleanup(func() {
			l.Kill()
			if !l.await(10 * time.Second) {
				t.Error("somebody is left")
			}
			if err := os.Remove(l.Dir); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		})
		return l
	}
	t.Skip("there is no cgroup of version 2")
	return nil
}

// inside starts a shell in a group.
func inside(t *testing.T, l *Leaf, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `echo 0 >"$1/cgroup.procs"; `+script, "sh", l.Dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestKill: who has left the parents and the session ends too, with and without cgroup.kill.
func TestKill(t *testing.T) {
	for _, way := range []string{"kill", "one by one"} {
		t.Run(way, func(t *testing.T) {
			l := leaf(t)
			inside(t, l, "(setsid sleep 1000 & setsid sleep 1000 &); echo x; sleep 1000")
			if !l.Populated() {
				t.Fatal("it has nobody")
			}
			if way == "kill" {
				l.Kill()
			} else {
				l.killEach()
			}
			if !l.await(10 * time.Second) {
				t.Error("somebody is left")
			}
		})
	}
}

// TestPrepare: a group for the next life is one without those of the last, unless they may stay; what is frozen is not.
func TestPrepare(t *testing.T) {
	l := leaf(t)
	for _, kill := range []bool{false, true} {
		inside(t, l, "echo x; sleep 1000")
		if err := l.Freeze(true); err != nil {
			t.Fatal(err)
		}
		if err := l.prepare(nil, kill); err != nil {
			t.Fatal(err)
		}
		if l.Populated() == kill {
			t.Errorf("kill %t: somebody is there: %t", kill, l.Populated())
		}
		if text, err := os.ReadFile(filepath.Join(l.Dir, "cgroup.freeze")); err != nil || string(text) != "0\n" {
			t.Errorf("frozen: %q, %v", text, err)
		}
	}
	if err := l.prepare(map[string]string{"memory.none": "1"}, true); err != nil {
		t.Errorf("a file that the kernel does not have: got %v", err)
	}
	if err := l.prepare(map[string]string{"cgroup.type": "nonsense"}, true); err == nil || !strings.HasPrefix(err.Error(), "cgroup.type: ") {
		t.Errorf("a value that it does not take: got %v", err)
	}
}

// TestFreeze: who is frozen does nothing, and can be ended.
func TestFreeze(t *testing.T) {
	l := leaf(t)
	file := filepath.Join(t.TempDir(), "ticks")
	inside(t, l, "echo x; while :; do echo x >>"+file+"; sleep 0.01; done")
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	wait := func(what string, holds func() bool) {
		t.Helper()
		for begin := time.Now(); !holds(); time.Sleep(time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				t.Fatal(what)
			}
		}
	}
	wait("it does not run", func() bool { return size() > 0 })
	if err := l.Freeze(true); err != nil {
		t.Fatal(err)
	}
	wait("it is not frozen", func() bool { v, _ := field(filepath.Join(l.Dir, "cgroup.events"), "frozen"); return v == 1 })
	before := size()
	time.Sleep(100 * time.Millisecond) // nothing happens
	if size() != before {
		t.Error("it runs")
	}
	if err := l.Freeze(false); err != nil {
		t.Fatal(err)
	}
	wait("it does not go on", func() bool { return size() > before })
	if err := l.Freeze(true); err != nil {
		t.Fatal(err)
	}
	l.Kill()
	if !l.await(10 * time.Second) {
		t.Error("who is frozen cannot be killed")
	}
}

// A real is a process of the test, as the spawner of a daemon returns it.
type real struct {
	child.Process
	cmd     *exec.Cmd
	signals []syscall.Signal
}

func (p *real) PID() int { return p.cmd.Process.Pid }
func (p *real) Signal(sig syscall.Signal, _ bool) error {
	p.signals = append(p.signals, sig)
	return p.cmd.Process.Signal(sig)
}

func (p *real) Wait() child.Exit {
	_ = p.cmd.Wait()
	return child.Exit{Signal: p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal()}
}
func (p *real) Left() bool { return false }

type spawner func(*child.Spec) (child.Process, error)

func (f spawner) Spawn(s *child.Spec) (child.Process, error) { return f(s) }

// TestProcess: after a stop the daemon has ended when its group is empty; after an end by itself the others stay.
func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode child.KillMode
		stop bool
		left bool // somebody lives afterwards
	}{
		{"an end", child.KillGroup, false, true},
		{"a stop", child.KillGroup, true, false},
		{"a stop of the main process", child.KillProcess, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := leaf(t)
			spec := &child.Spec{Name: "web", KillMode: tt.mode, Program: child.Program{Attr: &child.Attr{Cgroup: &child.Cgroup{Dir: l.Dir}}}}
			var made *real
			p, err := l.Spawn(spawner(func(*child.Spec) (child.Process, error) {
				made = &real{cmd: inside(t, l, "(setsid sleep 1000 &); echo x; exec sleep 1000")}
				return made, nil
			}), spec)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.(child.Freezer).Freeze(true); err != nil { // a stop thaws
				t.Fatal(err)
			}
			if tt.stop && tt.mode == child.KillGroup {
				err = p.Signal(syscall.SIGTERM, true)
			} else {
				_ = l.Freeze(false)
				err = p.Signal(syscall.SIGTERM, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			if exit := p.Wait(); exit.Signal != syscall.SIGTERM || exit.OOM {
				t.Errorf("got %+v", exit)
			}
			for begin := time.Now(); p.Left() && time.Since(begin) < 10*time.Second; time.Sleep(time.Millisecond) {
			}
			if l.Populated() != tt.left {
				t.Errorf("somebody lives: %t, want %t", l.Populated(), tt.left)
			}
			if !slices.Equal(made.signals, []syscall.Signal{syscall.SIGTERM}) {
				t.Errorf("got the signals %v", made.signals)
			}
		})
	}
}

// TestLimits: what is written for which limits.
func TestLimits(t *testing.T) {
	none := int64(0)
	l := &Leaf{Dir: "/x", given: controllers}
	for _, tt := range []struct {
		limits Limits
		want   string
	}{
		{Limits{}, "cpu.max=max 100000 cpu.weight=100 memory.low=0 memory.max=max memory.oom.group=1 memory.swap.max=max pids.max=max"},
		{
			Limits{Memory: 64 << 20, Reservation: 1 << 20, Swap: &none, Quota: 50_000, Weight: 10, Pids: 7},
			"cpu.max=50000 100000 cpu.weight=10 memory.low=1048576 memory.max=67108864 memory.oom.group=1 memory.swap.max=0 pids.max=7",
		},
		{Limits{Quota: 5000, Period: 20_000}, "cpu.max=5000 20000 cpu.weight=100 memory.low=0 memory.max=max memory.oom.group=1 memory.swap.max=max pids.max=max"},
	} {
		var got []string
		for name, value := range l.Attr(tt.limits).Files {
			got = append(got, name+"="+value)
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", tt.limits, s, tt.want)
		}
	}
	if got := (Limits{Memory: 1, Pids: 1}).Controllers(); !slices.Equal(got, []string{"memory", "pids"}) {
		t.Errorf("got the controllers %v", got)
	}
	tree := &Tree{given: []string{"pids"}}
	if got := tree.Lacks(Limits{Memory: 1, Pids: 1}); !slices.Equal(got, []string{"memory"}) {
		t.Errorf("got that it lacks %v", got)
	}
}
