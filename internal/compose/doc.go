// Package compose reads YAML files as Compose files are read: aliases and merge keys, variables, env files, and one file merged into
// another. What comes out is one tree, of which each node knows its place in a file. What the keys mean is not its business: package
// bundle makes a bundle of the tree.
//
// Guarantees:
//
//  1. The tree is what compose-go's loader has before it makes a project of it. compose-go is no part of the binary: it is the oracle of the tests,
//     here and in package bundle.
//  2. All problems are collected, each once, with file, line and column; what a message quotes is cut, and made printable.
//  3. A value that came from a variable is never printed: a node knows the variables that its text was made of ([Node.Vars]), and their names are
//     printed in its place ([Node.Show]).
//  4. Work is bounded: an alias bomb is refused after [MaxNodes] nodes that come from aliases, and so are references to variables that are
//     nested too deep.
//
// The way of a file: [Documents] → [Builder] (a tree with positions) → [Interpolator] → [Merger], which merges it into what the earlier documents gave.
package compose
