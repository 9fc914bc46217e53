package sdnotify

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// A message is what a datagram says, as far as it is understood.
type message struct {
	ready     bool
	reloading bool
	stopping  bool
	barrier   bool
	alive     bool           // WATCHDOG=1
	trigger   bool           // WATCHDOG=trigger
	status    *string        // one line
	watchdog  *time.Duration // WATCHDOG_USEC
	extend    time.Duration  // EXTEND_TIMEOUT_USEC; 0 is nothing
	mainPID   int            // 0 is nothing
}

const (
	// maxDatagram is systemd's limit too: the size that is written to a pipe in one piece.
	maxDatagram = 4096
)

// parse reads a datagram. What is unknown, or makes no sense, is passed over; ok is false if nothing in it is to be
// believed.
func parse(b []byte) (m message, ok bool) {
	b = bytes.TrimSuffix(b, []byte{0})
	if len(b) > maxDatagram || bytes.IndexByte(b, 0) >= 0 {
		return m, false
	}
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		key, value, found := strings.Cut(string(line), "=")
		if !found {
			continue
		}
		switch key {
		case "READY":
			m.ready = m.ready || value == "1"
		case "RELOADING":
			m.reloading = m.reloading || value == "1"
		case "STOPPING":
			m.stopping = m.stopping || value == "1"
		case "BARRIER":
			m.barrier = m.barrier || value == "1"
		case "WATCHDOG":
			m.alive = m.alive || value == "1"
			m.trigger = m.trigger || value == "trigger"
		case "STATUS":
			if s, ok := oneLine(value); ok {
				m.status = &s
			}
		case "WATCHDOG_USEC":
			if d, ok := microseconds(value); ok {
				m.watchdog = &d
			}
		case "EXTEND_TIMEOUT_USEC":
			if d, ok := microseconds(value); ok {
				m.extend = d
			}
		case "MAINPID":
			if pid, err := strconv.ParseInt(value, 10, 32); err == nil && pid > 0 {
				m.mainPID = int(pid)
			}
		}
	}
	return m, true
}

// microseconds reads a number of them; more than a Duration holds is the largest one.
func microseconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond, true
}

// oneLine makes a status fit for a terminal. One that is not UTF-8 is refused, as systemd does.
func oneLine(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	return printable.Text(s), true
}
