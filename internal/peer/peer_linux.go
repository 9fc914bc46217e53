package peer

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// A Peer is the process that has connected.
type Peer struct {
	conn  syscall.RawConn
	pid   int    // 0: it is in another pid namespace
	pidfd bool   // the kernel has a handle of it
	start uint64 // of the process, when it was accepted; only without that
	read  func(pid int) proc.Stat
}

// Of returns the process at the other side of a connection that was just accepted; nil for one that is of no unix socket.
func Of(conn net.Conn) *Peer { return of(conn, kernel.Own().PeerPidfd, proc.Read) }

func of(conn net.Conn, pidfd bool, read func(pid int) proc.Stat) *Peer {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	p := &Peer{pid: -1, pidfd: pidfd, read: read}
	var err error
	if p.conn, err = u.SyscallConn(); err != nil {
		return p
	}
	_ = p.conn.Control(func(fd uintptr) { // fails for a closed file: nobody can be told
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p.pid = int(cred.Pid)
		}
	})
	if p.pid > 0 && !pidfd {
		p.start = read(p.pid).Start
	}
	return p
}

// PID is the process ID of the peer.
func (p *Peer) PID() int { return p.pid }

// A Place is where a peer is from.
type Place int

// The places.
const (
	Unknown Place = iota // it has ended, or cannot be told
	Outside              // neither we nor anybody whom we have started has started it
	Within               // a child of ours has, or is it
)

// tries is how often the way to us is gone, if somebody on it ends meanwhile.
const tries = 3

// Look tells where the peer is from; if it is from Within, also which child of ours it descends from. That child may be an
// orphan that we have adopted. What it has cost are the reads, of some 10 µs each: how many there are a peer can choose.
func (p *Peer) Look() (place Place, child proc.Stat, reads int) {
	self := os.Getpid()
	switch {
	case p.pid == 0 || p.pid == self:
		return Outside, child, reads
	case p.pid < 0 || !p.pidfd && p.start == 0 || !proc.IsOwn():
		return Unknown, child, reads
	}
	alive := func() bool { return true }
	if p.pidfd {
		fd := p.open()
		if fd < 0 {
			return Unknown, child, reads // it has ended
		}
		defer unix.Close(fd)
		alive = func() bool {
			for {
				n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
				if err != unix.EINTR { // as by the signals with which the runtime preempts
					return n == 0 && err == nil
				}
			}
		}
	}
	read := func(pid int) proc.Stat {
		reads++
		return p.read(pid)
	}
	for range tries {
		way, ok := walk(read, self, p.pid)
		switch {
		case !alive(): // so its number may have been another's
			return Unknown, child, reads
		case !ok:
			continue
		case !p.pidfd && way[0].Start != p.start:
			return Unknown, child, reads
		}
		if last := way[len(way)-1]; last.Parent == self {
			return Within, last, reads
		}
		return Outside, child, reads
	}
	return Unknown, child, reads
}

// open returns the kernel's handle of the peer, which is the one of who connected however late it is asked for; -1 if it
// has ended.
func (p *Peer) open() (pidfd int) {
	pidfd = -1
	_ = p.conn.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			pidfd = n
		}
	})
	return pidfd
}
