// Package top is the screen of the command top: what is shown, and what a key does.
//
// Guarantees:
//
//  1. It is pure: a Model and a size give lines, a key gives an Action. Who has the terminal and the supervisor is package main.
//  2. A screen has no more lines, and a line no more columns, than there is room for, whatever the daemons are called and have written.
//  3. What daemons have written is text on it, and no escape code.
package top
