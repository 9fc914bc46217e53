// Package sdnotify lets daemons say that they are ready, by systemd's protocol (NOTIFY_SOCKET) or by that of s6 (a
// newline on a descriptor), and says so for the whole bundle to whoever has started the supervisor.
//
// Guarantees:
//
//  1. Each daemon has a socket of its own, so that it is known who speaks, even when the sender has ended already
//     (systemd-notify does at once).
//  2. A datagram counts only if the kernel says that its sender is a process of this pid namespace, and runs as root or
//     as the user that the daemon's main process has at that moment: a daemon that was started as root and has changed
//     its user speaks as that one.
//  3. A datagram is attributed to the life in which it was received; what lies in the socket when the next life begins
//     is dropped.
//  4. Every descriptor that comes in is closed, after what was sent before it has been done, so that a BARRIER tells the truth.
//     None is kept: FDSTORE has no effect. The main process is the one that was started: MAINPID has none either. Nothing
//     waits for a close that blocks, but other closes.
//  5. Any bytes can come in. Work and memory for a datagram are bounded, none can end the supervisor, and a daemon that sends
//     more than 1,000 in a second blocks. Who may not speak costs the daemon nothing of that.
//  6. The time of the watchdog is one in which we could run (package awake), and depends on nothing that is sent but WATCHDOG=1.
//
// The socket has an abstract address. It needs no directory, so it works where the whole file system is read-only and there
// is no /tmp, and it has no mode, so a daemon that runs as another user can write to it. That other containers of the same
// network namespace can write to it too is what guarantee 2 is for. A path would need a directory that every user can
// search and only we can write to, which a container need not have.
//
// The watchdog is that of systemd: from READY=1 on, WATCHDOG=1 must come at least once in the interval, which the
// variable WATCHDOG_USEC of the daemon's environment sets. What systemd does by WatchdogSec= is thus done by a line of
// environment in the bundle file. A daemon that misses it is unhealthy.
package sdnotify
