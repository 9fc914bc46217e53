// Package childtest helps to test programs that supervise daemons with packages child and root.
//
// [Fake] is a [child.Spawner] whose processes exist only in memory. They use the clock of the goroutine that uses them, so a minute
// takes no time inside a testing/synctest bubble. A [Life] says how a process behaves, and everything that is done to it is
// recorded.
//
// [Lines] keeps the output of real daemons:
//
//	lines := childtest.NewLines(t)
//	r, err := root.New(root.Config{Specs: specs, Spawner: lines.Spawner()})
//	…
//	lines.Wait(ctx, "web", "listening")
//
// Guarantees:
//
//  1. A [Fake] obeys the contract of [child.Process], and reports every violation of the contract by its user. The conformance
//     test of package child runs the same test cases against a Fake and against [child.Exec].
//  2. Processes that the spawner of a [Lines] has started do not outlive the test program: if it is killed, the kernel kills them
//     (on Linux).
//  3. A line is kept as soon as the daemon has written all of it, so a test can wait for a line and need not sleep.
package childtest
