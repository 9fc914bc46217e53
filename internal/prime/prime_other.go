//go:build !linux

package prime

// What this package is about is Linux's; elsewhere nothing is done.

func clearMask() error       { return nil }
func closeOnExec() error     { return nil }
func eraseEnviron() error    { return nil }
func becomeSubreaper() error { return nil }
