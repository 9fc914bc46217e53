// Package probe finds out whether daemons are ready and healthy, and tells their actors.
//
// A Prober has a Plan for each daemon. It learns from events when a process of the daemon starts and ends, and reports child.Ready,
// Unhealthy, Extend and Note through a function that its user supplies. What others find out about a process (a line of its log, a
// datagram to NOTIFY_SOCKET) is passed to the Life that Begin returns.
//
// Guarantees:
//
//  1. Each check of a process has one goroutine, which ends with the process. Without checks there is no goroutine and no timer.
//  2. Nothing waits for a check. A program that is a check is killed with its process group when its time is up or the daemon's process
//     ends. At most one such program exists at a time, even if it cannot be killed.
//  3. Reports are about the right process: what is found out before the process is known to be started is kept until then, and what
//     arrives after its end is dropped.
//  4. A daemon with a readiness check and a health check is ready once both have succeeded, since Compose promises dependents that the
//     health check has. To lose no time, the health check is made at once when the readiness check succeeds.
//  5. A panic in a check is a failure of the check.
//  6. The time of a check and StartPeriod count only time in which we could run (package awake). A failure during which time stood still
//     does not count, unless that happens again and again.
//
// A health check works as in Docker: the first comes an interval after the start, the next an interval after the end of the one before.
// StartInterval replaces the interval during StartPeriod until the first success; failures in that time do not count. Retries failures in
// a row make the daemon unhealthy, one success makes it healthy again.
//
// A readiness check is made at once, then after 10 ms, 20 ms and so on, up to every second, until it succeeds.
package probe
