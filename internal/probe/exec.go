package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// Exec succeeds when p ends with 0. It is executed by spawner, under the name of the daemon that it asks about; spawner's Output
// is replaced: the last line that the program prints is part of the error. Do not use it on a goroutine that is locked to its
// thread. By spawn, unless it is nil, the caller learns of each process.
func Exec(spawner child.Exec, name string, p child.Program, spawn func(child.Spawner, *child.Spec) (child.Process, error)) Check {
	if spawn == nil {
		spawn = child.Spawner.Spawn
	}
	c := &program{spawner: spawner, spec: &child.Spec{Name: name, Program: p}, spawn: spawn, free: make(chan struct{}, 1)}
	c.free <- struct{}{}
	return c.check
}

// A program is a check that executes one.
type program struct {
	spawner child.Exec
	spec    *child.Spec
	spawn   func(child.Spawner, *child.Spec) (child.Process, error)
	free    chan struct{} // holds a token while no process of it exists
}

// errBusy is the error of a check that was never made.
var errBusy = errors.New("the one before cannot be ended")

// killWait is how long a check waits for the process that it has killed.
const killWait = 100 * time.Millisecond

func (p *program) check(ctx context.Context) error {
	select {
	case <-p.free: // the one of the life before may be about to die
	case <-ctx.Done():
		return errBusy
	}
	done := make(chan error, 1)
	go func() { // neither a program that hangs while it is executed nor one that cannot be killed holds us up
		err := p.run(ctx)
		p.free <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(killWait):
		return ctx.Err()
	}
}

// run executes the program and waits for its end, which comes soon after ctx is done.
func (p *program) run(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	out, err := newOutput()
	if err != nil {
		return err
	}
	defer out.close()
	spawner := p.spawner
	spawner.Output = func(*child.Spec) (child.Output, error) {
		return child.Output{Stdout: out.w, Stderr: out.w}, nil
	}
	proc, err := p.spawn(spawner, p.spec)
	out.w.Close()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	killed := make(chan struct{})
	go func() { // ends with the process
		defer close(killed)
		select {
		case <-ctx.Done():
			_ = proc.Signal(syscall.SIGKILL, true) // it may have just ended
		case <-ended:
		}
	}()
	exit := proc.Wait()
	close(ended)
	<-killed
	proc.Release(true)
	switch {
	case exit.Err != nil:
		return exit.Err
	case !exit.Failed():
		return nil
	}
	if line := out.lastLine(); line != "" {
		return fmt.Errorf("it ended with %s: %s", exit, line)
	}
	return fmt.Errorf("it ended with %s", exit)
}

// An output takes what a program prints, so that it does not block, and keeps the end of it.
type output struct {
	r, w *os.File
	done chan struct{}
	end  []byte
}

// keep is how much of the end is kept.
const keep = 512

func newOutput() (*output, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.Fd() // makes it blocking: programs do not expect EAGAIN
	o := &output{r: r, w: w, done: make(chan struct{})}
	go o.read() // ends with the pipe, or by lastLine or close
	return o, nil
}

func (o *output) read() {
	defer close(o.done)
	buf := make([]byte, 4096)
	add := func(b []byte) {
		o.end = append(o.end, b...)
		o.end = o.end[max(0, len(o.end)-keep):]
	}
	for {
		n, err := o.r.Read(buf)
		add(buf[:n])
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		break
	}
	// The process has ended, and its descendants may hold the pipe: take what is in it, and no more.
	_ = o.r.SetReadDeadline(time.Time{})
	conn, err := o.r.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool {
		for range 16 { // the size of a pipe
			n, err := unix.Read(int(fd), buf)
			if n <= 0 || err != nil {
				break
			}
			add(buf[:n])
		}
		return true
	})
}

// lastLine returns what the program, which has ended, printed last, fit for a line of the log.
func (o *output) lastLine() string {
	_ = o.r.SetReadDeadline(time.Now())
	<-o.done
	line := bytes.TrimSpace(o.end)
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	return printable.Text(string(line))
}

func (o *output) close() {
	o.r.Close()
	<-o.done
}
