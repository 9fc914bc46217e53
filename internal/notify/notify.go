package notify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// Options say what is sent, and where to.
type Options struct {
	Events *events.Hub
	Sinks  []bundle.Sink
	// Env is the environment of sinks that are programs: the public one.
	Env []string
	// Printf writes a line of the supervisor's log. It must not block.
	Printf func(format string, a ...any)
}

// The times of a sink.
const (
	attemptTime = 5 * time.Second        // for one try
	firstDelay  = 500 * time.Millisecond // before the second try; doubled up to maxDelay, and back after a success
	maxDelay    = 30 * time.Second
	maxAge      = 10 * time.Minute // of an event that is tried again
	reportTime  = time.Minute      // between two lines about dropped events

	lastTime  = 250 * time.Millisecond // for one try after Finish
	lastRetry = 100 * time.Millisecond // the same for a sink whose last try has failed
)

// A Notifier sends events to sinks. Make one with New, and call Run once. Its shape is that of oklog/run.
type Notifier struct {
	o      Options
	finish chan time.Time // has the time for the end
	once   sync.Once
	group  sync.WaitGroup // of the sinks that run

	mu    sync.Mutex
	sinks []*sink
	ctx   context.Context // of Run; nil before it
	ended bool
}

// New returns a Notifier. The error names a sink that makes no sense.
func New(o Options) (*Notifier, error) {
	n := &Notifier{o: o, finish: make(chan time.Time, 1)}
	return n, n.SetSinks(o.Sinks, o.Env)
}

// SetSinks makes these the sinks, and env the environment of those that are programs. One that there is already goes on with what
// waits for it; a new one gets what happens from now on. The error names a sink that makes no sense; then nothing changes.
func (n *Notifier) SetSinks(targets []bundle.Sink, env []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sinks, fresh []*sink
	names := map[string]int{}
	old := slices.Clone(n.sinks)
	for _, target := range targets {
		i := slices.IndexFunc(old, func(s *sink) bool {
			return reflect.DeepEqual(s.target, target) && (len(target.Exec) == 0 || slices.Equal(s.env, env))
		})
		if i >= 0 {
			sinks, old = append(sinks, old[i]), slices.Delete(old, i, i+1)
			names[sinks[len(sinks)-1].kind]++
			continue
		}
		s := &sink{target: target, env: env, printf: n.o.Printf, finishing: make(chan struct{})}
		var err error
		if s.send, s.name, err = newSender(target, env); err != nil {
			return fmt.Errorf("cannot notify: %w", err)
		}
		s.name = printable.Text(s.name)
		s.kind = s.name
		names[s.kind]++
		if i := names[s.kind]; i > 1 {
			s.name = fmt.Sprintf("%s#%d", s.kind, i)
		}
		sinks, fresh = append(sinks, s), append(fresh, s)
	}
	for _, s := range fresh {
		s.reader = n.o.Events.Read()
		if n.ctx != nil {
			s.reader.Rest() // what has happened before is not for it
			n.start(s)
		}
	}
	for _, s := range old {
		s.leave()
	}
	n.sinks = sinks
	return nil
}

// start lets a sink run. The caller holds the lock.
func (n *Notifier) start(s *sink) {
	if n.ended {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	s.cancel = cancel
	n.group.Go(func() { s.run(ctx) }) // ends with ctx, or with the hub after Finish; and see Run
}

// Run sends events until Finish. Its error is always nil.
func (n *Notifier) Run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.mu.Lock()
	n.ctx = ctx
	for _, s := range n.sinks {
		n.start(s)
	}
	n.mu.Unlock()
	end := <-n.finish
	n.mu.Lock()
	n.ended = true
	sinks := n.sinks
	n.mu.Unlock()
	for _, s := range sinks {
		close(s.finishing)
	}
	ended := make(chan struct{})
	go func() { n.group.Wait(); close(ended) }()
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-timer.C:
	}
	cancel()
	// A program that hangs while it is being executed cannot be cancelled. Its sink is left behind.
	timer.Reset(lastRetry)
	select {
	case <-ended:
	case <-timer.C:
		for _, s := range sinks {
			s.abandon()
		}
	}
	return nil
}

// Finish makes Run return as soon as the hub has been closed and everything has been sent, and at that time at the latest.
// It may be called more than once; the first call counts.
func (n *Notifier) Finish(by time.Time) { n.once.Do(func() { n.finish <- by }) }

// SinkStats are the counters of a sink.
type SinkStats struct {
	Name      string // without what may be secret in its URL
	Delivered uint64
	Dropped   uint64
}

// Stats returns the counters as they are now, in the order of Options.Sinks.
func (n *Notifier) Stats() []SinkStats {
	n.mu.Lock()
	sinks := n.sinks
	n.mu.Unlock()
	all := make([]SinkStats, len(sinks))
	for i, s := range sinks {
		all[i] = SinkStats{s.name, s.delivered.Load(), s.lost()}
	}
	return all
}

// A sink gets events one after the other. All but the counters belongs to the goroutine of run.
type sink struct {
	target    bundle.Sink
	env       []string
	kind      string // name, without a number
	name      string
	cancel    func()
	send      sender
	printf    func(format string, a ...any)
	reader    *events.Reader
	finishing chan struct{} // closed by Finish

	delivered, dropped atomic.Uint64
	gone               atomic.Bool

	failing    error     // why the last try failed; nil if it did not
	unreported uint64    // dropped events that no line has told of
	cause      error     // why the last of them was dropped
	reported   time.Time // when a line told of dropped ones

	mu   sync.Mutex
	left bool   // run was left behind: it must not count any more
	held bool   // an event has been taken and is neither delivered nor dropped
	told uint64 // the largest number of dropped events that Stats has returned
}

// lost is the number of dropped events, with those that run will only learn of when its try ends: one can take long. It
// never goes down, although between the two there is a moment in which an event is neither missed nor counted.
func (s *sink) lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = max(s.told, s.dropped.Load()+s.reader.Missed())
	return s.told
}

// A sender makes one try. It returns when ctx ends at the latest, but for programs that cannot be executed or killed.
type sender func(ctx context.Context, event []byte) error

// A refusal is an error that another try will not change.
type refusal struct{ error }

var (
	errQueue = errors.New("more than can be kept")
	errEnd   = errors.New("the bundle has ended")
)

// leave ends a sink that is none any more: what waits for it is not sent.
func (s *sink) leave() {
	s.gone.Store(true)
	if s.cancel != nil {
		s.cancel()
	}
}

func (s *sink) run(ctx context.Context) {
	for {
		rec, lost, err := s.reader.Next(ctx)
		s.count(false, 0, uint64(lost), errQueue)
		if err != nil {
			break // the hub is closed, or the time is over
		}
		s.hold()
		if !s.deliver(ctx, rec) {
			break
		}
	}
	if s.gone.Load() {
		return
	}
	for { // what happens until the hub is closed is dropped too
		s.count(false, 0, uint64(s.reader.Rest()), errEnd)
		_, lost, err := s.reader.Next(ctx)
		if err != nil {
			break
		}
		s.count(false, 0, uint64(lost)+1, errEnd)
	}
	s.count(false, 0, uint64(s.reader.Rest()), errEnd)
	s.report(true)
}

// deliver tries to send an event until it is done or given up. It reports whether there is sense in sending more.
func (s *sink) deliver(ctx context.Context, rec events.Record) bool {
	for delay := firstDelay; ; delay = min(2*delay, maxDelay) {
		err := s.try(ctx, rec.JSON)
		var refused refusal
		switch ending := s.ending(); {
		case err == nil:
			s.count(true, 1, 0, nil)
			if s.failing != nil {
				s.failing = nil
				s.printf("%s takes events again", s.name)
				s.report(true)
			}
			return true
		case errors.As(err, &refused):
			s.count(true, 0, 1, err)
			s.report(false)
			return true
		case ctx.Err() != nil || ending:
			s.count(true, 0, 1, err)
			return false
		case time.Since(rec.Time) > maxAge:
			s.fail(err)
			s.count(true, 0, 1, err)
			s.report(false)
			return true
		}
		s.fail(err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-s.finishing: // one more try
		}
		timer.Stop()
	}
}

// fail notes that a try has failed, and says so if the one before had not.
func (s *sink) fail(err error) {
	if s.failing == nil {
		s.printf("cannot send events to %s: %s; it is tried again", s.name, printable.Text(err.Error()))
	}
	s.failing = err
}

func (s *sink) ending() bool {
	select {
	case <-s.finishing:
		return true
	default:
		return false
	}
}

// try makes one try. When Finish comes, one that is already older than it may be then is ended at once, since a sink that
// hangs must not cost time at the end.
func (s *sink) try(ctx context.Context, event []byte) error {
	limit := lastTime
	if s.failing != nil {
		limit = lastRetry
	}
	if !s.ending() {
		ctx, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		begun := time.Now()
		done := make(chan struct{})
		defer close(done)
		go func() { // ends with this function
			select {
			case <-done:
				return
			case <-s.finishing:
			}
			timer := time.NewTimer(limit - time.Since(begun))
			defer timer.Stop()
			select {
			case <-done:
			case <-timer.C:
				cancel()
			}
		}()
		return s.send(ctx, event)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.send(ctx, event)
}

// hold notes that an event has been taken.
func (s *sink) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// count counts events; held is whether one of them is the one that has been taken.
func (s *sink) count(held bool, delivered, dropped uint64, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return
	}
	if held {
		s.held = false
	}
	s.delivered.Add(delivered)
	s.dropped.Add(dropped)
	if dropped > 0 {
		s.unreported += dropped
		s.cause = cause
	}
}

// report prints how many events were dropped since it last did. It does so once a minute, unless it is to be now.
func (s *sink) report(now bool) {
	if s.unreported == 0 || !now && time.Since(s.reported) < reportTime {
		return
	}
	s.printf("%d events for %s were dropped: %s", s.unreported, s.name, printable.Text(s.cause.Error()))
	s.unreported, s.reported = 0, time.Now()
}

// abandon counts for a sink whose goroutine has been left behind.
func (s *sink) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	n := uint64(s.reader.Rest())
	if s.held {
		n++
	}
	if n > 0 {
		s.dropped.Add(n)
		s.printf("%d events for %s were dropped: %v", n, s.name, errEnd)
	}
}
