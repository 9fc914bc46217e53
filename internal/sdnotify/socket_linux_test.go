package sdnotify

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

func TestMain(m *testing.M) {
	pidns.Main()
	testproc.Main()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "inside":
			inside()
			return
		case "stranger":
			stranger(os.Args[2], os.Args[3])
			return
		case "parent":
			parent(os.Args[2:])
			return
		}
	}
	os.Exit(m.Run())
}

// A life records what it is told. Its process is this one, and it was started.
type life struct {
	pid     int
	started chan struct{}
	told    chan string

	mu    sync.Mutex
	atEnd []func()
}

func newLife() *life {
	l := &life{pid: os.Getpid(), started: make(chan struct{}), told: make(chan string, 100)}
	close(l.started)
	return l
}

func (l *life) Started() <-chan struct{} { return l.started }
func (l *life) PID() int                 { return l.pid }
func (l *life) Ready()                   { l.told <- "ready" }
func (l *life) Unhealthy(reason string)  { l.told <- "unhealthy: " + reason }
func (l *life) Stopping()                { l.told <- "stopping" }
func (l *life) Note(text string)         { l.told <- "says " + text }
func (l *life) Extend(by time.Duration)  { l.told <- "extend " + by.String() }

func (l *life) AtEnd(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atEnd = append(l.atEnd, f)
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.atEnd {
		f()
	}
}

// want compares what the life was told next.
func (l *life) want(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-l.told:
			if got != w {
				t.Errorf("told: got %q, want %q", got, w)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("told: got nothing, want %q", w)
		}
	}
}

// A bench is a socket with what it writes to the log.
type bench struct {
	*Socket
	t    *testing.T
	conn *net.UnixConn
	log  chan string
}

func listen(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, log: make(chan string, 100)}
	o.Daemon = "web"
	o.Printf = func(format string, a ...any) { b.log <- fmt.Sprintf(format, a...) }
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Socket, b.conn = s, dial(t, s.Address())
	t.Cleanup(func() { s.Close() })
	return b
}

func dial(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// send sends datagrams, and returns when they have been processed.
func (b *bench) send(messages ...string) {
	b.t.Helper()
	for _, m := range messages {
		if _, err := b.conn.Write([]byte(m)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.barrier("BARRIER=1")
}

// barrier sends a message with descriptors of ours, and returns when they have been closed.
func (b *bench) barrier(message string) {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	fd := int(w.Fd())
	err = b.sendFDs(message, fd, fd, fd)
	w.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		b.t.Fatal(err)
	}
}

func (b *bench) sendFDs(message string, fds ...int) error {
	raw, err := b.conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), []byte(message), unix.UnixRights(fds...), nil, 0)
		return sendErr != unix.EAGAIN
	})
	return errors.Join(err, sendErr)
}

func (b *bench) wantLog(want ...string) {
	b.t.Helper()
	for _, w := range want {
		if got := <-b.log; got != w {
			b.t.Errorf("log: got %q, want %q", got, w)
		}
	}
	if len(b.log) > 0 {
		b.t.Errorf("log: got %q too", <-b.log)
	}
}

func TestMessages(t *testing.T) {
	pid := os.Getpid()
	for _, tt := range []struct {
		name   string
		send   []string
		want   []string
		log    []string
		status Status
	}{
		{name: "ready", send: []string{"READY=1"}, want: []string{"ready"}},
		{name: "status", send: []string{"STATUS=half", "STATUS=done\nREADY=1", "STATUS=done"}, want: []string{"says half", "says done", "ready"}, status: Status{Text: "done"}},
		{name: "reloading", send: []string{"READY=1", "RELOADING=1"}, want: []string{"ready", "says reloading"}, status: Status{Reloading: true}},
		{name: "reloaded", send: []string{"READY=1", "RELOADING=1", "READY=1"}, want: []string{"ready", "says reloading", "says ", "ready"}},
		{
			name: "stopping", send: []string{"READY=1", "STOPPING=1\nSTATUS=bye", "READY=1", "WATCHDOG=trigger"},
			want: []string{"ready", "says bye", "stopping"}, status: Status{Text: "bye", Stopping: true},
		},
		{
			name: "stopping takes longer", send: []string{"STOPPING=1", "EXTEND_TIMEOUT_USEC=2000000"}, want: []string{"says stopping by itself", "stopping", "extend 2s"},
			status: Status{Stopping: true},
		},
		{
			name: "the watchdog is triggered, and not any more", send: []string{"READY=1", "WATCHDOG=trigger", "WATCHDOG=1", "WATCHDOG=1"},
			want: []string{"ready", "unhealthy: it has triggered its watchdog", "ready"},
		},
		{
			name: "more than there is", send: []string{"STOPPING=1\nEXTEND_TIMEOUT_USEC=7200000000"},
			want: []string{"says stopping by itself", "stopping", "extend 2h0m0s"}, status: Status{Stopping: true},
			log: []string{"web: EXTEND_TIMEOUT_USEC asks for 2h0m0s: a stop takes 10m0s at most"},
		},
		{name: "alive before it is ready", send: []string{"WATCHDOG=1"}},
		{name: "main pid", send: []string{"MAINPID=1234567", "MAINPID=1234568"}, log: []string{fmt.Sprintf("web: MAINPID=1234567 is ignored: the main process is %d", pid)}},
		{name: "our own", send: []string{fmt.Sprintf("MAINPID=%d", pid)}},
		{
			name: "too long", send: []string{"READY=1\n" + strings.Repeat("x", maxDatagram)},
			log: []string{fmt.Sprintf("web: a notification from pid %d is ignored: it is too long, or has a NUL", pid)},
		},
		{name: "just long enough", send: []string{"READY=1\n" + strings.Repeat("x", maxDatagram-8)}, want: []string{"ready"}},
		{name: "unknown", send: []string{"X_OWN=1\nFDSTORE=1", "", "\n\n", "="}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, l := listen(t, Options{}), newLife()
			b.Begin(l)
			b.send(tt.send...)
			l.want(t, tt.want...)
			if len(l.told) > 0 {
				t.Errorf("told: got %q too", <-l.told)
			}
			b.wantLog(tt.log...)
			if got := b.Status(); got != tt.status {
				t.Errorf("Status: got %+v, want %+v", got, tt.status)
			}
		})
	}
}

// TestWatchdogMiss: by WATCHDOG_USEC the watchdog runs, from READY=1 on, and WATCHDOG=1 heals.
func TestWatchdogMiss(t *testing.T) {
	b, l := listen(t, Options{Watchdog: time.Microsecond}), newLife()
	b.Begin(l)
	b.send("WATCHDOG=1", "EXTEND_TIMEOUT_USEC=1")
	l.want(t, "extend 1µs")
	b.send("READY=1")
	l.want(t, "ready", "unhealthy: its watchdog heard nothing for 1µs")
	b.send("WATCHDOG_USEC=3600000000\nWATCHDOG=1", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=1")
	l.want(t, "ready", "extend 1µs")
	b.send("WATCHDOG_USEC=2000")
	l.want(t, "unhealthy: its watchdog heard nothing for 2ms")
	b.send("WATCHDOG_USEC=0\nWATCHDOG=1", "EXTEND_TIMEOUT_USEC=1")
	l.want(t, "ready", "extend 1µs")

	b.send("WATCHDOG_USEC=3600000000") // the next life has what is configured
	l = newLife()
	b.Begin(l)
	b.send("READY=1")
	l.want(t, "ready", "unhealthy: its watchdog heard nothing for 1µs")

	l = newLife() // and none is missed before it has begun
	b.Begin(l)
	b.send("STOPPING=1")
	l.want(t, "says stopping by itself", "stopping")
}

// TestLives: what a life has left in the socket is not taken for the next one's.
func TestLives(t *testing.T) {
	b := listen(t, Options{})
	b.send("READY=1") // before the first life
	one := newLife()
	b.Begin(one)
	b.mu.Lock() // nobody receives
	if _, err := b.conn.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	two := newLife()
	two.started = make(chan struct{})
	go b.Begin(two)
	b.mu.Unlock()
	for ok := false; !ok; { // either one has received it, or it was dropped
		b.mu.Lock()
		ok = b.life == two
		b.mu.Unlock()
	}
	if _, err := b.conn.Write([]byte("STOPPING=1")); err != nil {
		t.Fatal(err)
	}
	close(two.started) // what is said before the start is known counts
	two.want(t, "says stopping by itself", "stopping")

	dead := newLife()
	dead.pid = 0
	b.Begin(dead)
	b.send("READY=1")
	if len(dead.told) > 0 {
		t.Errorf("a dead life was told %q", <-dead.told)
	}
}

// TestUsers: the daemon's user and root may speak, others not.
func TestUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can send as another user")
	}
	as := func(b *bench, uid uint32) {
		t.Helper()
		cmd := exec.Command("/proc/self/exe", testproc.Argv("notify READY=1")[1:]...)
		cmd.Env = []string{"NOTIFY_SOCKET=" + b.Address()}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		b.barrier("BARRIER=1")
	}
	const nobody = 65534
	b, l := listen(t, Options{}), newLife()
	b.Begin(l)
	as(b, nobody)
	if line := <-b.log; !strings.HasPrefix(line, "web: a notification from pid ") || !strings.HasSuffix(line, " is ignored: it comes from user 65534") {
		t.Errorf("log: got %q", line)
	}
	as(b, 0)
	l.want(t, "ready")

	// A daemon of that user, which it may have become by itself.
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	l = newLife()
	l.pid = cmd.Process.Pid
	b.Begin(l)
	as(b, nobody)
	l.want(t, "ready")
	as(b, 0)
	l.want(t, "ready")
	as(b, nobody-1)
	if line := <-b.log; !strings.HasSuffix(line, " is ignored: it comes from user 65533") {
		t.Errorf("log: got %q", line)
	}
}

// inside is a supervisor in a pid namespace of its own.
func inside() {
	log := make(chan string, 10)
	s, err := Listen(Options{Daemon: "web", Printf: func(format string, a ...any) { log <- fmt.Sprintf(format, a...) }})
	if err != nil {
		fmt.Println(err)
		return
	}
	l := newLife()
	s.Begin(l)
	fmt.Println(s.Address())
	fmt.Println(<-log)
	conn, err := net.Dial("unixgram", s.Address())
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-l.told)
}

// TestNamespaces: who is outside of the pid namespace is not heard, though the network namespace is the same.
func TestNamespaces(t *testing.T) {
	pidns.Self.Require(t)
	cmd := pidns.Self.Command("/proc/self/exe", "inside")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	outside := exec.Command("/proc/self/exe", "stranger", lines.Text(), deaf(t))
	outside.Env = cmd.Env
	_ = outside.Run() // the supervisor may have ended before all is sent
	for _, want := range []string{"web: a notification from outside of the container is ignored", "ready"} {
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("got %q, want %q", lines.Text(), want)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestDescriptors: whatever descriptors come in, none stays.
func TestDescriptors(t *testing.T) {
	b := listen(t, Options{})
	b.Begin(newLife())
	b.barrier("READY=1")
	b.barrier("FDSTORE=1\nFDNAME=x")
	b.barrier("BARRIER=1\nREADY=1")
	b.barrier("\x00\x00")
	// More than we take: the kernel closes them.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var fds []int
	for range 200 {
		fds = append(fds, int(w.Fd()))
	}
	err = b.sendFDs("READY=1", fds...)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

// TestSystemdNotify is the real one, which waits for a barrier.
func TestSystemdNotify(t *testing.T) {
	path, err := exec.LookPath("systemd-notify")
	if err != nil {
		t.Skip("there is no systemd-notify (Debian package systemd)")
	}
	b, l := listen(t, Options{}), newLife()
	b.Begin(l)
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"--ready", "--status=up and running"}, []string{"says up and running", "ready"}},
		{[]string{"READY=1", "EXTEND_TIMEOUT_USEC=1000"}, []string{"extend 1ms", "ready"}},
		{[]string{"WATCHDOG=trigger"}, []string{"unhealthy: it has triggered its watchdog"}},
		{[]string{"--pid=1", "WATCHDOG=1"}, []string{"ready"}},
		{[]string{"--no-block", "STOPPING=1"}, []string{"stopping"}},
	} {
		cmd := exec.Command(path, tt.args...)
		cmd.Env = []string{"NOTIFY_SOCKET=" + b.Address()}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("systemd-notify %q: %v: %s", tt.args, err, out)
		}
		l.want(t, tt.want...)
	}
	if got, want := b.Status(), (Status{Text: "up and running", Stopping: true}); got != want {
		t.Errorf("Status: got %+v, want %+v", got, want)
	}
}

// TestFlood: a daemon that sends without end is slowed down, and nothing is lost.
func TestFlood(t *testing.T) {
	b, l := listen(t, Options{}), newLife()
	b.Begin(l)
	const n = 3*maxBurst + 1
	begin := time.Now()
	go func() {
		for i := range n {
			if _, err := fmt.Fprintf(b.conn, "EXTEND_TIMEOUT_USEC=%d", i+1); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range n {
		l.want(t, "extend "+(time.Duration(i+1)*time.Microsecond).String())
	}
	if took := time.Since(begin); took < 2*burstTime {
		t.Errorf("%d datagrams took %v, want at least %v", n, took, 2*burstTime)
	}
}

func TestListenAgain(t *testing.T) {
	one, two := listen(t, Options{}), listen(t, Options{})
	if one.Address() == two.Address() {
		t.Errorf("two sockets have the address %s", one.Address())
	}
	if !strings.HasPrefix(one.Address(), "@sidecar-init-") || !strings.HasSuffix(one.Address(), "-web") {
		t.Errorf("Address: got %s", one.Address())
	}
	long := Options{Daemon: strings.Repeat("x", 300)}
	s, err := Listen(long)
	if err != nil {
		t.Fatal(err)
	}
	s.Begin(newLife())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Begin(newLife()) // does nothing, and ends
}
