// Package schedule says when what is due by a crontab expression is due.
//
// Guarantees:
//
//  1. What fires is computed from the wall clock, never from the last fire and an interval.
//  2. A time of day that a change of the clock skips (daylight saving) fires once, at the instant of the change; one that comes
//     twice fires the first time. Where every hour fires, each real hour does.
//  3. Next and Due take time that does not depend on how long nothing was done.
//  4. A Timer that waits costs no wake: it is one descriptor of the kernel, which also tells that the clock was set.
//
// Expressions are read by github.com/netresearch/go-cron. Its Next knows no daylight saving as the second guarantee has it (it fires
// twice, and not at all where midnight is skipped), so it is asked in UTC, and the changes of the zone are walked here.
package schedule
