// Command testdaemon is the daemon of package testproc as a program of its own, for container images and for tests
// that start daemons by name. Its arguments are the script. It also puts other programs under a filter of package seccomp.
package main

import (
	"fmt"
	"os"

	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

func main() {
	seccomp.Main()
	testproc.Main()
	fmt.Fprintln(os.Stderr, "testdaemon: this program must be called testdaemon, or have testproc as its first argument")
	os.Exit(125)
}
