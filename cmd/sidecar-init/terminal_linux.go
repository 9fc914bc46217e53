package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hasTerminal reports whether f is our controlling terminal and we are in its foreground, which can then be handed on.
func hasTerminal(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
