package sdnotify

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/awake"
)

// The watchdog of a Socket. Its clock is a timer of its own, so that nothing that is sent can stop it. All of this is called
// with Socket.mu held, except late.

// schedule makes the watchdog wait for d from now; 0 is for ever.
func (s *Socket) schedule(d time.Duration) {
	s.period++
	s.spared = false
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if d > 0 {
		s.expect(d)
	}
}

func (s *Socket) expect(d time.Duration) {
	period := s.period
	s.timer = awake.AfterFunc(d, func() { s.late(period) })
}

// late is called when nothing has been heard in a period. What lies there unread may be WATCHDOG=1: then it is waited for
// once more, and not again, since others can see to it that something always does.
func (s *Socket) late(period uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case period != s.period: // it was heard meanwhile
	case !s.spared && s.unread():
		s.spared = true
		s.expect(s.interval)
	default:
		s.missed = true
		s.life.Unhealthy(fmt.Sprintf("its watchdog heard nothing for %s", s.interval))
	}
}

// unread reports whether there is a datagram that has not been heard.
func (s *Socket) unread() bool {
	ready := false
	err := s.raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, _ := unix.Poll(p, 0)
		ready = n > 0
	})
	return s.hearing || err == nil && ready
}

// Pause makes the watchdog wait while the daemon is frozen; with false its time begins anew.
func (s *Socket) Pause(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waits := s.timer != nil
	switch {
	case on && waits:
		s.schedule(0)
		s.paused = true
	case !on && s.paused:
		s.paused = false
		if s.armed && !s.missed && !waits {
			s.schedule(s.interval)
		}
	}
}
