// Package testproc provides daemons for tests, twice over.
//
// Fake is a child.Spawner whose processes exist only in memory: they live in the time of the goroutine that uses
// them, so inside a testing/synctest bubble a minute takes no time. Each life of each daemon behaves as a Life says,
// and everything that was done to it is recorded.
//
// Main makes the test binary itself a real daemon, driven by a script of a few words:
//
//	func TestMain(m *testing.M) {
//		testproc.Main() // does not return in a process that is meant to be a daemon
//		os.Exit(m.Run())
//	}
//
//	spec := testproc.Spec("web", "trap TERM { print bye; exit 3 }; print ready; block")
//
// The words are listed at Main. The same program, for images without a Go toolchain, is cmd/testdaemon.
//
// Guarantees:
//
//  1. A Fake obeys the contract of child.Process, and reports as a violation whatever its user does against it; the
//     conformance test of package child runs one table against a Fake and against child.Exec.
//  2. A scripted daemon has the signal dispositions of a C program, not of a Go one: SIGUSR1 kills it, SIGQUIT does not
//     print stacks.
//  3. A line that it prints is one write(2), so a test that has read a line knows where the daemon is. Tests wait for
//     lines; they need not sleep.
//  4. A script that cannot be obeyed word for word is exit code 125, before its first word is obeyed.
package testproc
