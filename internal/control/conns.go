package control

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/peer"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// conns are the open connections. There is room for maxConns; when that is used up, a new one takes the place of the one
// that has been silent for longest. So a thousand idle clients, or slow ones, cannot keep out one that has something to
// say, and no timer runs for them.
type conns struct {
	idle    func() // called when the last one has been closed; may be nil
	mu      sync.Mutex
	all     map[net.Conn]*connInfo
	refused map[net.Conn]struct{} // those that are about to be answered so
	closed  bool
}

// A connInfo is what is known of a connection.
type connInfo struct {
	conns   *conns
	conn    net.Conn
	since   time.Time // the last time that its client has done something
	peer    looker    // whose it is; nil if that makes no difference
	working bool      // a request has been read and is being answered
}

// A looker is a *peer.Peer.
type looker interface {
	Look() (place peer.Place, child proc.Stat, reads int)
	PID() int
}

func newConns() *conns {
	return &conns{all: map[net.Conn]*connInfo{}, refused: map[net.Conn]struct{}{}}
}

// listener returns l with the limit; with private, others than root and our own user are refused.
func (c *conns) listener(l net.Listener, private bool) net.Listener {
	return &limitedListener{Listener: l, conns: c, private: private}
}

type limitedListener struct {
	net.Listener
	conns   *conns
	private bool
}

// refusal is the answer to those who get no further.
func refusal(status int, message string) []byte {
	body := `{"error":"` + message + "\"}\n"
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
}

// Accept returns the next connection that may stay.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var answer []byte
		switch {
		case l.private && !permitted(conn):
			answer = refusal(http.StatusForbidden, "only root and the supervisor's own user may ask")
		case !l.conns.add(conn, l.private):
			answer = refusal(http.StatusServiceUnavailable, "too many connections")
		default:
			if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
				_ = c.SetWriteBuffer(sendBuffer) // else it is some 200 KiB, for each client that does not read
			}
			return conn, nil
		}
		l.conns.refuse(conn, answer)
	}
}

// How many may be refused at the same time with time to say what they want, and how much of both.
const (
	maxRefused  = 32
	refuseTime  = 500 * time.Millisecond
	refuseBytes = 4 << 10
)

// refuse answers somebody who gets no further, and closes the connection. It waits for the request to be there, since a
// client of HTTP takes an answer that comes before that for a mistake, and one whose connection is closed with something
// unread in it may lose the answer. What the request says is not looked at.
func (c *conns) refuse(conn net.Conn, answer []byte) {
	c.mu.Lock()
	wait := !c.closed && len(c.refused) < maxRefused
	if wait {
		c.refused[conn] = struct{}{}
	}
	c.mu.Unlock()
	write := func() {
		// It fits into the buffer of a new connection, so this does not wait.
		_ = conn.SetWriteDeadline(time.Now().Add(refuseTime))
		_, _ = conn.Write(answer)
		conn.Close()
	}
	if !wait {
		write()
		return
	}
	go func() { // ends after refuseTime at the latest
		_ = conn.SetReadDeadline(time.Now().Add(refuseTime))
		b := make([]byte, refuseBytes)
		for n := 0; n < len(b) && !bytes.Contains(b[:n], []byte("\r\n\r\n")); {
			more, err := conn.Read(b[n:])
			if n += more; err != nil {
				break
			}
		}
		write()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.refused, conn)
	}()
}

// close closes those that are being refused; http.Server does it to the others.
func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.refused {
		conn.Close()
	}
}

// add takes a connection in, if there is room or room can be made; with private, it matters whose it is.
func (c *conns) add(conn net.Conn, private bool) bool {
	var from looker
	if p := peer.Of(conn); private && p != nil {
		from = p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) >= maxConns {
		var silent *connInfo
		for _, i := range c.all {
			if !i.working && (silent == nil || i.since.Before(silent.since)) {
				silent = i
			}
		}
		if silent == nil {
			return false
		}
		delete(c.all, silent.conn)
		silent.conn.Close()
	}
	c.all[conn] = &connInfo{conns: c, conn: conn, peer: from, since: time.Now()}
	return true
}

// state is http.Server.ConnState.
func (c *conns) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.all[conn]
	if i == nil {
		return
	}
	switch state {
	case http.StateIdle:
		i.since, i.working = time.Now(), false
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		if len(c.all) == 0 && c.idle != nil {
			c.idle()
		}
	}
}

type connKey struct{}

// context is http.Server.ConnContext: requests learn which connection is theirs.
func (c *conns) context(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return context.WithValue(ctx, connKey{}, c.all[conn])
}

// work notes that a whole request has come on the connection of ctx: it is not silent until it has been answered.
func work(ctx context.Context) {
	i, _ := ctx.Value(connKey{}).(*connInfo)
	if i == nil {
		return
	}
	i.conns.mu.Lock()
	defer i.conns.mu.Unlock()
	i.working = true
}
