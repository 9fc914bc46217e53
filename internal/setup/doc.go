// Package setup makes a process fit to be a supervisor: what it has inherited shall neither hurt it nor reach its daemons.
//
// Guarantees:
//
//  1. After Process, a process that this program starts has an empty signal mask, and none of the descriptors that this
//     program was started with besides 0, 1 and 2. Once the signals of Take or Signals are taken too, it also has the
//     default disposition of every signal.
//  2. The environment is returned, and stands neither in /proc/PID/environ, where daemons of the same user could read
//     what is private to others, nor in os.Environ, from where it would reach a process that is started without an
//     environment of its own. (It still is in the memory of this process, for those who may ptrace it; only another user
//     or fewer capabilities help against that.)
//  3. As PID 1 or not, orphans become children of this process.
//  4. The Go runtime has the threads that it needs, so that it survives when the container has run out of pids.
//  5. Nothing here is fatal: what cannot be done is returned as a warning, of one line for each step. It needs no user
//     database, no writable file system and no /proc.
//
// Process is called once, first thing, by the main goroutine on the main thread. It starts no process.
package setup
