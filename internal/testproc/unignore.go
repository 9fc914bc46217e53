package testproc

import (
	"os"
	"os/signal"
	"syscall"
)

// Unignore gives the processes that a test starts the default disposition of signals that this one has found ignored, as SIGHUP
// is under nohup, and SIGINT and SIGQUIT in the background of a script. What it gets of them itself it still ignores. A TestMain
// calls it before the tests.
func Unignore() {
	var ignored []os.Signal
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(sig) {
			ignored = append(ignored, sig)
		}
	}
	if len(ignored) > 0 {
		signal.Notify(make(chan os.Signal, 1), ignored...) // nobody receives
	}
}
