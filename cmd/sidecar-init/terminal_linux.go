package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hasTerminal reports whether f is our controlling terminal, so that its foreground can be handed on.
func hasTerminal(f *os.File) bool {
	_, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil
}
