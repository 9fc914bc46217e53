// Package plan computes what a new bundle file means for a running bundle: which daemons are started, stopped or restarted, which only
// get other rules, and why.
//
// Guarantees:
//
//  1. New is a pure function of the old bundle, the new one and the states of the daemons: no clock, no I/O.
//  2. A daemon is restarted only if its program, or what that is executed with, has changed. child.Spec.Compare, by which package root
//     acts, gives the same answer.
//  3. Causes are names of keys. A Plan never has a value, since that may be private.
package plan
