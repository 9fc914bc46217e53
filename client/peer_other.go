//go:build !linux

package client

import "net"

// PIDNamespace returns 0: there are no PID namespaces.
func PIDNamespace() uint64 { return 0 }

func peer(*net.UnixConn) (near, known bool, err error) { return true, true, nil }

func foreign(string) bool { return true }
