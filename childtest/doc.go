// Package childtest helps to test programs that supervise daemons with packages child and root.
//
// [Fake] is a [child.Spawner] whose processes exist only in memory. They use the clock of the goroutine that uses them, so inside a
// testing/synctest bubble a minute takes no time. A [Life] says how each process of a daemon behaves, and everything that is done
// to it is recorded.
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
//  1. A [Fake] obeys the contract of [child.Process], and reports every violation of it by its user. The conformance test of
//     package child runs the same table against a Fake and against [child.Exec].
//  2. Processes that a [Lines] has started do not outlive the test program: if that is killed, the kernel ends them (Linux).
//  3. A line is kept as soon as the daemon has written it whole, so a test waits for a line and need not sleep.
package childtest
