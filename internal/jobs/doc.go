// Package jobs runs the jobs of a bundle: by their schedules, and by hand.
//
// Guarantees:
//
//  1. There is never more than one run of a job. What comes during a run is refused or skipped, with a line, or with queue waits.
//  2. What is due is computed from the wall clock at each wake (package schedule). No instant fires twice, though the clock is set back;
//     what could not fire in time is one run, or none.
//  3. Jobs that are due at the same time start in the order of the file, one being executed after the other.
//  4. Nothing fires once the bundle ends: a start that comes later is refused by root.
//  5. Who waits for a run is told its end after all its output is in the log.
//
// A Keeper is an actor beside root: it tells root what to start and stop, and is told the events of the daemons that jobs are.
package jobs
