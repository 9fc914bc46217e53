// Package soak keeps the supervisor in trouble for a while: daemons that crash in a loop, flood the log, ignore SIGTERM and
// leave orphans; somebody who stops, continues and kills them; reloads and restarts; a log that nobody reads at times. It
// has only a test. `make soak` runs it for SOAK, ten minutes by default; `make test` for some seconds.
package soak
