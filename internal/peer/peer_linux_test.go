package peer

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// asker is argv[0] of this binary when it is to connect, and then to hand its connection on.
const asker = "sidecar-init-asker"

func TestMain(m *testing.M) {
	if os.Args[0] == asker {
		conn, err := net.Dial("unix", os.Args[1])
		if err != nil {
			panic(err)
		}
		file, err := conn.(*net.UnixConn).File()
		if err != nil {
			panic(err)
		}
		if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(file.Fd())), nil, 0); err != nil {
			panic(err)
		}
		var b [1]byte
		_, _ = os.Stdin.Read(b[:]) // until the test ends it
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A call is a child of ours that has connected, and that lives until end.
type call struct {
	cmd    *exec.Cmd
	conn   net.Conn // our side
	handed *os.File // its side, which it has handed to us
	end    func()
}

func connect(t *testing.T) *call {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "pair")
	defer unix.Close(pair[0])
	cmd := exec.Command("/proc/self/exe", path)
	cmd.Args[0], cmd.ExtraFiles, cmd.Stderr = asker, []*os.File{theirs}, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	ended := false
	c := &call{cmd: cmd, end: func() {
		if !ended {
			ended = true
			in.Close()
			_ = cmd.Wait() // it ends with 0 or was killed
		}
	}}
	t.Cleanup(c.end)
	if c.conn, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	oob := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), oob, 0)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	c.handed = os.NewFile(uintptr(fds[0]), "handed")
	t.Cleanup(func() { c.handed.Close() })
	return c
}

// ways runs a test with the kernel's handle of a peer and, as before Linux 6.5, without.
func ways(t *testing.T, f func(t *testing.T, pidfd bool)) {
	t.Run("start time", func(t *testing.T) { f(t, false) })
	t.Run("pidfd", func(t *testing.T) {
		if !kernel.Own().PeerPidfd {
			t.Skip("the kernel has no SO_PEERPIDFD")
		}
		f(t, true)
	})
}

// TestHanded: a connection is of who has connected, whoever has it; and of nobody when that one has ended.
func TestHanded(t *testing.T) {
	ways(t, func(t *testing.T, pidfd bool) {
		c := connect(t)
		p := of(c.conn, pidfd, proc.Read)
		if _, err := c.handed.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		if place, from, _ := p.Look(); place != Within || from.PID != c.cmd.Process.Pid {
			t.Errorf("got %v, %+v, want our child %d", place, from, c.cmd.Process.Pid)
		}
		c.end()
		if place, _, _ := p.Look(); place != Unknown {
			t.Errorf("when it has ended: got %v", place)
		}
		if place, _, _ := of(c.conn, pidfd, proc.Read).Look(); place != Unknown {
			t.Errorf("accepted when it has ended: got %v", place)
		}
	})
}

// TestEndsMeanwhile: who ends while he is judged is nobody, at whichever moment that is.
func TestEndsMeanwhile(t *testing.T) {
	ways(t, func(t *testing.T, pidfd bool) {
		for n := range 2 {
			c := connect(t)
			p := of(c.conn, pidfd, proc.Read)
			reads := 0
			p.read = func(pid int) proc.Stat {
				s := proc.Read(pid)
				if reads++; reads == n+1 {
					c.end()
				}
				return s
			}
			if place, _, _ := p.Look(); place != Unknown && (pidfd || n == 0) {
				t.Errorf("after %d reads: got %v", n+1, place)
			}
		}
	})
}

// TestRecycled: a process that has by now the number of who connected is not taken for him.
func TestRecycled(t *testing.T) {
	ways(t, func(t *testing.T, pidfd bool) {
		c := connect(t)
		p := of(c.conn, pidfd, proc.Read)
		pid := c.cmd.Process.Pid
		c.end()
		for try := range 200 {
			if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
				t.Skipf("no number can be chosen: %v", err)
			}
			next := exec.Command("/bin/sleep", "1000")
			if err := next.Start(); err != nil {
				t.Fatal(err)
			}
			place, from, _ := p.Look()
			got := next.Process.Pid
			sameTick := !pidfd && proc.Read(got).Start == p.start // which takes a choice of numbers, as here
			_ = next.Process.Kill()
			_ = next.Wait() // it was killed
			if got != pid || sameTick {
				continue // somebody was faster, or we were too fast
			}
			if place != Unknown {
				t.Errorf("got %v, %+v", place, from)
			}
			t.Logf("at try %d", try+1)
			return
		}
		t.Skip("somebody was always faster")
	})
}

// TestOutside: we ourselves, and who is no descendant of ours.
func TestOutside(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(pair[0]), "pair")
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	defer conn.Close()
	defer unix.Close(pair[1])
	p := Of(conn)
	if place, _, _ := p.Look(); place != Outside {
		t.Errorf("we: got %v", place)
	}
	p.pid = 0
	if place, _, _ := p.Look(); place != Outside {
		t.Errorf("one of another pid namespace: got %v", place)
	}
	tcp, other := net.Pipe()
	defer tcp.Close()
	defer other.Close()
	if Of(tcp) != nil {
		t.Error("a connection that is of no unix socket has a peer")
	}
}

// table is who lives, in a test of walk. Each line is PID PARENT START.
func table(text string) map[int]proc.Stat {
	all := map[int]proc.Stat{}
	for line := range strings.Lines(text) {
		s := proc.Stat{State: 'S'}
		if _, err := fmt.Sscan(line, &s.PID, &s.Parent, &s.Start); err == nil {
			all[s.PID] = s
		}
	}
	return all
}

func TestWalk(t *testing.T) {
	const self = 1
	base := "10 1 100\n11 10 110\n12 11 120\n20 1 200\n30 0 300\n31 30 310\n"
	for _, tt := range []struct {
		name   string
		change string // after the first round
		pid    int
		ok     bool
		last   int
	}{
		{"a child", "", 10, true, 10},
		{"a grandchild", "", 12, true, 10},
		{"from outside", "", 31, true, 30},
		{"gone", "", 99, false, 0},
		{"its parent has ended", "12 1 120", 12, false, 0},
		{"the parent of its parent has ended", "11 1 110", 12, false, 0},
		{"its number is another's, of the same parent", "12 11 999", 12, false, 0},
		{"an ancestor's number is another's", "11 10 999", 12, false, 0},
		{"the first ancestor's number is another's", "10 1 999", 12, false, 0},
		{"of one who is not on the way", "20 1 999", 12, true, 10},
	} {
		now, reads := table(base), 0
		depth := map[int]int{10: 1, 12: 3, 31: 2, 99: 1}[tt.pid]
		way, ok := walk(func(pid int) proc.Stat {
			if reads++; reads == depth+1 {
				for pid, s := range table(tt.change) {
					now[pid] = s
				}
			}
			return now[pid]
		}, self, tt.pid)
		if ok != tt.ok || ok && way[len(way)-1].PID != tt.last {
			t.Errorf("%s: got %v, %v", tt.name, way, ok)
		}
	}
	deep := map[int]proc.Stat{}
	for i := range 2 * maxDepth {
		deep[i+2] = proc.Stat{PID: i + 2, Parent: i + 1, State: 'S', Start: 1}
	}
	read := func(pid int) proc.Stat { return deep[pid] }
	if _, ok := walk(read, self, maxDepth+1); !ok {
		t.Errorf("with %d generations: not ok", maxDepth)
	}
	if _, ok := walk(read, self, maxDepth+2); ok {
		t.Errorf("with one more: ok")
	}
	deep[2] = proc.Stat{PID: 2, Parent: 1, State: 'Z', Start: 1}
	if _, ok := walk(read, self, 2); ok {
		t.Error("one that has ended: ok")
	}
}

// spawner starts what it is told to.
type spawner func() (child.Process, error)

func (s spawner) Spawn(*child.Spec) (child.Process, error) { return s() }

func TestFamily(t *testing.T) {
	var f Family
	var during, before proc.Stat
	p, err := f.Spawn(spawner(func() (child.Process, error) {
		p, err := child.Exec{}.Spawn(&child.Spec{Name: "a", Program: child.Program{Argv: []string{"/bin/sleep", "1000"}}})
		if err == nil {
			during = proc.Read(p.PID())
			if has, starting := f.Has(during); has || !starting {
				t.Errorf("while it is started: got %v, %v", has, starting)
			}
		}
		return p, err
	}), &child.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if has, starting := f.Has(during); !has || starting {
		t.Errorf("when it was: got %v, %v", has, starting)
	}
	before = during
	before.Start--
	if has, _ := f.Has(before); has {
		t.Error("one that had its number is taken for it")
	}
	_ = p.Signal(unix.SIGKILL, true) // it lives
	p.Wait()
	if has, _ := f.Has(during); has {
		t.Error("it has ended, and is a member")
	}
	p.Release(true)
	if _, err := f.Spawn(spawner(func() (child.Process, error) { return nil, os.ErrNotExist }), &child.Spec{}); err != os.ErrNotExist {
		t.Errorf("got %v", err)
	}
	if _, starting := f.Has(during); starting || len(f.members) > 0 {
		t.Errorf("afterwards: %v, %v", starting, f.members)
	}
}

// BenchmarkLook is what it costs to tell whose a child of ours is.
func BenchmarkLook(b *testing.B) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	file := os.NewFile(uintptr(pair[0]), "pair")
	conn, err := net.FileConn(file)
	if err != nil {
		b.Fatal(err)
	}
	file.Close()
	defer conn.Close()
	defer unix.Close(pair[1])
	cmd := exec.Command("/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	p := Of(conn)
	p.pid = cmd.Process.Pid
	for b.Loop() {
		if place, _, _ := p.Look(); place != Within {
			b.Fatal(place)
		}
	}
}
