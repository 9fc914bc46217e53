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

// A Prober probes the daemons of a bundle. Make one with New. Its methods may be called from any goroutine, and do
// not block.
type Prober struct {
	plans map[string]Plan
	tell  func(daemon string, m child.Msg)

	mu     sync.Mutex
	lives  map[string]*Life
	closed bool
}

// New returns a Prober for the daemons that plans has, by name. It calls tell from any goroutine, with a lock held:
// tell must not block, and not call back.
func New(plans map[string]Plan, tell func(daemon string, m child.Msg)) *Prober {
	return &Prober{plans: plans, tell: tell, lives: map[string]*Life{}}
}

// Begin says that the next life of a daemon is about to be executed, and returns it, for what is told from outside.
// The daemon must be dead. Where nothing is told from outside, Begin need not be called.
func (p *Prober) Begin(daemon string) *Life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begin(daemon)
}

func (p *Prober) begin(daemon string) *Life {
	p.end(daemon)
	l := &Life{p: p, daemon: daemon, plan: p.plans[daemon], started: make(chan struct{}), readied: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	p.lives[daemon] = l
	if p.closed {
		l.mute()
	}
	return l
}

// Observe is told the events of the daemons, each on the goroutine of its actor.
func (p *Prober) Observe(e child.Event) {
	switch e.Kind {
	case child.EventStarted:
		if _, ok := p.plans[e.Daemon]; !ok {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		l := p.lives[e.Daemon]
		if l == nil {
			l = p.begin(e.Daemon)
		}
		l.start(e.Gen, e.PID)
	case child.EventExited, child.EventFailed:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.end(e.Daemon)
	}
}

func (p *Prober) end(daemon string) {
	if l := p.lives[daemon]; l != nil {
		l.end()
		delete(p.lives, daemon)
	}
}

// Close ends all checks for good: the bundle ends, and nothing depends on them any more. Life.Extend still works.
func (p *Prober) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.lives {
		l.mute()
	}
}
