package setup

import (
	"errors"
	"os"
	"strings"
)

// warm is the number of threads that are made in advance: two run Go, two are taken by package os/signal, one waits for
// the network poller, and the rest is for system calls that block at the same time, such as writing to stdout. With 4 a
// supervisor that could make no process survived in 9 of 20 runs, with 5 in 18, with 6 in all; each costs 20 kB.
const warm = 8

// Process prepares this process. It returns the environment that it was started with, and warnings; exposed is one for
// those who have something private in it, or "".
//
// If the process was started with blocked signals, it executes itself once more, and Process does not return.
func Process() (environ, warnings []string, exposed string) {
	tuneRuntime()
	var p, private preparation
	p.do("signals that were blocked at the start stay blocked in daemons", clearMask)
	p.do("signals that were ignored at the start stay ignored in daemons", defaultSignals)
	p.do("descriptors that were open at the start stay open in daemons", closeOnExec)
	environ = os.Environ()
	private.do("private variables can be read in /proc/PID/environ", eraseEnviron)
	clearEnviron()
	if os.Getpid() != 1 {
		p.do("orphans are left to PID 1", becomeSubreaper)
	}
	WarmThreads(warm)
	return environ, p.warnings, strings.Join(private.warnings, "")
}

// Client prepares a process that asks a supervisor, and starts none itself. It returns the environment that it was started with.
func Client() (environ []string) {
	environ = os.Environ()
	_ = eraseEnviron() // it lives for a moment only
	clearEnviron()
	return environ
}

type preparation struct{ warnings []string }

// do calls f; what it means that f has failed comes before its error.
func (p *preparation) do(meaning string, f func() error) {
	if err := f(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		p.warnings = append(p.warnings, meaning+": "+err.Error())
	}
}
