// Package plan says what a new bundle file means for a bundle that runs: which daemons are started, stopped or restarted, which
// only go on under other rules, and why.
//
// Guarantees:
//
//  1. New is a pure function of the old bundle, the new one and the states of the daemons: no clock, no I/O.
//  2. A daemon is restarted only where the program, or what it is executed with, is another one; that is the answer of
//     child.Spec.Compare too, by which package root acts.
//  3. Causes are names of keys. A value, which may be private, is never in a Plan.
package plan
