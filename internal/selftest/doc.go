// Package selftest finds out what of the guarantees of sidecar-init holds where it runs: it runs a bundle of this same program, with daemons
// that are this program too, and looks at what comes of it.
//
// Guarantees:
//
//  1. It needs nothing but /proc and this program: no shell, no writable directory, no privilege.
//  2. It ends within ten seconds, and leaves nothing behind: no process, no file, no socket.
//  3. What it says to hold it has seen. What this container cannot have it does not call a failure.
package selftest
