package sdnotify

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deaf returns the address of a TCP server that takes connections, and never a byte.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) }) // resets the connections, with which all that blocks ends
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1000); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// linger returns a socket whose close takes an hour, since the server at addr does not take what was sent.
func linger(addr string) (fd int, err error) {
	var to unix.SockaddrInet4
	to.Addr = [4]byte{127, 0, 0, 1}
	_, port, _ := net.SplitHostPort(addr)
	if to.Port, err = strconv.Atoi(port); err != nil {
		return 0, err
	}
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
	if err := unix.Connect(fd, &to); err != nil {
		return 0, err
	}
	for err == nil {
		_, err = unix.SendmsgN(fd, make([]byte, 4096), nil, nil, unix.MSG_DONTWAIT)
	}
	return fd, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600})
}

// Numbers of what a stranger sends: more than one datagram of more than one descriptor, and of those more than are kept.
const (
	slowDatagrams = 4
	slowFDs       = 100
)

// slow sends descriptors to the notify socket at address whose last close takes an hour. It leaves that to the receiver, and to
// the end of this process, which lingers for nothing.
func slow(address, server string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return err
	}
	b := &bench{conn: conn}
	for range slowDatagrams {
		var fds []int
		for range slowFDs {
			fd, err := linger(server)
			if err != nil {
				return err
			}
			fds = append(fds, fd)
		}
		if err := b.sendFDs("READY=1", fds...); err != nil {
			return err
		}
	}
	return nil
}

// stranger is a process that may not speak for the daemon.
func stranger(address, what string) {
	var err error
	if n, bad := strconv.Atoi(what); bad == nil {
		var conn net.Conn
		if conn, err = net.Dial("unixgram", address); err == nil {
			for ; n > 0 && err == nil; n-- {
				_, err = conn.Write([]byte("READY=1"))
			}
		}
	} else {
		err = slow(address, what)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// parent is a process whose child does what the arguments say.
func parent(args []string) {
	out, err := exec.Command("/proc/self/exe", args...).CombinedOutput()
	if err != nil {
		fmt.Printf("%v: %s\n", err, out)
		os.Exit(1)
	}
}

// strange runs stranger as another user, maybe as a child of such a process.
func (b *bench) strange(what string, child bool) {
	b.t.Helper()
	args := []string{"stranger", b.Address(), what}
	if child {
		args = append([]string{"parent"}, args...)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
}

// TestStrangers: whatever a process sends that may not speak, the daemon is heard.
func TestStrangers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can send as another user")
	}
	for _, child := range []bool{false, true} {
		t.Run(fmt.Sprintf("child %v", child), func(t *testing.T) {
			b, l := listen(t, Options{Watchdog: 50 * time.Millisecond}), newLife()
			b.Begin(l)
			before := openFiles(t)
			server := deaf(t)
			b.mu.Lock() // nobody receives, so that ours are the last descriptors
			b.strange(server, child)
			b.mu.Unlock()
			b.send("READY=1")
			l.want(t, "ready", "unhealthy: its watchdog heard nothing for 50ms")
			for begin := time.Now(); openFiles(t) > before+1; { // the server
				if time.Since(begin) > 10*time.Second {
					t.Fatalf("open descriptors: got %d, want %d", openFiles(t), before+1)
				}
			}

			next := newLife() // what lies there when it begins is dropped, and is no hindrance either
			b.mu.Lock()
			go b.Begin(next)
			b.strange(server, child)
			b.mu.Unlock()
			for begun := false; !begun; {
				b.mu.Lock()
				begun = b.life == next
				b.mu.Unlock()
			}
			b.send("READY=1")
			next.want(t, "ready")
		})
	}
}

// TestOwnDescriptors: a daemon that sends such descriptors itself has its watchdog all the same.
func TestOwnDescriptors(t *testing.T) {
	b, l := listen(t, Options{Watchdog: 50 * time.Millisecond}), newLife()
	b.Begin(l)
	if _, err := b.conn.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	l.want(t, "ready")
	server := deaf(t)
	fd, err := linger(server)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock() // nobody receives, so that ours is the last descriptor
	err = b.sendFDs("FDSTORE=1", fd)
	unix.Close(fd)
	b.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	l.want(t, "unhealthy: its watchdog heard nothing for 50ms")
	if _, err := b.conn.Write([]byte("WATCHDOG=1")); err != nil {
		t.Fatal(err)
	}
	l.want(t, "ready")
}

// TestStrangersFlood: strangers have no part in what a daemon may send in a time.
func TestStrangersFlood(t *testing.T) {
	b, l := listen(t, Options{}), newLife()
	b.Begin(l)
	var p pace
	from := func(uid int) datagram {
		return datagram{life: l, data: []byte("STATUS=hello"), cred: &unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(uid)}}
	}
	for range 2 * maxBurst {
		b.hear(from(os.Getuid()+1), &p)
	}
	if p.n != 0 {
		t.Errorf("%d datagrams of strangers count", p.n)
	}
	b.hear(from(os.Getuid()), &p)
	if p.n != 1 {
		t.Errorf("one datagram of the daemon counts as %d", p.n)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
