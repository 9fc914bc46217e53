package sdnotify

import (
	"bytes"
	"fmt"
	"os"
)

// Pipe makes a daemon's notification descriptor, as s6 has it: the first newline that is written to it says that the
// daemon is ready. What else is written does not matter, and neither does it if the descriptor is closed without a
// newline, except that the daemon is never ready then.
//
// The files become the descriptors 3, 4, … of the process, of which only fd (at least 3) is not nil; close is to be
// called when the process has them.
func Pipe(fd int, life Life) (files []*os.File, close func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a notification descriptor: %w", err)
	}
	w.Fd() // makes it blocking: programs do not expect EAGAIN
	life.AtEnd(func() { r.Close() })
	go await(r, life) // ends with the life, at the latest
	files = make([]*os.File, fd-2)
	files[fd-3] = w
	return files, func() { w.Close() }, nil
}

// await waits for the newline. Until the life is over it takes what comes after it, since the daemon would get SIGPIPE
// if nobody read.
func await(r *os.File, life Life) {
	defer r.Close()
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		if bytes.IndexByte(buf[:n], '\n') >= 0 {
			life.Ready()
		}
		if err != nil {
			return
		}
	}
}
