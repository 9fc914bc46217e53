package prime

import (
	"os"
	"os/signal"
	"reflect"
	"syscall"
)

// Signals are those that a supervisor takes by signal.Notify: all that can be caught, but for SIGCHLD (the reaper's),
// SIGURG and SIGPROF (the Go runtime's) and 32 to 34 (the C library's).
//
// Taking them is what keeps ignored signals from daemons, too: an ignored signal stays ignored across execve, and the Go
// runtime sets to the default, in a process that it starts, only those that it handles. For the same reason unwanted ones
// are taken and dropped, SIGPIPE among them, never ignored (signal.Ignore).
func Signals() []os.Signal {
	var all []os.Signal
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch sig {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34:
		default:
			all = append(all, sig)
		}
	}
	return all
}

// Take takes all Signals from now on, and returns the channel on which they arrive, except SIGPIPE, which is dropped: it
// comes from our own writes.
//
// No signal is lost, however slow the receiver is, and however many there are of another: as in the kernel, those of the
// same number that nobody has received yet are one, and each number has a place of its own. (With one channel for all,
// signal.Notify drops what does not fit, and a flood of SIGHUP would hide a SIGTERM.)
func Take() <-chan os.Signal {
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE) // nobody receives
	var cases []reflect.SelectCase
	for _, sig := range Signals() {
		if sig == syscall.SIGPIPE {
			continue
		}
		c := make(chan os.Signal, 1)
		signal.Notify(c, sig)
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)})
	}
	taken := make(chan os.Signal)
	go func() {
		for {
			_, sig, _ := reflect.Select(cases)
			taken <- sig.Interface().(os.Signal)
		}
	}()
	return taken
}
