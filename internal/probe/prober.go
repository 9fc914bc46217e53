package probe

import (
	"context"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// A Plan says how it is found out that a daemon is ready and healthy.
type Plan struct {
	// Ready is tried until it first succeeds. Nil where something else tells that the daemon is ready.
	Ready Check
	// Timeout ends a try of Ready; 0 means DefaultTimeout.
	Timeout time.Duration
	// Told: Life.Ready is called when the daemon is ready.
	Told bool
	// Health is nil where there is no health check.
	Health *Health
}

// any reports whether there is anything to find out.
func (p *Plan) any() bool { return p.Ready != nil || p.Told || p.Health != nil }

// DefaultTimeout ends a try of a readiness check.
const DefaultTimeout = 10 * time.Second

// Health is a health check as Compose and Docker know it. Where a field is 0, Docker's default counts.
type Health struct {
	Check Check
	// Interval is the time from the start, and from the end of a check, to the next; StartInterval takes its place
	// during StartPeriod, until a check succeeds.
	Interval, StartInterval time.Duration
	// Timeout ends a check, which has failed then.
	Timeout time.Duration
	// StartPeriod is the time after the start in which a failure does not count, until a check succeeds.
	StartPeriod time.Duration
	// Retries is how many failures in a row make the daemon unhealthy.
	Retries int
}

// defaults fills in those of Docker. That of StartPeriod is 0.
func (h Health) defaults() Health {
	or := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	or(&h.Interval, 30*time.Second)
	or(&h.StartInterval, 5*time.Second)
	or(&h.Timeout, 30*time.Second)
	if h.Retries <= 0 {
		h.Retries = 3
	}
	return h
}

// A Prober probes one daemon, over all lives of its process. Make one with New. Its methods may be called from any
// goroutine, and do not block.
type Prober struct {
	tell func(child.Fact)

	mu     sync.Mutex
	plan   Plan
	life   *Life  // nil while the daemon is dead, or there is nothing to find out
	gen    uint64 // of the process that lives; else 0
	pid    int
	silent bool
}

// New returns a Prober for a daemon. It calls tell from any goroutine, with a lock held: tell must not block, and not call
// back.
func New(plan Plan, tell func(child.Fact)) *Prober { return &Prober{tell: tell, plan: plan} }

// SetPlan changes how it is found out, from now on: the checks of a process that lives begin anew, and what was known of it
// stays until they say something else.
func (p *Prober) SetPlan(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
	switch {
	case p.life != nil:
		p.life.setPlan(plan)
	case p.gen != 0 && plan.any():
		p.begin().start(p.gen, p.pid)
	}
}

// Begin says that the next life of the daemon is about to be executed, and returns it, for what is told from outside.
// The daemon must be dead. Where nothing is told from outside, Begin need not be called.
func (p *Prober) Begin() *Life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begin()
}

func (p *Prober) begin() *Life {
	p.end()
	l := &Life{tell: p.tell, plan: p.plan, started: make(chan struct{}), readied: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	p.life = l
	if p.silent {
		l.mute()
	}
	return l
}

// Observe is told the events of the daemon, on the goroutine of its actor.
func (p *Prober) Observe(e child.Event) {
	switch e.Kind {
	case child.EventStarted:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.gen, p.pid = e.Gen, e.PID
		if p.life == nil && p.plan.any() {
			p.begin()
		}
		if p.life != nil {
			p.life.start(e.Gen, e.PID)
		}
	case child.EventPaused, child.EventUnpaused:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.life != nil {
			p.life.pause(e.Kind == child.EventPaused)
		}
	case child.EventExited, child.EventFailed:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.gen = 0
		p.end()
	}
}

func (p *Prober) end() {
	if p.life != nil {
		p.life.end()
		p.life = nil
	}
}

// Close ends all checks for good: the bundle ends, or the daemon leaves it, and nothing depends on them any more. Life.Extend
// still works.
func (p *Prober) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
	if p.life != nil {
		p.life.mute()
	}
}
