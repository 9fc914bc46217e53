package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/awake"
)

// The time between tries of a readiness check: it starts short, since a daemon that others wait for is often ready
// soon, and doubles.
const (
	firstPoll = 10 * time.Millisecond
	lastPoll  = time.Second
)

// poll tries the readiness check until it succeeds.
func (l *Life) poll(ctx context.Context, plan Plan) {
	timeout := plan.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		if _, err := attempt(ctx, timeout, plan.Ready); err == nil {
			l.found(ctx, l.becomeReady)
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// found is set, unless the check that has found it is one of a plan that has been replaced.
func (l *Life) found(ctx context.Context, change func()) {
	l.set(func() {
		if ctx.Err() == nil {
			change()
		}
	})
}

// A tally counts the failures of a health check.
type tally struct {
	retries  int
	starting bool // neither healthy nor unhealthy yet
	failures int  // in a row
	pardons  int  // in a row
}

// maxPardons is how many failures in a row do not count because time stood still meanwhile. On a machine that is too busy it
// seems to do so at each of them.
const maxPardons = 3

func (t *tally) success() { t.starting, t.failures, t.pardons = false, 0, 0 }

// failure reports whether it is the one that makes the daemon unhealthy.
func (t *tally) failure(stood bool) bool {
	switch {
	case !stood:
		t.pardons = 0
	case t.pardons < maxPardons:
		t.pardons++
		return false
	}
	t.failures++
	if t.failures == t.retries {
		t.starting = false
		return true
	}
	return false
}

// watch makes the health check again and again.
func (l *Life) watch(ctx context.Context, plan Plan) {
	h := plan.Health.defaults()
	var (
		count   = tally{retries: h.Retries, starting: true}
		ran     = time.Duration(0) // since the start, without what stood still
		mark    = time.Now()
		readied = l.readied
	)
	if plan.Ready == nil && !plan.Told {
		readied = nil // it counts as ready from the start, and nobody has looked
	}
	// passed adds what has passed since it was called last, which should have been no more than most.
	passed := func(most time.Duration) {
		now := time.Now()
		ran += min(now.Sub(mark), most)
		mark = now
	}
	for {
		interval, extra := h.Interval, false
		if count.starting && ran < h.StartPeriod {
			interval = h.StartInterval
		}
		select {
		case <-time.After(interval):
		case <-readied:
			readied = nil
			if !count.starting {
				continue
			}
			extra = true // Docker would not make it, so a failure must not make a difference
		case <-ctx.Done():
			return
		}
		passed(interval)
		counts := !extra && (!count.starting || ran >= h.StartPeriod)
		stood, err := attempt(ctx, h.Timeout, h.Check)
		passed(h.Timeout + killWait)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			count.success()
			l.found(ctx, func() { l.healthy, l.sick[byCheck] = true, "" })
		case counts && count.failure(stood):
			reason := fmt.Sprintf("its health check has failed: %v", err)
			if count.failures > 1 {
				reason = fmt.Sprintf("its health check has failed %d times: %v", count.failures, err)
			}
			l.found(ctx, func() { l.sick[byCheck] = reason })
		}
	}
}

// attempt makes a check once. Its error is the check's, if that is not because of the time. That is one in which it could run:
// stood reports whether there was another. Then the check, or the daemon, may have taken it for its own.
func attempt(ctx context.Context, timeout time.Duration, check Check) (stood bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := awake.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
	defer func() {
		stood = timer.Stop()
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	err = check(ctx)
	if err != nil && !errors.Is(err, errBusy) && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		err = fmt.Errorf("it took longer than %s", timeout)
	}
	return false, err
}
