package bundle

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// The real-time signals, as glibc numbers them for its users.
const (
	rtMin = 34
	rtMax = 64
)

// ParseSignal reads the name or number of a signal: HUP, SIGHUP, 1, RTMIN+1, SIGRTMAX-1, in upper or lower case.
func ParseSignal(name string) (syscall.Signal, error) {
	upper := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		if n < 1 || n > rtMax {
			return 0, fmt.Errorf("there is no signal %d: the numbers are 1 to %d", n, rtMax)
		}
		return syscall.Signal(n), nil
	}
	if offset, ok := strings.CutPrefix(upper, "RTMIN"); ok {
		if n, ok := realTime(offset, '+'); ok {
			return syscall.Signal(rtMin + n), nil
		}
	}
	if offset, ok := strings.CutPrefix(upper, "RTMAX"); ok {
		if n, ok := realTime(offset, '-'); ok {
			return syscall.Signal(rtMax - n), nil
		}
	}
	if n := unix.SignalNum("SIG" + upper); n != 0 {
		return n, nil
	}
	return 0, fmt.Errorf("unknown signal %q%s", name, compose.DidYouMean(upper, signalNames()))
}

// realTime reads the offset of a real-time signal, such as +1.
func realTime(offset string, sign byte) (int, bool) {
	if offset == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(offset[1:], 10, 8)
	return int(n), err == nil && offset[0] == sign && n <= rtMax-rtMin
}

// signalNames are the names of the standard signals, without SIG.
func signalNames() (names []string) {
	for n := syscall.Signal(1); n < 32; n++ {
		names = append(names, strings.TrimPrefix(child.SignalName(n), "SIG"))
	}
	return names
}

// unroutable says why a signal cannot be routed, or "".
func unroutable(sig syscall.Signal) string {
	switch sig {
	case syscall.SIGKILL, syscall.SIGSTOP:
		return "no program can catch it"
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		return "it stops the bundle"
	case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGPROF:
		return "the supervisor needs it itself"
	case 32, 33, 34:
		return "the C library or the Go runtime needs it"
	}
	return ""
}
