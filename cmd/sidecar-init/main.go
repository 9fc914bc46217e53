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
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/selftest"
	"github.com/bot-bottle/sidecar-init/internal/shim"
)

func init() {
	if isClient(os.Args) {
		runtime.GOMAXPROCS(1)
		return
	}
	runtime.LockOSThread()
}

// isClient reports whether a command line is that of a command beside run. It needs few threads then, since a container that is
// out of pids is one that is asked how it is: it does without the main thread's role, which takes one thread more, and with
// one processor, since the runtime makes threads for those that have nothing to do.
func isClient(args []string) bool {
	return len(args) > 1 && args[1] != "run" && strings.Trim(args[1], "abcdefghijklmnopqrstuvwxyz") == ""
}

func main() {
	shim.Main()     // does not return in a process that is to become a daemon
	selftest.Main() // nor in one of its daemons
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
