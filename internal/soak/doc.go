// Package soak keeps the supervisor in trouble for a while: daemons crash in a loop, flood the log, ignore SIGTERM and leave orphans;
// daemons are stopped, continued, killed, reloaded and restarted from outside; at times nobody reads the log. The package has only a
// test. `make soak` runs it for SOAK, ten minutes by default; `make test` for some seconds.
package soak
