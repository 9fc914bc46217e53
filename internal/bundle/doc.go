// Package bundle reads a bundle, a Compose file, and resolves it into a plan: the daemons to run, each with its whole
// environment, the signal routes, and what the supervisor itself was told.
//
// Guarantees:
//
//  1. An accepted file means what compose-go's own loader makes of it (with SkipConsistencyCheck). The loader is no
//     part of the binary: it is the oracle of the tests. What cannot be honoured is refused by name, never ignored,
//     save the keys that mean nothing inside one container; these are recorded in Bundle.PassedOver.
//  2. All problems are reported at once, in the order of the files: each with file, line and column, what is wrong,
//     and what would be right.
//  3. A variable that matches a private_env pattern of some service reaches the services that declare one, and nobody
//     else. Names of variables are printed; a value that came from the environment never is, not even in an error.
//  4. Nothing is started, written or fetched. The files named by the bundle are read, and that is all.
//  5. Work is bounded, by package compose.
//
// The way of a file: one tree of all files (load.go, package compose) → one service struct per service (fields.go, service.go,
// xkeys.go: strict and typed) → selection, environment, routes (resolve.go) → Bundle.
package bundle
