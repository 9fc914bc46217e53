//go:build !linux || (!amd64 && !arm64)

package seccomp

// Main does nothing: no process is to install a filter here.
func Main() {}
