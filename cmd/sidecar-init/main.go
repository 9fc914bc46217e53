// Command sidecar-init is the PID 1 of a container that runs several daemons, or one command.
//
// The main goroutine is locked to the main thread and reaps orphans, which the kernel gives to that thread; daemons are the
// children of other threads, so no orphan can be taken for a daemon. Two rules keep that true: the main goroutine never
// starts a process, and no goroutine that does ends while it is locked to its thread. See docs/adr/0002-orphans.md.
package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/bot-bottle/sidecar-init/internal/shim"
)

func init() { runtime.LockOSThread() }

func main() {
	shim.Main() // does not return in a process that is to become a daemon
	os.Exit(Main())
}

// version is set by the linker.
var version string

// versionLine is what the version command prints.
func versionLine() string {
	v := version
	if v == "" {
		v = "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v = info.Main.Version
		}
	}
	return "sidecar-init " + v + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
}
