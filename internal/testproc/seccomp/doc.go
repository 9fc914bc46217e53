// Package seccomp runs programs under a seccomp filter, as container engines do: a real filter of the kernel, so that what a
// program does on an old kernel, in a sandbox or under a strict profile can be tested on any Linux that has seccomp.
//
// A filter is inherited by all that the program starts, and nothing takes it away. Filters are installed in a process of
// their own, which becomes the program then: Main must be called first of all in the main function of what is executed for that,
// or in TestMain where it is the test binary itself.
package seccomp
