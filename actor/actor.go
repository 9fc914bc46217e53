// Package actor provides actors: an actor is a goroutine that owns some state and receives messages.
//
// Guarantees:
//
//  1. The methods of a handler are called one at a time, on the goroutine that called Run, so its state
//     needs no lock.
//  2. [Ref.Tell] and [Ref.Offer] never block (see package mailbox).
//  3. Each message is passed either to Receive or, once the actor has ended, to Refuse. An [Ask] does not
//     wait for an actor that has ended: it fails with [ErrEnded] or [mailbox.ErrClosed].
//  4. A panic in the handler ends only this actor: Run returns it as a *[PanicError]. In PID 1, a panic that is not
//     recovered would make the kernel kill every process of the container.
//  5. An actor has one timer. Arm and Grant replace the previous setting. After Disarm, Timeout is not called, because
//     a stopped timer leaves no stale tick (since Go 1.23).
//
// Rules: a handler must not block. Run a blocking operation in a goroutine that sends exactly one message back.
// An actor must not call Ask: two actors that do can wait for each other.
package actor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/awake"
	"github.com/bot-bottle/sidecar-init/mailbox"
)

var (
	// ErrStop is returned by a handler to end its actor without an error.
	ErrStop = errors.New("actor: stop")
	// ErrEnded is the error of [Ask] if the actor has ended without answering.
	ErrEnded = errors.New("actor: ended")
)

// A Handler defines the behaviour of an actor. If Receive or Timeout returns an error, the actor ends. Run returns
// that error, or nil for [ErrStop].
type Handler[M any] interface {
	// Receive handles one message.
	Receive(m M) error
	// Timeout is called when the time set by [Actor.Arm] or [Actor.Grant] has passed.
	Timeout() error
	// Refuse is called, after the actor has ended, with each message that was not passed to Receive.
	Refuse(m M)
}

// A PanicError is the error of [Actor.Run] after its handler has panicked.
type PanicError struct {
	Value any    // the value passed to panic
	Stack []byte // the stack of the goroutine, as returned by runtime/debug.Stack
}

// Error returns the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// An Actor receives messages of type M. Create one with [New] and call Run once.
type Actor[M any] struct {
	box   *mailbox.Mailbox[M]
	timer *time.Timer // nil until first armed
	wait  awake.Wait  // the wait that Grant has begun; zero after Arm
}

// New returns an actor that is not running yet. Messages can be sent to it already. The limit applies to
// [Ref.Offer], as for [mailbox.New].
func New[M any](limit int) *Actor[M] {
	return &Actor[M]{box: mailbox.New[M](limit)}
}

// Ref returns the reference through which others send messages to the actor.
func (a *Actor[M]) Ref() Ref[M] { return Ref[M]{a.box} }

// Run handles messages until the handler returns an error. It blocks and starts no goroutine, so it fits
// errgroup.Group.Go and the execute function of oklog/run.
func (a *Actor[M]) Run(h Handler[M]) (err error) {
	var batch, rest []M // rest is the part of batch that was not passed to Receive yet
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		a.Disarm()
		if errors.Is(err, ErrStop) {
			err = nil
		}
		for _, m := range append(rest, a.box.Close()...) {
			if failed := refuse(h, m); err == nil {
				err = failed
			}
		}
	}()
	for {
		var tick <-chan time.Time
		if a.timer != nil {
			tick = a.timer.C
		}
		select {
		case <-tick:
			if d := a.wait.Next(time.Now()); d > 0 {
				a.timer.Reset(d)
				continue
			}
			if err := h.Timeout(); err != nil {
				return err
			}
		case <-a.box.Wake():
			batch = a.box.Drain(batch)
			for i, m := range batch {
				rest = batch[i+1:]
				if err := h.Receive(m); err != nil {
					return err
				}
			}
		}
	}
}

// refuse calls h.Refuse, and returns a panic as an error, as Run does for one in Receive.
func refuse[M any](h Handler[M], m M) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	h.Refuse(m)
	return nil
}

// Arm sets the timer: Timeout will be called once, after d. It replaces the previous setting. Only the handler may call it.
func (a *Actor[M]) Arm(d time.Duration) {
	a.wait = awake.Wait{}
	a.arm(d)
}

// Grant is like [Actor.Arm], for a period that another process is given. Time in which the container was frozen does not count,
// since no process could run. If a freeze is noticed, Timeout is called later, after at most d more of running time. Only the
// handler may call it.
func (a *Actor[M]) Grant(d time.Duration) {
	a.wait = awake.Begin(d, time.Now())
	a.arm(a.wait.Present())
}

func (a *Actor[M]) arm(d time.Duration) {
	if a.timer == nil {
		a.timer = time.NewTimer(d)
		return
	}
	a.timer.Reset(d)
}

// Disarm stops the timer. Only the handler may call it.
func (a *Actor[M]) Disarm() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// A Ref sends messages to an actor. The zero Ref is not usable.
type Ref[M any] struct{ box *mailbox.Mailbox[M] }

// Tell queues m, regardless of the limit. Its only error is [mailbox.ErrClosed], if the actor has ended.
func (r Ref[M]) Tell(m M) error { return r.box.Send(m) }

// Offer queues m unless the limit is reached ([mailbox.ErrFull]) or the actor has ended ([mailbox.ErrClosed]).
func (r Ref[M]) Offer(m M) error { return r.box.Offer(m) }

// Done returns a channel that is closed when the actor has ended.
func (r Ref[M]) Done() <-chan struct{} { return r.box.Done() }

// HighWater returns the largest number of messages that were ever queued at once.
func (r Ref[M]) HighWater() int { return r.box.HighWater() }

// A Reply carries one answer from an actor back to the sender of a message. Create one with [NewReply]; [Ask] does so.
type Reply[T any] struct{ c chan T }

// NewReply returns a reply that is not answered yet.
func NewReply[T any]() Reply[T] { return Reply[T]{make(chan T, 1)} }

// Send sends the answer. It never blocks: later answers than the first are dropped. Send on the zero [Reply] does
// nothing, so a message whose sender wants no answer needs no special case.
func (r Reply[T]) Send(v T) {
	select {
	case r.c <- v:
	default:
	}
}

// C returns the channel on which the answer arrives.
func (r Reply[T]) C() <-chan T { return r.c }

// Ask passes a new [Reply] to mk, offers the message that mk returns, and waits for the answer. The error is that of
// [Ref.Offer], that of ctx, or [ErrEnded]. Actors must not call Ask.
func Ask[M, T any](ctx context.Context, to Ref[M], mk func(Reply[T]) M) (T, error) {
	reply := NewReply[T]()
	var zero T
	if err := to.Offer(mk(reply)); err != nil {
		return zero, err
	}
	select {
	case v := <-reply.c:
		return v, nil
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-to.Done():
		select { // the actor may have answered just before it ended
		case v := <-reply.c:
			return v, nil
		default:
			return zero, ErrEnded
		}
	}
}
