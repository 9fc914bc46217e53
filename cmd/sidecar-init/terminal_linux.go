package main

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// hasTerminal reports whether f is our controlling terminal and we are in its foreground, which can then be handed on.
func hasTerminal(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// reclaimTerminal puts our process group back into the foreground of the terminal f. Without it the script that has called us
// would be in the background of its own terminal from then on: it could not read, and with stty tostop not even write.
func reclaimTerminal(f *os.File) {
	// A process in the background gets SIGTTOU for that, unless the thread blocks it: one that is caught is sent again and
	// again, and one that is ignored is inherited.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ttou, old unix.Sigset_t
	ttou.Val[0] = 1 << (unix.SIGTTOU - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &ttou, &old); err != nil {
		return
	}
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPGRP, unix.Getpgrp()) // it may be hung up
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
}
