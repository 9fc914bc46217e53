// Package selftest finds out which guarantees of sidecar-init hold where it runs. It runs a bundle of this same program, whose daemons are
// this program too, and checks the results.
//
// Guarantees:
//
//  1. It needs only /proc and this program: no shell, no writable directory, no privilege.
//  2. It ends within ten seconds, and leaves nothing behind: no process, no file, no socket.
//  3. It reports only what it has observed. Something that this container cannot have is not reported as a failure.
package selftest
