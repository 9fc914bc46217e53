//go:build !linux

package reap

import "time"

// Run waits until done is closed. Only Linux gives orphans to anybody but PID 1.
func (r *Reaper) Run(done <-chan struct{}) { <-done }

// Sweep does nothing.
func (r *Reaper) Sweep(deadline time.Time, bound time.Duration) Swept { return Swept{} }
