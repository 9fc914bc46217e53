package child

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// daemonVariable is the environment variable by which the descendants of a daemon are known to be its own.
const daemonVariable = "SIDECAR_INIT_DAEMON"

// mark returns the entry of that variable.
func mark(env []string) string {
	for _, kv := range env {
		if strings.HasPrefix(kv, daemonVariable+"=") {
			return kv
		}
	}
	return ""
}

// ticks is the time since the boot in the unit of proc.Stat.Start.
func ticks() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return uint64(time.Duration(now.Nano()) / (10 * time.Millisecond))
}

// Strays reports whether processes live that the main process, which has ended, has started: in its group, in its session,
// or among the orphans, where a program is that goes into the background.
func (p *osProcess) Strays() bool {
	for _, s := range p.procs.Look() {
		if !s.Dead() && s.PID != p.PID() && (s.Group == p.PID() || s.Session == p.PID()) {
			return true
		}
	}
	return slices.ContainsFunc(proc.Orphans(), p.isStray)
}

// briefly, in ticks, is how long a program lives at most that puts itself into the background: 10 s.
const briefly = 1000

// isStray reports whether an orphan is a descendant. Its environment says whose it is. Where that is not to be read, or was
// written over (by a title, as nginx does), it is taken for one if it began while the main process lived, which was brief.
func (p *osProcess) isStray(pid int) bool {
	s := proc.Read(pid)
	if s.Dead() {
		return false
	}
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	variables := bytes.Split(env, []byte{0})
	known := slices.ContainsFunc(variables, func(kv []byte) bool { return bytes.HasPrefix(kv, []byte(daemonVariable+"=")) })
	if known {
		return slices.ContainsFunc(variables, func(kv []byte) bool { return string(kv) == p.mark })
	}
	return p.mark != "" && s.Start >= p.began && ticks()-p.began < briefly
}
