// Package top is the screen of the command top: what is shown, and what a key does.
//
// Guarantees:
//
//  1. It is pure: a Model and a size give lines, a key gives an Action. Package main has the terminal and the supervisor.
//  2. A screen has no more lines, and a line no more columns, than fit, whatever the daemons are called and have written.
//  3. Output of daemons is shown as text, never as escape codes.
package top
