//go:build !linux

package schedule

import (
	"errors"
	"time"
)

// A Timer wakes at a moment of the wall clock, and when the clock is set. There is none but on Linux.
type Timer struct{}

// NewTimer is an error here.
func NewTimer() (*Timer, error) { return nil, errors.ErrUnsupported }

// Set does nothing.
func (*Timer) Set(time.Time) error { return errors.ErrUnsupported }

// Run does nothing.
func (*Timer) Run(func()) error { return errors.ErrUnsupported }

// Close does nothing.
func (*Timer) Close() error { return nil }
