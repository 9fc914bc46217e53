package sdnotify

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/awake"
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
	// Stopping: the daemon is about to end by itself.
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

	own, strangers closer // of descriptors: those of the daemon need not wait for what others have sent

	mu       sync.Mutex // also held while a datagram is taken out of the socket
	life     Life       // nil before the first
	hearing  bool       // a datagram was taken out, and what it says not done yet
	status   Status
	interval time.Duration // of the watchdog; 0 is none
	armed    bool          // READY=1 has come: the watchdog counts
	period   uint64        // of the watchdog; each WATCHDOG=1 begins one
	timer    *awake.Timer  // nil unless WATCHDOG=1 must come
	paused   bool          // it was made to wait
	spared   bool          // the present period was made longer
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
	s := &Socket{o: o, conn: conn, addr: addr, strangers: closer{hasty: true}}
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
func (s *Socket) Close() error {
	s.mu.Lock()
	s.schedule(0)
	s.mu.Unlock() // who reads needs it, and Close waits for that
	return s.conn.Close()
}

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
	s.interval, s.armed, s.missed, s.paused = s.o.Watchdog, false, false, false
	s.schedule(0)
	_ = s.raw.Control(func(fd uintptr) {
		buf, oob := newBuffers()
		for range maxQueue {
			d := s.take(int(fd), buf, oob)
			if d.err != nil {
				return
			}
			s.strangers.close(d.fds)
		}
	})
}

// maxQueue is more than a socket holds at once (net.unix.max_dgram_qlen: 10, or 512 with systemd). Whoever sends without end
// must not keep the daemon from being started.
const maxQueue = 4096

// take receives one datagram, without its descriptors where too many wait to be closed.
func (s *Socket) take(fd int, buf, oob []byte) datagram {
	if s.own.full() || s.strangers.full() {
		oob = oob[:credentials]
	}
	return take(fd, buf, oob)
}

// run takes datagrams until the socket is closed.
func (s *Socket) run() {
	buf, oob := newBuffers()
	var p pace
	for failures := 0; failures < maxFailures; {
		d, err := s.receive(buf, oob)
		if err != nil {
			return
		}
		if d.err != nil {
			failures++
			continue
		}
		failures = 0
		s.hear(d, &p)
	}
	s.o.Printf("%s: its notify socket is out of order", s.o.Daemon)
}

// maxFailures is how many errors in a row make us give up. None is known; a loop without an end would be worse.
const maxFailures = 100

// receive takes one datagram, with the life that it is from.
func (s *Socket) receive(buf, oob []byte) (d datagram, err error) {
	err = s.raw.Read(func(fd uintptr) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		d = s.take(int(fd), buf, oob)
		d.life, s.hearing = s.life, d.err == nil
		return !errors.Is(d.err, unix.EAGAIN)
	})
	return d, err
}

// A pace holds a daemon that sends without end to so many datagrams in that time: each can mean work for others. Then the
// daemon blocks, as it would on a full pipe.
type pace struct {
	n     int
	begun time.Time
}

const (
	maxBurst  = 100
	burstTime = 100 * time.Millisecond
)

func (p *pace) wait() {
	switch p.n++; {
	case p.n > maxBurst:
		<-time.After(time.Until(p.begun.Add(burstTime)))
		fallthrough
	case p.begun.IsZero():
		p.n, p.begun = 1, time.Now()
	}
}

// hear does what a datagram says, if its sender may speak for the daemon. One who may not costs the daemon nothing.
func (s *Socket) hear(d datagram, p *pace) {
	closer := &s.strangers
	defer func() {
		closer.close(d.fds)
		if v := recover(); v != nil {
			s.o.Printf("%s: a notification made us panic: %v", s.o.Daemon, v)
		}
	}()
	pid, why, args := d.speaker()
	if pid != 0 {
		closer = &s.own
		p.wait()
	}
	m, ok := parse(d.data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearing = false
	switch {
	case d.life == nil || d.life != s.life: // it has ended meanwhile
	case why != "":
		s.complain(why, args...)
	case pid == 0:
	case d.truncated || !ok:
		s.complain("a notification from pid %d is ignored: it is too long, or has a NUL", d.cred.Pid)
	default:
		s.obey(m, pid)
	}
}

func (s *Socket) obey(m message, pid int) {
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
	if m.stopping && !was.Stopping {
		s.armed = false
		s.schedule(0)
		s.life.Stopping()
	}
	if m.extend > 0 { // after the word that it is stopping, which can be in the same datagram
		if m.extend > child.MaxExtended {
			s.complain("EXTEND_TIMEOUT_USEC asks for %s: a stop takes %s at most", m.extend, child.MaxExtended)
		}
		s.life.Extend(m.extend)
	}
	if m.watchdog != nil {
		s.interval = *m.watchdog
	}
	if s.status.Stopping {
		return
	}
	if m.ready {
		s.armed = true
	}
	if m.trigger {
		s.missed = true
		s.schedule(0)
		s.life.Unhealthy("it has triggered its watchdog")
		return
	}
	if m.ready || m.alive && s.missed {
		s.missed = false
		s.life.Ready()
	}
	switch {
	case !s.armed || s.missed || s.interval == 0:
		s.schedule(0)
	case m.ready || m.alive || m.watchdog != nil:
		s.schedule(s.interval)
	}
}

// complain writes a line, once in a life.
func (s *Socket) complain(format string, a ...any) {
	if !s.told[format] {
		s.told[format] = true
		s.o.Printf("%s: "+format, append([]any{s.o.Daemon}, a...)...)
	}
}
