// Package jobs runs the jobs of a bundle, on their schedules and by hand.
//
// Guarantees:
//
//  1. There is never more than one run of a job. A request or schedule during a run is refused or skipped, with a line in the log, or
//     waits if the job says queue.
//  2. Due runs are computed from the wall clock at each wake (package schedule). No instant fires twice, even if the clock is set back;
//     instants that were missed give one run, or none.
//  3. Jobs that are due at the same time start in the order of the file, each after the one before was executed.
//  4. Nothing fires once the bundle ends: root refuses a later start.
//  5. A caller that waits for a run learns of its end only after all its output is in the log.
//
// A Keeper is an actor beside root. It sends root commands to start and stop, and gets the events of the daemons that are jobs.
package jobs
