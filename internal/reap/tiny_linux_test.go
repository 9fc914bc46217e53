//go:build !amd64

package reap

// Elsewhere a shell does the same, and TestNoStatusIsLost makes fewer processes.
var (
	tinyExit    = []byte("#!/bin/sh\nexit $#\n")
	tinyOrphans = []byte("#!/bin/sh\nwhile [ $# -gt 0 ]; do ( : & ); shift; done\n")
)
