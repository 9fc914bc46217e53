// Package probe finds out whether daemons are ready and healthy, and tells their actors.
//
// A Prober has a Plan for each daemon. It learns from events when a life of the daemon begins and ends, and tells
// child.Ready, Unhealthy, Extend and Note by a function that its user supplies. What others find out about a
// process (a line of its log, a datagram to NOTIFY_SOCKET) comes in through the Life that Begin returns.
//
// Guarantees:
//
//  1. Each check of a life has one goroutine, which ends with the life. Where nothing is probed there is none, and no
//     timer.
//  2. Nothing waits for a check. A program that is a check is killed with its process group when its time is up or the
//     life ends; at most one of them exists at a time, even where it cannot be killed.
//  3. What is told is about the right life: whatever is found out before the process is known to be started is kept
//     until then, and what comes after its end is forgotten.
//  4. A daemon with a readiness check and a health check is ready once both have succeeded, since Compose promises to
//     those who depend on it that the latter has. So that this costs no time, the health check is made at once
//     when the other one succeeds.
//  5. A panic in a check is a failure of the check.
//  6. The time of a check and StartPeriod are counted while we can run (package awake); a failure in which time stood still
//     does not count, unless it does so again and again.
//
// A health check is Docker's: the first one comes an interval after the start, the next an interval after the end
// of the one before; StartInterval takes the place of the interval during StartPeriod until the first success; a
// failure in that time does not count; Retries failures in a row make the daemon unhealthy, one success makes it
// healthy again.
//
// A readiness check is made at once, then after 10 ms, 20 ms and so on up to every second, until it first succeeds.
package probe
