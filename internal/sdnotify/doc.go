// Package sdnotify lets daemons say that they are ready, by systemd's protocol (NOTIFY_SOCKET) or s6's (a newline on a descriptor), and
// says so for the whole bundle to the program that has started the supervisor.
//
// Guarantees:
//
//  1. Each daemon has a socket of its own, so the sender is known even if it has already ended (systemd-notify does at once).
//  2. A datagram counts only if the kernel says that its sender is a process of this pid namespace and runs as root or as the user that
//     the daemon's main process has at that moment: a daemon that was started as root and has changed its user sends as the new user.
//  3. A datagram is attributed to the process during whose life it was received; what is in the socket when the next process starts is
//     dropped.
//  4. Every descriptor that is received is closed, after what was sent before it was done, so a BARRIER works. None is kept: FDSTORE has
//     no effect. The main process is the one that was started: MAINPID has no effect either. Only other closes wait for a close that
//     blocks.
//  5. Any bytes can arrive. Work and memory for a datagram are bounded, no datagram can end the supervisor, and a daemon that sends more
//     than 1,000 in a second blocks. Senders that are not allowed do not use up the daemon's share.
//  6. The watchdog counts only time in which we could run (package awake), and depends only on WATCHDOG=1 messages.
//
// The socket has an abstract address. It needs no directory, so it works if the whole file system is read-only and there is no /tmp, and
// it has no mode, so a daemon that runs as another user can write to it. Other containers in the same network namespace can write to it
// too, for which there is guarantee 2. A path would need a directory that every user can search and only we can write to, which a
// container need not have.
//
// The watchdog is systemd's: after READY=1, WATCHDOG=1 must arrive at least once in the interval, which the variable WATCHDOG_USEC of the
// daemon's environment sets. So a line of environment in the bundle file does what WatchdogSec= does in systemd. A daemon that misses the
// interval is unhealthy.
package sdnotify
