// Package actor provides a goroutine that owns some state and is controlled by messages.
//
// Guarantees:
//
//  1. A handler's methods are called one at a time, on the goroutine that called Run: its state
//     needs no lock.
//  2. [Ref.Tell] and [Ref.Offer] never block (package mailbox).
//  3. A message is either given to Receive or, once the actor has ended, to Refuse. So an [Ask] is always
//     answered or fails with [ErrEnded]; it does not wait for ever.
//  4. A panic in the handler ends only this actor: Run returns it as a *[PanicError]. In PID 1, a panic that is not
//     recovered would make the kernel kill every process of the container.
//  5. An actor has one timer. Arm and Grant replace what was armed; Disarm before Receive returns means that
//     Timeout is not called, since a stopped timer leaves no stale tick (Go 1.23).
//
// Rules: a handler must not block. What blocks runs in a goroutine that posts exactly one message back.
// An actor never Asks: two that do can wait for each other.
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
	// ErrEnded is the error of Ask when the actor has ended without answering.
	ErrEnded = errors.New("actor: ended")
)

// A Handler is the behaviour of an actor. An error other than nil ends the actor; Run returns it,
// except [ErrStop].
type Handler[M any] interface {
	// Receive handles one message.
	Receive(m M) error
	// Timeout is called when the armed time has passed.
	Timeout() error
	// Refuse is called, after the actor has ended, with each message that it never received.
	Refuse(m M)
}

// A PanicError is what Run returns after its handler has panicked.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // the stack of the goroutine, as runtime/debug.Stack has it
}

// Error gives the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// An Actor receives messages of type M. Create one with [New] and call Run once.
type Actor[M any] struct {
	box   *mailbox.Mailbox[M]
	timer *time.Timer // nil until first armed
	wait  awake.Wait  // what Grant has begun
}

// New returns an actor that does not run yet; messages can be sent to it already. The limit is that of
// [mailbox.New], for Offer.
func New[M any](limit int) *Actor[M] {
	return &Actor[M]{box: mailbox.New[M](limit)}
}

// Ref returns the reference through which others send messages to the actor.
func (a *Actor[M]) Ref() Ref[M] { return Ref[M]{a.box} }

// Run handles messages until the handler returns an error. It blocks and starts no goroutine, so it fits
// errgroup.Group.Go and the execute function of oklog/run.
func (a *Actor[M]) Run(h Handler[M]) (err error) {
	var batch, rest []M // rest is what of batch Receive has not been given
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

// refuse calls h.Refuse; a panic goes no further than one in Receive does.
func refuse[M any](h Handler[M], m M) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	h.Refuse(m)
	return nil
}

// Arm makes Timeout be called once, after d. It replaces what was armed before. Only the handler may call it.
func (a *Actor[M]) Arm(d time.Duration) {
	a.wait = awake.Wait{}
	a.arm(d)
}

// Grant is Arm for a time that another process was given: time in which the container was frozen, so that nobody could run,
// does not count. If that is noticed, Timeout is called later, by at most another d of running time. Only the handler may call
// it.
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

// Disarm cancels what was armed. Only the handler may call it.
func (a *Actor[M]) Disarm() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// A Ref sends messages to an actor. The zero Ref is not usable.
type Ref[M any] struct{ box *mailbox.Mailbox[M] }

// Tell queues m without a limit; it fails only with [mailbox.ErrClosed], when the actor has ended.
func (r Ref[M]) Tell(m M) error { return r.box.Send(m) }

// Offer queues m unless the actor is behind ([mailbox.ErrFull]) or has ended ([mailbox.ErrClosed]).
func (r Ref[M]) Offer(m M) error { return r.box.Offer(m) }

// Done is closed once the actor has ended.
func (r Ref[M]) Done() <-chan struct{} { return r.box.Done() }

// HighWater is the largest number of messages that ever waited for the actor.
func (r Ref[M]) HighWater() int { return r.box.HighWater() }

// A Reply carries one answer from an actor back to the sender of a message. Create one with [NewReply]; [Ask] does so.
type Reply[T any] struct{ c chan T }

// NewReply returns a reply that nobody has answered.
func NewReply[T any]() Reply[T] { return Reply[T]{make(chan T, 1)} }

// Send answers. It never blocks: the first answer wins, later ones are dropped. On the zero [Reply] it does
// nothing, so that a message whose sender wants no answer needs no special case.
func (r Reply[T]) Send(v T) {
	select {
	case r.c <- v:
	default:
	}
}

// C returns the channel on which the answer arrives.
func (r Reply[T]) C() <-chan T { return r.c }

// Ask offers the message that mk makes around a fresh [Reply], and waits for the answer. It fails with the
// error of Offer, with that of ctx, or with [ErrEnded]. Actors must not call it.
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
		select { // the answer may have been the actor's last act
		case v := <-reply.c:
			return v, nil
		default:
			return zero, ErrEnded
		}
	}
}
