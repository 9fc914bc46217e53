// Package childtest helps to test programs that supervise daemons with packages child and root.
//
// Fake is a [child.Spawner] whose processes exist only in memory: they live in the time of the goroutine that uses them, so inside
// a testing/synctest bubble a minute takes no time. Each life of each daemon behaves as a [Life] says, and everything that was
// done to it is recorded.
//
// Lines keeps what real daemons write:
//
//	lines := childtest.NewLines(t)
//	r, err := root.New(root.Config{Specs: specs, Spawner: lines.Spawner()})
//	…
//	lines.Wait(ctx, "web", "listening")
//
// Guarantees:
//
//  1. A [Fake] obeys the contract of [child.Process], and reports as a violation whatever its user does against it; the conformance
//     test of package child runs one table against a Fake and against [child.Exec].
//  2. What a [Lines] has started does not outlive the test program: where that is killed, the kernel ends it (Linux).
//  3. A line is kept once the daemon has written it whole; who waits for one need not sleep.
package childtest
