package sdnotify

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// sendTimeout is how long Upward tries to send.
const sendTimeout = time.Second

// Upward waits until all daemons of the bundle are ready, and says so, once, to the socket at address: the NOTIFY_SOCKET of
// the supervisor itself. A daemon that has ended with 0, or was stopped by hand, is none that is waited for. It returns
// nil when the bundle has ended before.
func Upward(address string, bundle actor.Ref[root.Msg]) error {
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return fmt.Errorf("cannot notify %s: neither a path nor an abstract address", address)
	}
	reply := actor.NewReply[[]child.Status]()
	if bundle.Tell(root.Await{Until: allReady, Reply: reply}) != nil {
		return nil
	}
	select {
	case <-reply.C():
	case <-bundle.Done():
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot notify %s: %w", address, err)
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout)) // its queue may be full
	if _, err := conn.Write([]byte("READY=1\n")); err != nil {
		return fmt.Errorf("cannot notify %s: %w", address, err)
	}
	return nil
}

// allReady reports whether nothing is left to be waited for.
func allReady(daemons []child.Status) bool {
	for _, d := range daemons {
		switch d.State {
		case child.StateRunning, child.StateReady, child.StateStopped:
		case child.StateExited:
			if !d.Completed {
				return false
			}
		default:
			return false
		}
	}
	return true
}
