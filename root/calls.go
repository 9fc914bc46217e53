package root

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/mailbox"
)

// The messages as calls, for who need not be an actor. Each waits for its answer until ctx is done; its error is that of ctx, or
// ErrShuttingDown, an *UnknownError or a *JobError, or ErrEnded when Run has returned.

// ErrEnded is the error of a call when the bundle has ended.
var ErrEnded = errors.New("the bundle has ended")

// ErrRun is the error of a second Run.
var ErrRun = errors.New("root: Run is called once")

// RunContext is Run, with a shutdown when ctx is done.
func (r *Root) RunContext(ctx context.Context) (code int, err error) {
	stop := context.AfterFunc(ctx, func() { _ = r.Ref().Tell(Shutdown{Reason: context.Cause(ctx).Error()}) })
	defer stop()
	return r.Run()
}

// List returns the status of all daemons, in the order of [Config.Daemons] and [Config.Specs].
func (r *Root) List(ctx context.Context) ([]child.Status, error) {
	return ask(ctx, r, func(reply actor.Reply[[]child.Status]) Msg { return List{Reply: reply} })
}

// Wait returns the status of all daemons as soon as until holds of them. It is called on root's goroutine, at once and after each
// change: it must be quick.
func (r *Root) Wait(ctx context.Context, until func([]child.Status) bool) ([]child.Status, error) {
	return ask(ctx, r, func(reply actor.Reply[[]child.Status]) Msg {
		return Await{Until: func(all []child.Status) bool { return ctx.Err() != nil || until(all) }, Reply: reply}
	})
}

// WaitReady waits until the daemons of these names, or of all, are ready, or have ended well. The error of one that has ended otherwise, with
// nothing due, is not nil.
func (r *Root) WaitReady(ctx context.Context, names ...string) error {
	var failed error
	all, err := r.Wait(ctx, func(all []child.Status) bool {
		ready := true
		for _, s := range pick(all, names) {
			switch {
			case s.State.Up(), s.Completed && s.State.Final(), s.State == child.StateScheduled:
			case s.State == child.StateExited || s.State == child.StateGaveUp:
				failed = fmt.Errorf("%s has ended: %s", s.Name, ended(s))
				return true
			default:
				ready = false
			}
		}
		return ready
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	}
	for _, name := range names {
		if len(pick(all, []string{name})) == 0 {
			return &UnknownError{name}
		}
	}
	return nil
}

// Start starts a daemon, or all of a service, and returns their status when each has been executed, or has failed to be.
func (r *Root) Start(ctx context.Context, name string) ([]child.Status, error) {
	return r.give(ctx, name, child.Start{}, (*child.Status).Settled)
}

// Stop stops a daemon, or all of a service, and returns their status when each has ended. They stay so until they are started.
func (r *Root) Stop(ctx context.Context, name string) ([]child.Status, error) {
	return r.give(ctx, name, child.Terminate{}, (*child.Status).Settled)
}

// Restart stops a daemon, or all of a service, starts them anew, and returns their status when each has been executed, or has failed
// to be.
func (r *Root) Restart(ctx context.Context, name string) ([]child.Status, error) {
	return r.give(ctx, name, child.Restart{}, (*child.Status).Settled)
}

// Signal sends a signal to the main process of a daemon. The error says why it was not sent.
func (r *Root) Signal(ctx context.Context, name string, sig syscall.Signal) error {
	reply := actor.NewReply[error]()
	accepted, err := ask(ctx, r, func(a actor.Reply[Accepted]) Msg {
		return Do{Name: name, Msg: child.Signal{Sig: sig, Reply: reply}, Reply: a}
	})
	if err == nil {
		err = accepted.Err
	}
	if err != nil {
		return err
	}
	select {
	case err := <-reply.C():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown ends the bundle, as SIGTERM does. It does not wait: Run returns when it has ended.
func (r *Root) Shutdown(reason string) { _ = r.Ref().Tell(Shutdown{Reason: reason}) }

// give gives a command, and waits until done holds of each daemon that it is for.
func (r *Root) give(ctx context.Context, name string, m child.Command, done func(*child.Status) bool) ([]child.Status, error) {
	accepted, err := ask(ctx, r, func(reply actor.Reply[Accepted]) Msg { return Do{Name: name, Msg: m, Reply: reply} })
	if err == nil {
		err = accepted.Err
	}
	if err != nil {
		return nil, err
	}
	all, err := r.Wait(ctx, func(all []child.Status) bool {
		for _, s := range pick(all, []string{name}) {
			if s.Seen < accepted.Seen[s.Name] || !done(&s) {
				return false
			}
		}
		return true
	})
	return pick(all, []string{name}), err
}

// pick are the statuses of the daemons, or services, of these names; of all if there are none.
func pick(all []child.Status, names []string) (some []child.Status) {
	for _, s := range all {
		wanted := len(names) == 0
		for _, name := range names {
			wanted = wanted || s.Name == name || s.Spec.Service == name
		}
		if wanted {
			some = append(some, s)
		}
	}
	return some
}

// ask asks root, and tells by ErrEnded that it has ended.
func ask[T any](ctx context.Context, r *Root, msg func(actor.Reply[T]) Msg) (T, error) {
	answer, err := actor.Ask(ctx, r.Ref(), msg)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, actor.ErrEnded), errors.Is(err, mailbox.ErrClosed):
		err = ErrEnded
	}
	return answer, err
}
