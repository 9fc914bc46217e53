package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/setup"
)

// runCommand runs one command in place of tini: it has our stdin, stdout and stderr and the foreground of the terminal,
// gets every signal, and its exit code is ours. Nothing is printed but what goes wrong.
func (p *program) runCommand(flags *runFlags, argv []string) (int, error) {
	for _, w := range p.warnings {
		p.complain("%s", w)
	}
	signals := setup.Take()
	pipe := make(chan os.Signal, 1) // Take drops SIGPIPE; here it is forwarded too
	signal.Notify(pipe, syscall.SIGPIPE)
	spawner := child.Exec{
		Stdin:      p.stdin,
		Output:     func(*child.Spec) (child.Output, error) { return child.Output{Stdout: p.stdout, Stderr: p.stderr}, nil },
		Foreground: hasTerminal(p.stdin),
	}
	c := &single{argv: argv, grace: flags.grace, group: flags.group, stopSignal: flags.stopSignal.sig, complain: p.complain}
	if c.stopSignal == 0 {
		c.stopSignal = syscall.SIGTERM
	}
	done := make(chan struct{})
	code := 0
	go func() { // main never forks: it is the orphan reaper
		defer close(done)
		code = c.run(spawner, p.environ, signals, pipe)
		if spawner.Foreground {
			reclaimTerminal(p.stdin) // also where CMD could not be executed: its process was in the foreground by then
		}
	}()
	p.orphans.Run(done)
	p.orphans.Sweep(time.Now().Add(flags.grace), sweepEnds)
	return code, nil
}

func (p *program) complain(format string, a ...any) {
	fmt.Fprintln(p.stderr, "sidecar-init: "+printable.Line(fmt.Sprintf(format, a...)))
}

// A single is CMD of run -- CMD.
type single struct {
	argv       []string
	grace      time.Duration
	group      bool           // its process group gets the signals
	stopSignal syscall.Signal // what SIGTERM is forwarded as
	complain   func(format string, a ...any)
	deadline   <-chan time.Time // since the first SIGTERM
}

// startTime is how long a start may still take after a signal that ends the program. It is longer than every start, unless
// a file system hangs.
const startTime = 100 * time.Millisecond

// run runs the command to its end and returns its exit code.
func (c *single) run(spawner child.Spawner, environ []string, signals, pipe <-chan os.Signal) int {
	proc, kept, err := c.start(spawner, environ, signals, pipe)
	switch {
	case err != nil:
		c.complain("%s cannot be started: %v", c.argv[0], err)
		return err.(*child.StartError).Code
	case proc == nil:
		return 0
	}
	for _, sig := range kept {
		c.forward(proc, sig)
	}
	exit := make(chan child.Exit, 1)
	go func() { exit <- proc.Wait() }()
	said, killed := make(chan struct{}), false
	for {
		select {
		case s := <-signals:
			c.forward(proc, s.(syscall.Signal))
		case s := <-pipe:
			c.forward(proc, s.(syscall.Signal))
		case <-c.deadline:
			_ = proc.Signal(syscall.SIGKILL, true)
			killed = true
			go func() { // since stderr may block
				defer close(said)
				c.complain("grace (%s) elapsed; SIGKILL on %s", given(c.grace), c.argv[0])
			}()
		case e := <-exit:
			if killed {
				select {
				case <-said:
				case <-time.After(logTime):
				}
			}
			return e.Status()
		}
	}
}

// start executes the command. The signals that come meanwhile are returned, each once; if one of them ends the program and
// the command is not executed soon, since its file system hangs, there is no process and no error: nothing runs yet.
func (c *single) start(spawner child.Spawner, environ []string, signals, pipe <-chan os.Signal) (proc child.Process, kept []syscall.Signal, err error) {
	type result struct {
		proc child.Process
		err  error
	}
	spawned := make(chan result, 1)
	go func() {
		proc, err := spawner.Spawn(&child.Spec{Name: c.argv[0], Program: child.Program{Argv: c.argv, Env: environ}})
		spawned <- result{proc, err}
	}()
	var tooLong <-chan time.Time
	for {
		var s os.Signal
		select {
		case s = <-signals:
		case s = <-pipe:
		case <-tooLong:
			return nil, nil, nil
		case r := <-spawned:
			return r.proc, kept, r.err
		}
		sig := s.(syscall.Signal)
		if !slices.Contains(kept, sig) {
			kept = append(kept, sig)
		}
		if endsBundle(sig) && tooLong == nil {
			tooLong = time.After(startTime)
		}
	}
}

// forward sends the command what we got.
func (c *single) forward(proc child.Process, sig syscall.Signal) {
	if sig == syscall.SIGTERM {
		if c.deadline == nil {
			c.deadline = time.After(c.grace)
		}
		sig = c.stopSignal
	}
	_ = proc.Signal(sig, c.group) // it may have just ended
}
