package sdnotify

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Life is one life of a daemon, and is told what the daemon says about it. *probe.Life is one.
type Life interface {
	// Started is closed when the program has been executed, or the life is over.
	Started() <-chan struct{}
	// PID is the process ID of the main process; 0 when the life is over.
	PID() int
	// Ready: the daemon is ready, or has recovered from what Unhealthy was told for.
	Ready()
	// Unhealthy: the watchdog has been missed, or triggered.
	Unhealthy(reason string)
	// Stopping: the daemon ends by itself.
	Stopping()
	// Extend: the daemon asks for that much time, from now, to end.
	Extend(by time.Duration)
	// Note: the daemon says what it is doing.
	Note(text string)
	// AtEnd has f called when the life is over.
	AtEnd(f func())
}

// Options describe the socket of a daemon.
type Options struct {
	// Daemon is the name of the daemon; it is part of the address.
	Daemon string
	// Watchdog is the longest time between two WATCHDOG=1; 0 means that there is no watchdog, until the daemon asks for
	// one. Watchdog returns what is in an environment.
	Watchdog time.Duration
	// Printf writes a line of the log; nil writes none. It must not block.
	Printf func(format string, a ...any)
}

// Watchdog returns the interval that WATCHDOG_USEC in env sets, or 0.
func Watchdog(env []string) time.Duration {
	var interval time.Duration
	for _, kv := range env { // the last one counts
		if v, ok := strings.CutPrefix(kv, "WATCHDOG_USEC="); ok {
			interval, _ = microseconds(v)
		}
	}
	return interval
}

// A Status is what a daemon has said about itself.
type Status struct {
	Text      string // its last STATUS
	Reloading bool   // between RELOADING=1 and READY=1
	Stopping  bool   // since STOPPING=1
}

// String is the text, or else what the daemon is doing.
func (s Status) String() string {
	switch {
	case s.Text != "":
		return s.Text
	case s.Stopping:
		return "stopping by itself"
	case s.Reloading:
		return "reloading"
	}
	return ""
}

// A Socket is the NOTIFY_SOCKET of one daemon, over all its lives. Make one with Listen. Its methods may be called from any
// goroutine, and do not block.
type Socket struct {
	o    Options
	conn *net.UnixConn
	raw  syscall.RawConn
	addr string

	mu       sync.Mutex // also held while a datagram is taken out of the socket
	life     Life       // nil before the first
	status   Status
	interval time.Duration // of the watchdog; 0 is none
	armed    bool          // READY=1 has come: the watchdog counts
	due      time.Time     // when WATCHDOG=1 must have come; zero while it need not
	missed   bool
	told     map[string]bool // what was complained about in this life
}

// Listen makes the socket, and reads from it until Close.
func Listen(o Options) (*Socket, error) {
	if o.Printf == nil {
		o.Printf = func(string, ...any) {}
	}
	name := o.Daemon[:min(len(o.Daemon), 32)] // an address has 108 bytes
	addr := "@sidecar-init-" + strings.ToLower(rand.Text()) + "-" + name
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("cannot make the notify socket of %s: %w", o.Daemon, err)
	}
	s := &Socket{o: o, conn: conn, addr: addr}
	s.raw, err = conn.SyscallConn()
	if err == nil {
		var optErr error
		err = s.raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, optErr)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot learn who writes to the notify socket of %s: %w", o.Daemon, err)
	}
	go s.run() // ends by Close
	return s, nil
}

// Address is what the daemon finds in NOTIFY_SOCKET.
func (s *Socket) Address() string { return s.addr }

// Close ends the socket.
func (s *Socket) Close() error { return s.conn.Close() }

// Status returns what the daemon has said about itself in the present life, or the last one.
func (s *Socket) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Begin says that the next life is about to be executed. What the last one has left in the socket is dropped.
func (s *Socket) Begin(life Life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life, s.status, s.told = life, Status{}, map[string]bool{}
	s.interval, s.armed, s.missed = s.o.Watchdog, false, false
	s.schedule(time.Time{})
	_ = s.raw.Control(func(fd uintptr) {
		buf, oob := newBuffers()
		for {
			d := take(int(fd), buf, oob)
			if d.err != nil {
				return
			}
			d.close()
		}
	})
}

// schedule sets when the watchdog is due.
func (s *Socket) schedule(at time.Time) {
	if at != s.due {
		s.due = at
		_ = s.conn.SetReadDeadline(at) // an error means that the socket is closed
	}
}

// run takes datagrams until the socket is closed. The deadline of the read is the timer of the watchdog.
func (s *Socket) run() {
	buf, oob := newBuffers()
	burst, begun := 0, time.Now()
	for failures := 0; failures < maxFailures; {
		if burst++; burst > maxBurst { // then the daemon blocks, as it would on a full pipe
			<-time.After(time.Until(begun.Add(burstTime)))
			burst, begun = 0, time.Now()
		}
		d, err := s.receive(buf, oob, true)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// If we have slept, along with the machine, WATCHDOG=1 may lie there.
			_ = s.conn.SetReadDeadline(time.Time{})
			for {
				d, err = s.receive(buf, oob, false)
				if err != nil || d.err != nil {
					break
				}
				s.handle(d)
			}
			s.late()
			continue
		}
		if err != nil {
			return
		}
		if d.err != nil {
			failures++
			continue
		}
		failures = 0
		s.handle(d)
	}
	s.o.Printf("%s: its notify socket is out of order", s.o.Daemon)
}

// A daemon that sends without end is held to so many datagrams in that time: each can mean work for others.
const (
	maxBurst  = 100
	burstTime = 100 * time.Millisecond
)

// maxFailures is how many errors in a row make us give up. None is known; a loop without an end would be worse.
const maxFailures = 100

// receive takes one datagram, with the life that it is from.
func (s *Socket) receive(buf, oob []byte, wait bool) (d datagram, err error) {
	err = s.raw.Read(func(fd uintptr) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		d = take(int(fd), buf, oob)
		d.life = s.life
		return !wait || !errors.Is(d.err, unix.EAGAIN)
	})
	return d, err
}

// late is called when the watchdog may have been missed.
func (s *Socket) late() {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.due
	switch {
	case due.IsZero():
	case time.Now().Before(due):
		_ = s.conn.SetReadDeadline(due)
	default:
		s.due, s.missed = time.Time{}, true
		s.life.Unhealthy(fmt.Sprintf("its watchdog heard nothing for %s", s.interval))
	}
}

// handle does what a datagram says.
func (s *Socket) handle(d datagram) {
	defer func() {
		d.close()
		if v := recover(); v != nil {
			s.o.Printf("%s: a notification made us panic: %v", s.o.Daemon, v)
		}
	}()
	if d.life == nil {
		return
	}
	<-d.life.Started() // what it says may come before we know that it was started
	pid := d.life.PID()
	if pid == 0 {
		return
	}
	m, ok := parse(d.data)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case d.life != s.life: // it has ended meanwhile
	case d.cred == nil || d.cred.Pid <= 0:
		s.complain("a notification from outside of the container is ignored")
	case d.cred.Uid != 0 && !isUser(pid, d.cred.Uid):
		s.complain("a notification from pid %d is ignored: it comes from user %d", d.cred.Pid, d.cred.Uid)
	case d.truncated || !ok:
		s.complain("a notification from pid %d is ignored: it is too long, or has a NUL", d.cred.Pid)
	default:
		s.obey(m, pid)
	}
}

func (s *Socket) obey(m message, pid int) {
	now := time.Now()
	if m.mainPID != 0 && m.mainPID != pid {
		s.complain("MAINPID=%d is ignored: the main process is %d", m.mainPID, pid)
	}
	was := s.status
	if m.status != nil {
		s.status.Text = *m.status
	}
	s.status.Reloading = (s.status.Reloading || m.reloading) && !m.ready
	s.status.Stopping = s.status.Stopping || m.stopping
	if text := s.status.String(); text != was.String() {
		s.life.Note(text)
	}
	if m.extend > 0 {
		s.life.Extend(m.extend)
	}
	if m.watchdog != nil {
		s.interval = *m.watchdog
	}
	switch {
	case m.stopping && !was.Stopping:
		s.armed = false
		s.schedule(time.Time{})
		s.life.Stopping()
		return
	case s.status.Stopping:
		return
	}
	if m.ready {
		s.armed = true
	}
	if m.trigger {
		s.missed = true
		s.schedule(time.Time{})
		s.life.Unhealthy("it has triggered its watchdog")
		return
	}
	if m.ready || m.alive && s.missed {
		s.missed = false
		s.life.Ready()
	}
	switch {
	case !s.armed || s.missed || s.interval == 0:
		s.schedule(time.Time{})
	case m.ready || m.alive || m.watchdog != nil:
		s.schedule(now.Add(s.interval))
	}
}

// complain writes a line, once in a life.
func (s *Socket) complain(format string, a ...any) {
	if !s.told[format] {
		s.told[format] = true
		s.o.Printf("%s: "+format, append([]any{s.o.Daemon}, a...)...)
	}
}

// isUser reports whether uid is one of the user IDs of process pid.
func isUser(pid int, uid uint32) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return int(uid) == os.Getuid()
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			for _, id := range strings.Fields(ids) {
				if n, err := strconv.ParseUint(id, 10, 32); err == nil && uint32(n) == uid {
					return true
				}
			}
			break
		}
	}
	return false
}
