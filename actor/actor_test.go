package actor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/mailbox"
)

// A script is a handler that is made of functions; the actor does what each message says.
type script struct {
	a       *actor.Actor[func() error]
	timeout func() error
	refuse  func() // may be nil
	refused int
}

func newScript(limit int) *script { return &script{a: actor.New[func() error](limit)} }

func (s *script) Receive(do func() error) error { return do() }
func (s *script) Timeout() error                { return s.timeout() }
func (s *script) Refuse(func() error) {
	s.refused++
	if s.refuse != nil {
		s.refuse()
	}
}

func (s *script) run() error { return s.a.Run(s) }

// tell sends a message that ends nothing.
func (s *script) tell(do func()) error {
	return s.a.Ref().Tell(func() error { do(); return nil })
}

func (s *script) stop() error {
	return s.a.Ref().Tell(func() error { return actor.ErrStop })
}

// TestOneAtATime: the handler's state needs no lock, with any number of senders and a timer. The race detector agrees.
func TestOneAtATime(t *testing.T) {
	const senders, messages = 8, 500
	s := newScript(0)
	count, ticks := 0, 0
	var inside atomic.Int32
	handle := func(do func()) {
		if inside.Add(1) != 1 {
			t.Error("two calls at the same time")
		}
		do()
		inside.Add(-1)
	}
	s.timeout = func() error {
		handle(func() { ticks++; s.a.Arm(time.Microsecond) })
		return nil
	}
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range messages {
				_ = s.tell(func() { handle(func() { count++; s.a.Arm(time.Microsecond) }) })
			}
		})
	}
	done := make(chan error)
	go func() { done <- s.run() }()
	wg.Wait()
	_ = s.stop()
	if err := <-done; err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	if count != senders*messages {
		t.Errorf("got %d messages, want %d", count, senders*messages)
	}
}

// TestBeforeRun: messages wait for an actor that does not run yet.
func TestBeforeRun(t *testing.T) {
	s := newScript(0)
	var got []int
	for i := range 3 {
		_ = s.tell(func() { got = append(got, i) })
	}
	_ = s.stop()
	if err := s.run(); err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	if want := []int{0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTimer(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		do   func(a *actor.Actor[func() error], at func(time.Duration, func()))
		want []time.Duration // when Timeout is called
	}{
		{name: "never armed", do: func(*actor.Actor[func() error], func(time.Duration, func())) {}},
		{
			name: "once",
			do:   func(a *actor.Actor[func() error], at func(time.Duration, func())) { at(s, func() { a.Arm(2 * s) }) },
			want: []time.Duration{3 * s},
		},
		{
			name: "replaced by a later one",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Arm(2 * s) })
				at(s, func() { a.Arm(2 * s) })
			},
			want: []time.Duration{3 * s},
		},
		{
			name: "replaced by an earlier one",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Arm(9 * s) })
				at(s, func() { a.Arm(s) })
			},
			want: []time.Duration{2 * s},
		},
		{
			name: "disarmed",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Arm(2 * s) })
				at(s, a.Disarm)
			},
		},
		{
			name: "disarmed, then armed",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Disarm(); a.Arm(2 * s); a.Disarm(); a.Disarm(); a.Arm(3 * s) })
			},
			want: []time.Duration{3 * s},
		},
		{
			name: "armed again after it has fired",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Arm(s) })
				at(4*s, func() { a.Arm(s) })
			},
			want: []time.Duration{s, 5 * s},
		},
		{
			name: "no time",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(s, func() { a.Arm(0) })
				at(2*s, func() { a.Arm(-s) })
				at(3*s, func() { a.Grant(0) })
				at(4*s, func() { a.Grant(-s) })
			},
			want: []time.Duration{s, 2 * s, 3 * s, 4 * s},
		},
		{
			name: "granted",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Grant(8 * s) })
				at(20*s, func() { a.Grant(8 * s) })
				at(21*s, func() { a.Grant(2 * s) })
				at(30*s, func() { a.Grant(8 * s) })
				at(31*s, a.Disarm)
			},
			want: []time.Duration{8 * s, 23 * s},
		},
		{
			name: "granted, and nobody runs for ten seconds", // a clock of which the test is the only user
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Grant(4 * s) })
				at(2500*time.Millisecond, func() { time.Sleep(10 * s) })
			},
			want: []time.Duration{12500*time.Millisecond + 2*s},
		},
		{
			name: "armed, and nobody runs for ten seconds",
			do: func(a *actor.Actor[func() error], at func(time.Duration, func())) {
				at(0, func() { a.Grant(4 * s); a.Arm(4 * s) })
				at(2500*time.Millisecond, func() { time.Sleep(10 * s) })
			},
			want: []time.Duration{12500 * time.Millisecond},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newScript(0)
				begin := time.Now()
				var got []time.Duration
				h.timeout = func() error {
					got = append(got, time.Since(begin))
					return nil
				}
				tt.do(h.a, func(d time.Duration, do func()) {
					time.AfterFunc(d, func() { _ = h.tell(do) })
				})
				time.AfterFunc(time.Minute, func() { _ = h.stop() })
				if err := h.run(); err != nil {
					t.Errorf("Run: got %v, want nil", err)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("Timeout was called after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestNoStaleTick: a message that is handled at the very moment of the timer, and disarms it, is not followed by Timeout.
func TestNoStaleTick(t *testing.T) {
	for range 200 { // which of the two comes first is chance
		synctest.Test(t, func(t *testing.T) {
			s := newScript(0)
			var order []string
			s.timeout = func() error {
				order = append(order, "timeout")
				return nil
			}
			_ = s.tell(func() { s.a.Arm(time.Second) })
			time.AfterFunc(time.Second, func() {
				_ = s.tell(func() { order = append(order, "disarm"); s.a.Disarm() })
			})
			time.AfterFunc(time.Minute, func() { _ = s.stop() })
			_ = s.run()
			if i := slices.Index(order, "timeout"); i > 0 {
				t.Errorf("got %v, want no timeout after disarm", order)
			}
		})
	}
}

// TestEnd: how an actor can end, and what Run makes of it.
func TestEnd(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		receive func(s *script) error // the second of four messages, all in one batch
		timeout func() error
		refuse  func()
		want    error
		panics  string
		refused int
	}{
		{name: "ErrStop", receive: func(*script) error { return actor.ErrStop }, refused: 2},
		{name: "ErrStop in the middle of a chain", receive: func(*script) error { return fmt.Errorf("enough: %w", actor.ErrStop) }, refused: 2},
		{name: "error", receive: func(*script) error { return broken }, want: broken, refused: 2},
		{name: "panic", receive: func(*script) error { panic("oops") }, panics: "oops", refused: 2},
		{name: "panic with an error", receive: func(*script) error { panic(broken) }, panics: "broken", refused: 2},
		{name: "nil pointer", receive: func(*script) error { var s *script; return s.timeout() }, panics: "nil pointer dereference", refused: 2},
		{
			name: "panic, and more has come since", refused: 5, panics: "oops",
			receive: func(s *script) error { // these three are in the next batch
				for range 3 {
					_ = s.tell(func() {})
				}
				panic("oops")
			},
		},
		{
			name: "panic in Refuse", receive: func(*script) error { return actor.ErrStop },
			refuse: func() { panic("not mine") }, panics: "not mine", refused: 2,
		},
		{
			name: "error, then panic in Refuse", receive: func(*script) error { return broken },
			refuse: func() { panic("not mine") }, want: broken, refused: 2,
		},
		{name: "error of Timeout", receive: arm, timeout: func() error { return broken }, want: broken},
		{name: "panic in Timeout", receive: arm, timeout: func() error { panic("late") }, panics: "late"},
		{name: "Timeout ends it", receive: arm, timeout: func() error { return actor.ErrStop }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(0)
			s.timeout, s.refuse = tt.timeout, tt.refuse
			received := 0
			for i := range 4 {
				_ = s.a.Ref().Tell(func() error {
					received++
					if i == 1 {
						return tt.receive(s)
					}
					return nil
				})
			}
			err := s.run()
			var panicked *actor.PanicError
			switch {
			case tt.panics != "":
				if !errors.As(err, &panicked) {
					t.Fatalf("Run: got %v, want a PanicError", err)
				}
				if got := err.Error(); !strings.Contains(got, tt.panics) || !strings.Contains(got, "actor_test.go") {
					t.Errorf("Run: got %q, want %q and a stack that leads here", got, tt.panics)
				}
			case !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil):
				t.Errorf("Run: got %v, want %v", err, tt.want)
			}
			if s.refused != tt.refused {
				t.Errorf("refused: got %d messages, want %d", s.refused, tt.refused)
			}
			if all := 4; received+min(s.refused, 2) != all {
				t.Errorf("got %d received and %d refused of %d messages", received, s.refused, all)
			}
			<-s.a.Ref().Done()
			if err := s.stop(); !errors.Is(err, mailbox.ErrClosed) {
				t.Errorf("Tell after the end: got %v, want %v", err, mailbox.ErrClosed)
			}
		})
	}
}

func arm(s *script) error { s.a.Arm(time.Millisecond); return nil }

// A question can be answered, refused, or left alone.
type question struct {
	text  string
	reply actor.Reply[string]
}

// An oracle answers in the manner that the question names.
type oracle struct{ refuses bool }

func (oracle) Receive(q question) error {
	switch q.text {
	case "answer":
		q.reply.Send("42")
		q.reply.Send("43") // dropped
	case "last act":
		q.reply.Send("farewell")
		return actor.ErrStop
	case "die":
		panic("no")
	case "stop":
		return actor.ErrStop
	}
	return nil
}

func (oracle) Timeout() error { return nil }

func (o oracle) Refuse(q question) {
	if o.refuses {
		q.reply.Send("refused")
	}
}

// ask asks an actor of its own.
func ask(ctx context.Context, ref actor.Ref[question], text string) (string, error) {
	return actor.Ask(ctx, ref, func(r actor.Reply[string]) question { return question{text, r} })
}

func TestAsk(t *testing.T) {
	for _, tt := range []struct {
		name   string
		text   string
		before []string // what it was told before
		limit  int
		want   string
		err    error
		took   time.Duration
	}{
		{name: "answered", text: "answer", limit: 8, want: "42"},
		{name: "answered as its last act", text: "last act", limit: 8, want: "farewell"},
		{name: "not answered", text: "silence", limit: 8, err: context.DeadlineExceeded, took: time.Minute},
		{name: "it ends without an answer", text: "stop", limit: 8, err: actor.ErrEnded},
		{name: "it panics", text: "die", limit: 8, err: actor.ErrEnded},
		{name: "it ends before it is asked", text: "answer", before: []string{"stop"}, limit: 8, err: actor.ErrEnded},
		{name: "it is behind", text: "answer", before: []string{"a", "b"}, limit: 2, err: mailbox.ErrFull},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := actor.New[question](tt.limit)
				for _, text := range tt.before {
					_ = a.Ref().Tell(question{text: text}) // nobody wants an answer: the zero Reply
				}
				begin := time.Now()
				time.AfterFunc(time.Second, func() { _ = a.Run(oracle{}) })
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got, err := ask(ctx, a.Ref(), tt.text)
				if got != tt.want || !errors.Is(err, tt.err) {
					t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
				}
				if took := time.Since(begin); tt.took != 0 && took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				time.Sleep(time.Second) // it runs by now
				_ = a.Ref().Tell(question{text: "stop"})
				<-a.Ref().Done()
				if _, err := ask(ctx, a.Ref(), "answer"); !errors.Is(err, mailbox.ErrClosed) {
					t.Errorf("after the end: got %v, want %v", err, mailbox.ErrClosed)
				}
			})
		})
	}
}

// A busyContext does something when it is asked for its channel: Ask does that after its message has gone out.
type busyContext struct {
	context.Context
	do func()
}

func (c busyContext) Done() <-chan struct{} {
	c.do()
	return nil
}

// TestLastAct: an answer that was the last act of an actor is heard, even if its end is seen at the same time.
func TestLastAct(t *testing.T) {
	for range 64 { // which of the two is seen first is chance
		a := actor.New[question](8)
		ctx := busyContext{t.Context(), func() { _ = a.Run(oracle{}) }}
		if got, err := ask(ctx, a.Ref(), "last act"); got != "farewell" || err != nil {
			t.Fatalf("got %q, %v, want the farewell", got, err)
		}
	}
}

// TestAskRace: whatever an Ask races with, it ends, with an answer or an error.
func TestAskRace(t *testing.T) {
	const askers = 4
	counts := map[string]int{}
	var mu sync.Mutex
	for range 1000 {
		a := actor.New[question](64)
		var wg sync.WaitGroup
		for range askers {
			wg.Go(func() {
				for {
					got, err := ask(t.Context(), a.Ref(), "answer")
					mu.Lock()
					counts[fmt.Sprint(got, err)]++
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
		wg.Go(func() { _ = a.Run(oracle{refuses: true}) })
		wg.Go(func() { _ = a.Ref().Tell(question{text: "stop"}) })
		wg.Wait()
	}
	for result := range counts {
		switch result {
		case "42<nil>", "refused<nil>", actor.ErrEnded.Error(), mailbox.ErrClosed.Error():
		default:
			t.Errorf("got %q, want an answer, ErrEnded or ErrClosed", result)
		}
	}
	t.Log(counts)
}

// TestReply: the first answer wins, and nobody need be there to hear it.
func TestReply(t *testing.T) {
	r := actor.NewReply[int]()
	r.Send(1)
	r.Send(2)
	if got := <-r.C(); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	var none actor.Reply[int]
	none.Send(3) // does not block
}

func TestHighWater(t *testing.T) {
	s := newScript(0)
	for range 5 {
		_ = s.tell(func() {})
	}
	_ = s.stop()
	_ = s.run()
	if got := s.a.Ref().HighWater(); got != 6 {
		t.Errorf("got %d, want 6", got)
	}
}
