package main

import (
	"os"
	"syscall"
)

// taken are the signals that the supervisor takes: all that can be caught, but those that belong to the Go runtime or libc.
func taken() []os.Signal {
	var all []os.Signal
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34:
		default:
			all = append(all, n)
		}
	}
	return all
}

// Main is the whole program, up to its exit code.
func Main() int {
	p := &program{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	return p.run(os.Args[1:])
}
