// Package bundle reads a bundle, which is a Compose file, and resolves it into the daemons to run, each with its whole environment, the
// signal routes, and the settings of the supervisor itself.
//
// Guarantees:
//
//  1. An accepted file means what compose-go's own loader makes of it (with SkipConsistencyCheck). The loader is not part of the binary;
//     the tests compare with it. What cannot be honoured is refused by name, never ignored, except for keys that have no meaning inside
//     one container; these are recorded in Bundle.PassedOver.
//  2. All problems are reported at once, in the order of the files: each with file, line and column, what is wrong, and what would be
//     right.
//  3. A variable that matches a private_env pattern of some service reaches only the services with such a pattern. Names of variables are
//     printed; a value from the environment never is, not even in an error.
//  4. Nothing is started, written or fetched. Only the files that the bundle names are read.
//  5. Work is bounded, by package compose.
//
// The files become one tree (load.go, package compose), then one service struct for each service (fields.go, service.go, xkeys.go: strict
// and typed), then, by selection, environment and routes (resolve.go), a Bundle.
package bundle
