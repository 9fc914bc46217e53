// Package repo holds the tests about the repository itself: which package may import which, that every exported name is documented,
// what is linked into the binary and how large that is, what a release contains, and that the commands of README work. They run in the
// first directory of the repository. There is nothing to import.
package repo
