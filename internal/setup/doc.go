// Package setup prepares a process to be a supervisor, so that nothing it has inherited affects it or its daemons.
//
// Guarantees:
//
//  1. After Process, a process that this program starts has an empty signal mask, and none of the descriptors that this program was
//     started with except 0, 1 and 2. Once the signals of Take or Signals are taken too, it also has the default disposition of every
//     signal.
//  2. The environment is returned, and removed both from /proc/PID/environ, where daemons of the same user could read what is private to
//     others, and from os.Environ, which would pass it to a process that is started without an environment of its own. (It is still in the
//     memory of this process, for those who may ptrace it; only another user or fewer capabilities help against that.)
//  3. Orphans become children of this process, as PID 1 or not.
//  4. The Go runtime has the threads that it needs, so the program survives when the container has run out of pids.
//  5. Nothing here is fatal: a step that fails is returned as a warning of one line. No user database, writable file system or /proc is
//     needed.
//
// Process must be called once, at the very start, by the main goroutine on the main thread. It starts no process.
package setup
