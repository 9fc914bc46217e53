package log

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var newline = []byte{'\n'}

// A writer writes the output, and nothing else does. The holder of its lock writes whole lines.
//
// It makes plain system calls through the file's RawConn. It does not use (*os.File).Write, which raises SIGPIPE if file
// descriptor 1 or 2 is a broken pipe, nor Fd, which can change the file's blocking mode.
type writer struct {
	frame frame  // for the supervisor's own lines
	own   *queue // the supervisor's own lines
	keep  func(now time.Time, lines []byte, n int)

	ownTotal   atomic.Uint64
	ownDropped atomic.Uint64

	progress atomic.Uint64 // the number of system calls that have written something
	vain     atomic.Uint64 // the value of progress when somebody last waited in vain; at first a value that progress never has

	mu    sync.Mutex
	out   *os.File
	conn  syscall.RawConn
	mine  bool // out is a duplicate that repoll has made
	step  func(fd uintptr) bool
	rest  []byte // what step has yet to write
	err   error  // the error that has ended step
	again bool   // step has met EAGAIN
	gone  bool   // the consumer is gone: nothing is written any more
	torn  bool   // the last byte written was inside a line, because of an error
	lost  int    // the number of lines lost by errors and not reported yet
	cause error  // the last of those errors
}

func newWriter(out *os.File, own frame) *writer {
	w := &writer{frame: own, keep: func(time.Time, []byte, int) {}}
	w.step = w.try
	w.vain.Store(^uint64(0))
	w.own = &queue{
		send: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.writeOwn()
		},
		notice: func(dst []byte, dropped int) []byte {
			return w.appendOwn(dst, fmt.Appendf(nil, "%d lines of the supervisor dropped (stdout is full)", dropped))
		},
	}
	w.use(out)
	return w
}

// use makes out the file to which the output is written.
func (w *writer) use(out *os.File) {
	w.out = out
	w.conn, w.err = out.SyscallConn() // fails only for a nil or closed file
	w.gone = w.err != nil
}

// printf queues a line of the supervisor, or several.
func (w *writer) printf(format string, a ...any) {
	message := append(bytes.TrimRight(fmt.Appendf(nil, format, a...), "\n"), '\n')
	w.keep(time.Now(), message, bytes.Count(message, newline))
	b := w.appendOwn(nil, message)
	lines := bytes.Count(b, newline)
	w.ownTotal.Add(uint64(lines))
	w.ownDropped.Add(uint64(w.own.put(b, lines)))
}

// appendOwn appends message as output lines of the supervisor.
func (w *writer) appendOwn(dst, message []byte) []byte {
	header := w.frame.header(nil, time.Now())
	message = append(bytes.TrimRight(message, "\n"), '\n')
	split := w.frame.splitter()
	for len(message) > 0 {
		n, used, partial, _ := split.next(message, 0)
		dst = w.frame.line(dst, header, message[:n], endingOf(partial))
		message = message[used:]
	}
	return dst
}

// write writes b, which is whole lines, and returns how many of them were lost. It writes the supervisor's own queued lines
// first: their Printf was called before the lines in b were read from the pipe, or at the same time.
func (w *writer) write(b []byte) (lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.own.ready.Load() {
		w.writeOwn()
	}
	return w.put(b)
}

// writeOwn writes the supervisor's own queued lines. The caller holds the lock.
func (w *writer) writeOwn() {
	b, lines := w.own.take()
	w.ownDropped.Add(uint64(min(w.put(b), lines)))
	w.own.written(b)
}

// put writes b and returns how many of its lines were lost. The caller holds the lock.
func (w *writer) put(b []byte) (lost int) {
	if len(b) == 0 {
		return 0
	}
	if w.gone {
		return bytes.Count(b, newline)
	}
	var rest []byte
	var err error
	if w.torn {
		rest, err = w.all(newline)
		w.torn = len(rest) > 0
	}
	if !w.torn {
		rest, err = w.all(b)
		if done := len(b) - len(rest); done > 0 {
			w.torn = b[done-1] != '\n'
		}
	} else {
		rest = b
	}
	if err == nil {
		if w.lost > 0 {
			w.printf("%d lines lost (%v)", w.lost, w.cause)
			w.lost = 0
		}
		return 0
	}
	lost = bytes.Count(rest, newline)
	if errors.Is(err, syscall.EPIPE) {
		w.gone = true
		return lost
	}
	w.lost += lost
	w.cause = err
	return lost
}

// all writes b, and returns what is not written if there is an error. It waits as long as the file blocks.
func (w *writer) all(b []byte) (rest []byte, err error) {
	w.rest = b
	for tries := 0; ; tries++ {
		w.err, w.again = nil, false
		left := len(w.rest)
		err := w.conn.Write(w.step)
		if err == nil {
			err = w.err
		} else if w.again && !errors.Is(err, os.ErrClosed) {
			// EAGAIN from a file that is not in the poller: another process that shares the file has made it non-blocking
			// since it was opened here.
			if len(w.rest) < left {
				tries = 0
			}
			w.repoll(tries)
			continue
		}
		rest, w.rest = w.rest, nil
		return rest, err
	}
}

// try writes until nothing is left, there is an error, or the file would block, which it reports by false.
func (w *writer) try(fd uintptr) bool {
	for len(w.rest) > 0 {
		n, err := syscall.Write(int(fd), w.rest)
		if n > 0 {
			w.rest = w.rest[n:]
			w.progress.Add(1)
		}
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			w.again = true
			return false
		case err != nil:
			w.err = os.NewSyscallError("write", err)
			return true
		case n == 0:
			w.err = os.NewSyscallError("write", syscall.EIO) // otherwise a device that accepts nothing would be tried for ever
			return true
		}
	}
	return true
}

// repoll puts a duplicate of the output into the poller. The non-blocking flag belongs to the open file description, which the
// duplicate shares, but Go decides whether to poll a file when the *os.File is created.
func (w *writer) repoll(tries int) {
	if tries > 1 {
		<-time.After(10 * time.Millisecond) // it cannot be polled, so writing is tried periodically
	}
	fd := -1
	w.conn.Control(func(old uintptr) {
		syscall.ForkLock.RLock() // so that no program is executed between Dup and CloseOnExec
		defer syscall.ForkLock.RUnlock()
		var err error
		if fd, err = syscall.Dup(int(old)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if fd < 0 {
		return
	}
	if w.mine {
		w.out.Close()
	}
	w.mine = true
	w.use(os.NewFile(uintptr(fd), w.out.Name()))
}
