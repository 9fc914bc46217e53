//go:build linux

package main

import (
	"syscall"
	"testing"
)

// TestExampleNotify: egress crashes until it is given up, and the server beside it tells the operator each time.
func TestExampleNotify(t *testing.T) {
	s, _ := example(t, "notify", nil, nil, "/usr/bin/python3")
	s.match(`\[supervise\] operator: egress has crashed \(code 3\) after [1-9][\d.]* s`)
	s.expect("[supervise] operator:   it said: routes loaded", "[supervise] operator:   it said: upstream: connection refused")
	s.match(`\[supervise\] operator:   it comes back in 0\.[45]\d* s, attempt 1`)
	s.match(`\[supervise\] operator:   it comes back in [01]\.\d* s, attempt 2`)
	s.expect("[supervise] operator: egress was given up; sidecar-init start egress tries again")
	s.signal(syscall.SIGTERM)
	s.exit(3)
}
