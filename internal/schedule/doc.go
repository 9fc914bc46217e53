// Package schedule computes when crontab expressions are due.
//
// Guarantees:
//
//  1. Due times are computed from the wall clock, never from the last one and an interval.
//  2. A time of day that is skipped by a clock change (daylight saving) fires once, at the instant of the change; one that occurs twice
//     fires the first time. An expression that fires every hour fires in each real hour.
//  3. Next and Due take time that does not depend on how long nothing was done.
//  4. A waiting Timer causes no wake-up: it is one descriptor of the kernel, which also reports that the clock was set.
//
// Expressions are parsed by github.com/netresearch/go-cron. Its Next does not handle daylight saving as the second guarantee says (it
// fires twice, and not at all if midnight is skipped), so it is used in UTC, and the changes of the zone are handled here.
package schedule
