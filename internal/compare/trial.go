//go:build linux

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed testdata/child.c
var childSource []byte

// patience is how long a measurement waits for what must happen.
const patience = 60 * time.Second

// A saying is what a daemon said.
type saying struct {
	what, daemon string
	pid          int   // seen from here
	at           int64 // in nanoseconds of CLOCK_MONOTONIC
}

// A trial is a supervisor that was started, PID 1 of its own namespace.
type trial struct {
	peer   *peer
	dir    string
	cmd    *exec.Cmd
	begun  int64 // as in saying
	conn   *net.UnixConn
	output *os.File // what a container's log would be
	ended  chan struct{}
	endAt  int64
}

// now is the time of CLOCK_MONOTONIC, which processes share.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// start starts a supervisor with what make makes of the name of the socket by which daemons speak.
func (b *bench) start(p *peer, of func(socket string) []daemon) (*trial, error) {
	dir, err := os.MkdirTemp(b.dir, p.name+"-")
	if err != nil {
		return nil, err
	}
	t := &trial{peer: p, dir: dir, ended: make(chan struct{})}
	socket := filepath.Join(dir, "say")
	if t.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		return nil, err
	}
	_ = t.conn.SetReadBuffer(1 << 20)
	if err := passCredentials(t.conn); err != nil {
		return nil, err
	}
	argv, err := p.setup(dir, of(socket))
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	t.output = r
	t.cmd = exec.Command("/proc/self/exe", append([]string{stageWord}, argv...)...)
	t.cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	t.cmd.Stdout = w
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if b.group != nil {
		t.cmd.Env = append(t.cmd.Env, groupVariable+"="+b.group.dir)
	}
	t.begun = now()
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // until it ends
		_ = t.cmd.Wait()
		t.endAt = now()
		close(t.ended)
	}()
	return t, nil
}

// passCredentials lets the kernel say who sends, by the number that the process has here.
func passCredentials(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	return errors.Join(err, set)
}

// close kills what there is still. PID 1 takes all others with it.
func (t *trial) close() {
	_ = t.cmd.Process.Kill()
	<-t.ended
	t.conn.Close()
	t.output.Close()
	os.RemoveAll(t.dir)
}

// discard reads the log and keeps nothing.
func (t *trial) discard() { go func() { _, _ = io.Copy(io.Discard, t.output) }() }

// hear waits for a saying.
func (t *trial) hear() (s saying, err error) {
	var b, oob [256]byte
	_ = t.conn.SetReadDeadline(time.Now().Add(patience))
	n, oobn, _, _, err := t.conn.ReadMsgUnix(b[:], oob[:])
	if err != nil {
		return s, fmt.Errorf("%s: no daemon says anything: %w", t.peer.name, err)
	}
	f := strings.Fields(string(b[:n]))
	if len(f) != 3 {
		return s, fmt.Errorf("a daemon says %q", b[:n])
	}
	s.what, s.daemon = f[0], f[1]
	if s.at, err = strconv.ParseInt(f[2], 10, 64); err != nil {
		return s, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) == 0 {
		return s, fmt.Errorf("nobody says who sends: %w", err)
	}
	cred, err := unix.ParseUnixCredentials(&messages[0])
	if err == nil {
		s.pid = int(cred.Pid)
	}
	return s, err
}

// await waits for n sayings of a kind, and passes over others.
func (t *trial) await(n int, what string) (all []saying, err error) {
	for len(all) < n {
		s, err := t.hear()
		if err != nil {
			return all, err
		}
		if s.what == what {
			all = append(all, s)
		}
	}
	return all, nil
}

// milliseconds since a time.
func milliseconds(from, to int64) float64 { return float64(to-from) / 1e6 }

// end waits for the end of the supervisor, and returns when that was.
func (t *trial) end(within time.Duration) (at int64, ok bool) {
	select {
	case <-t.ended:
		return t.endAt, true
	case <-time.After(within):
		return 0, false
	}
}

// processes are those of the trial, with their fields of /proc/PID/stat from the state on, except for the daemons.
func (t *trial) processes(visit func(pid int, state string, parent int)) {
	parents := map[int][]int{}
	state := map[int]string{}
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, _ := strconv.Atoi(f[1])
		parents[parent] = append(parents[parent], pid)
		state[pid] = f[0]
	}
	var walk func(pid, parent int)
	walk = func(pid, parent int) {
		visit(pid, state[pid], parent)
		for _, c := range parents[pid] {
			walk(c, pid)
		}
	}
	walk(t.cmd.Process.Pid, os.Getpid())
}

// zombies is how many have ended and were not collected.
func (t *trial) zombies() (n int) {
	t.processes(func(_ int, state string, _ int) {
		if state == "Z" {
			n++
		}
	})
	return n
}
