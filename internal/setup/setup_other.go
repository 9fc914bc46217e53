//go:build !linux

package setup

import (
	"errors"
	"syscall"
)

// What these are about is Linux's.

func clearMask() error       { return errors.ErrUnsupported }
func defaultSignals() error  { return errors.ErrUnsupported }
func closeOnExec() error     { return errors.ErrUnsupported }
func eraseEnviron() error    { return errors.ErrUnsupported }
func becomeSubreaper() error { return errors.ErrUnsupported }
func settle()                {}

// Drop is about Linux, too.
func Drop(func(syscall.Signal) bool) error { return nil }
