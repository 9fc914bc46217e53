package setup

import (
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
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
//
// In a program that is called to supervise, the signals have been taken since it began, and are not lost either.
func Take() <-chan os.Signal {
	if early != nil {
		<-early.done
		return early.signals
	}
	return receive(notify(Signals()))
}

// GiveBack undoes what the start has done in a program that only looked as if it were called to supervise: signals do again
// what they do by default. Take must not have been called.
func GiveBack() {
	if early != nil {
		<-early.done
		signal.Reset()
	}
}

// early is set before main begins, and not changed. From the moment at which the Go runtime handles a signal until somebody
// takes it, some milliseconds, it would end the process, PID 1 too; even SIGHUP, which means nothing to a supervisor, or
// asks it to reload something.
var early = takeEarly(os.Args)

// A taking is the signals that are taken while the program begins.
type taking struct {
	done    chan struct{} // closed when all are
	signals <-chan os.Signal
}

// takeEarly takes the signals. For each one package os/signal goes to a thread of its own and back, which would be two more switches of
// threads from the main goroutine, since that is locked to its thread until main begins: 2 to 4 ms for all. So another does it. Of those that
// end a process, or stop it, none is left when takeEarly returns; the real-time signals, which Go drops until then, are taken beside what
// else there is to initialise.
func takeEarly(args []string) *taking {
	if !supervises(args) {
		return nil
	}
	all := Signals()
	standard := slices.IndexFunc(all, func(sig os.Signal) bool { return sig.(syscall.Signal) > 31 })
	t := &taking{done: make(chan struct{})}
	taken := make(chan struct{})
	go func() { // as long as that takes
		defer close(t.done)
		cases := notify(all[:standard])
		close(taken)
		t.signals = receive(append(cases, notify(all[standard:])...))
		settle()
	}()
	<-taken
	return t
}

// supervises reports whether a command line is one that may run a bundle or a command. The others, tests among them, shall
// end at Ctrl-C.
func supervises(args []string) bool {
	switch len(args) {
	case 0:
		return false
	case 1:
		return !strings.HasSuffix(args[0], ".test")
	}
	return args[1] == "run" || strings.HasPrefix(args[1], "-") && !strings.HasPrefix(args[1], "-test.")
}

// notify takes signals, and makes a place for each of them.
func notify(signals []os.Signal) (cases []reflect.SelectCase) {
	for _, sig := range signals {
		c := make(chan os.Signal, 1)
		signal.Notify(c, sig)
		if sig != syscall.SIGPIPE { // of which nobody receives
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c)})
		}
	}
	return cases
}

// receive returns the channel on which all of them arrive.
func receive(cases []reflect.SelectCase) <-chan os.Signal {
	taken := make(chan os.Signal)
	go func() {
		for {
			_, sig, _ := reflect.Select(cases)
			taken <- sig.Interface().(os.Signal)
		}
	}()
	return taken
}
