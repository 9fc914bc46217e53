// Package sidecarinit holds the tests about the repository itself: which package may import which, that every exported
// name is documented, what is linked into the binary and how large that is, what a release has, and that README's commands work. There is
// nothing to import in it.
//
// The program is cmd/sidecar-init. To supervise daemons from a program of your own, begin with package root.
package sidecarinit
