package probe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The time between tries of a readiness check: it starts short, since a daemon that others wait for is often ready
// soon, and doubles.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = time.Second
)

// poll tries the readiness check until it succeeds.
func (l *Life) poll() {
	timeout := l.plan.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		if attempt(l.ctx, timeout, l.plan.Ready) == nil {
			l.set(l.becomeReady)
			return
		}
		select {
		case <-time.After(wait):
		case <-l.ctx.Done():
			return
		}
	}
}

// watch makes the health check again and again.
func (l *Life) watch(h Health) {
	var (
		starting = true // neither healthy nor unhealthy yet
		failures = 0    // in a row
		start    = time.Now()
		readied  = l.readied
	)
	if l.plan.Ready == nil && !l.plan.Told {
		readied = nil // it counts as ready from the start, and nobody has looked
	}
	for {
		interval, extra := h.Interval, false
		if starting && time.Since(start) < h.StartPeriod {
			interval = h.StartInterval
		}
		select {
		case <-time.After(interval):
		case <-readied:
			readied = nil
			if !starting {
				continue
			}
			extra = true // Docker would not make it, so a failure must not make a difference
		case <-l.ctx.Done():
			return
		}
		counts := !extra && (!starting || time.Since(start) >= h.StartPeriod)
		err := attempt(l.ctx, h.Timeout, h.Check)
		switch {
		case l.ctx.Err() != nil:
			return
		case err == nil:
			starting, failures = false, 0
			l.set(func() { l.healthy, l.sick[byCheck] = true, "" })
		case counts:
			failures++
			if failures == h.Retries {
				starting = false
				reason := fmt.Sprintf("its health check has failed: %v", err)
				if failures > 1 {
					reason = fmt.Sprintf("its health check has failed %d times: %v", failures, err)
				}
				l.set(func() { l.sick[byCheck] = reason })
			}
		}
	}
}

// attempt makes a check once. Its error is the check's, if that is not because of the time.
func attempt(ctx context.Context, timeout time.Duration, check Check) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = check(ctx)
	if err != nil && !errors.Is(err, errBusy) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it took longer than %s", timeout)
	}
	return err
}
