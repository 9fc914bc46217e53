//go:build !linux

package log

// buffered returns an upper bound for the number of bytes in the pipe: its capacity.
func buffered(uintptr) int { return pipeSize }
