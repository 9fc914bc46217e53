// Package compose reads YAML files as Compose files are read: with aliases and merge keys, variables, env files, and one file merged
// into another. The result is one tree whose nodes know their place in a file. The package does not know what the keys mean; package
// bundle makes a bundle of the tree.
//
// Guarantees:
//
//  1. The tree is what compose-go's loader has before it makes a project of it. compose-go is not part of the binary; the tests of
//     this package and of package bundle compare with it.
//  2. All problems are collected, each once, with file, line and column. Quoted text is cut and made printable.
//  3. A value that came from a variable is never printed: a node knows the variables in its text ([Node.Vars]), and their names are
//     printed instead ([Node.Show]).
//  4. Work is bounded: an alias bomb is refused after [MaxNodes] nodes that come from aliases, and so are references to variables that
//     are nested too deeply.
//
// A file passes through [Documents], [Builder] (a tree with positions), [Interpolator] and [Merger], which merges it into the tree of
// the earlier documents.
package compose
