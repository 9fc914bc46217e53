package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/prime"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// runCommand runs one command in place of tini: it has our stdin, stdout and stderr and the foreground of the terminal,
// gets every signal, and its exit code is ours. Nothing is printed but what goes wrong.
func (p *program) runCommand(flags *runFlags, argv []string) (int, error) {
	for _, w := range p.warnings {
		p.complain("%s", w)
	}
	signals := prime.Take()
	pipe := make(chan os.Signal, 1) // Take drops SIGPIPE; here it is forwarded too
	signal.Notify(pipe, syscall.SIGPIPE)
	result := make(chan int, 1)
	go func() { result <- p.supervise(flags.grace, argv, signals, pipe) }() // main never forks: it is the orphan reaper
	done := make(chan struct{})
	code := 0
	go func() { code = <-result; close(done) }()
	p.orphans.Run(done)
	p.orphans.Sweep(time.Now().Add(flags.grace), sweepEnds)
	return code, nil
}

func (p *program) complain(format string, a ...any) {
	fmt.Fprintln(p.stderr, "sidecar-init: "+printable.Line(fmt.Sprintf(format, a...)))
}

// supervise runs argv to its end and returns its exit code.
func (p *program) supervise(grace time.Duration, argv []string, signals, pipe <-chan os.Signal) int {
	spec := &child.Spec{Name: argv[0], Argv: argv, Env: p.environ}
	spawner := child.Exec{
		Stdin:      p.stdin,
		Output:     func(*child.Spec) (child.Output, error) { return child.Output{Stdout: p.stdout, Stderr: p.stderr}, nil },
		Foreground: hasTerminal(p.stdin),
	}
	if spawner.Foreground {
		defer reclaimTerminal(p.stdin) // also where CMD could not be executed: its process was in the foreground by then
	}
	proc, err := spawner.Spawn(spec)
	if err != nil {
		p.complain("%s cannot be started: %v", argv[0], err)
		return err.(*child.StartError).Code
	}
	exit := make(chan child.Exit, 1)
	go func() { exit <- proc.Wait() }()
	var deadline <-chan time.Time
	for {
		select {
		case s := <-signals:
			_ = proc.Signal(s.(syscall.Signal), false) // it may have just ended
			if s == syscall.SIGTERM && deadline == nil {
				deadline = time.After(grace)
			}
		case <-pipe:
			_ = proc.Signal(syscall.SIGPIPE, false)
		case <-deadline:
			p.complain("grace (%s) elapsed; SIGKILL on %s", given(grace), argv[0])
			_ = proc.Signal(syscall.SIGKILL, true)
		case e := <-exit:
			return e.Status()
		}
	}
}
