package schedule

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Timer wakes at a moment of the wall clock, and when the clock is set.
type Timer struct {
	fd   int
	file *os.File
	mu   sync.Mutex // fd is not used after Close
	gone bool
}

// NewTimer makes a Timer on which nothing is set. The error is that of timerfd_create(2).
func NewTimer() (*Timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &Timer{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

// Set makes the Timer wake at that moment, in place of what was set before; the zero Time is never. What has passed wakes at once.
// ErrClockSet says that the clock was set since the last Set: the moment counts, but may have been computed from another time.
func (t *Timer) Set(at time.Time) error {
	var spec unix.ItimerSpec
	if !at.IsZero() {
		ns := max(at.UnixNano(), 1) // 0 would disarm it
		spec.Value = unix.NsecToTimespec(ns)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return os.ErrClosed
	}
	err := unix.TimerfdSettime(t.fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &spec, nil)
	if errors.Is(err, unix.ECANCELED) {
		return ErrClockSet
	}
	return os.NewSyscallError("timerfd_settime", err)
}

// Run calls wake each time that the moment has come or, while one is set, the clock was. It returns after Close.
func (t *Timer) Run(wake func()) error {
	var count [8]byte
	for {
		_, err := t.file.Read(count[:])
		switch {
		case err == nil, errors.Is(err, syscall.ECANCELED): // the clock was set (timerfd_create(2))
			wake()
		case errors.Is(err, os.ErrClosed):
			return nil
		default:
			return err
		}
	}
}

// Close ends Run.
func (t *Timer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	return t.file.Close()
}
