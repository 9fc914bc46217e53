package sdnotify

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A closer closes descriptors that others have sent. That can block for as long as they like: a TCP socket with unsent data
// and SO_LINGER does, and so does a file of a file system that they serve. So it is done on a goroutine of its own, one after
// the other, which exists while there is anything to close: what blocks holds up one thread.
type closer struct {
	// hasty: a socket's linger is switched off before. It is a property of the socket, not of the descriptor, so it is for
	// those who had nothing to send.
	hasty bool

	mu      sync.Mutex
	fds     []int         // to be closed
	idle    chan struct{} // closed when nothing is to be closed any more; nil when nothing is
	blocked bool          // it took too long
}

const (
	// maxWaiting is how many descriptors may wait before no more are received.
	maxWaiting = 256
	// closeTime is how long a close that does not block takes, on a busy machine.
	closeTime = 100 * time.Millisecond
)

// close closes fds. It waits for that, but no longer than a moment, and not for what is known to block.
func (c *closer) close(fds []int) {
	if len(fds) == 0 {
		return
	}
	idle, blocked := c.add(fds)
	if blocked {
		return
	}
	select {
	case <-idle:
	case <-time.After(closeTime):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.blocked = c.idle == idle
	}
}

func (c *closer) add(fds []int) (idle <-chan struct{}, blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fds = append(c.fds, fds...)
	if c.idle == nil {
		c.idle = make(chan struct{})
		go c.work() // ends when there are none
	}
	return c.idle, c.blocked
}

// full reports whether too many wait.
func (c *closer) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.fds) >= maxWaiting
}

func (c *closer) work() {
	for {
		fd, ok := c.next()
		if !ok {
			return
		}
		if c.hasty {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // fails for what is no socket
		}
		unix.Close(fd)
	}
}

// next takes the first descriptor out.
func (c *closer) next() (fd int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fds) == 0 {
		close(c.idle)
		c.fds, c.idle, c.blocked = nil, nil, false
		return 0, false
	}
	fd, c.fds = c.fds[0], c.fds[1:]
	return fd, true
}
