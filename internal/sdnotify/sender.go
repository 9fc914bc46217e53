package sdnotify

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// speaker returns the daemon's main process if the datagram's sender may speak for it. Else it is 0, and why says it, with
// args, for Printf; it is empty where there is no process any more.
func (d *datagram) speaker() (pid int, why string, args []any) {
	switch {
	case d.life == nil:
		return 0, "", nil
	case d.cred == nil || d.cred.Pid <= 0:
		return 0, "a notification from outside of the container is ignored", nil
	}
	<-d.life.Started() // what it says may come before we know that it was started
	pid = d.life.PID()
	if pid != 0 && d.cred.Uid != 0 && !isUser(pid, d.cred.Uid) {
		return 0, "a notification from pid %d is ignored: it comes from user %d", []any{d.cred.Pid, d.cred.Uid}
	}
	return pid, "", nil
}

// isUser reports whether uid is one of the user IDs of process pid.
func isUser(pid int, uid uint32) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return int(uid) == os.Getuid()
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			for _, id := range strings.Fields(ids) {
				if n, err := strconv.ParseUint(id, 10, 32); err == nil && uint32(n) == uid {
					return true
				}
			}
			break
		}
	}
	return false
}
