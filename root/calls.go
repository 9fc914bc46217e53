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

// The methods in this file send messages, for callers that are not actors. Each waits for its answer until ctx is done. The error
// is that of ctx, ErrShuttingDown, an *UnknownError, a *JobError, or, once Run has returned, ErrEnded.

// ErrEnded is the error of a call after the bundle has ended.
var ErrEnded = errors.New("the bundle has ended")

// ErrRun is the error of a second call of [Root.Run].
var ErrRun = errors.New("root: Run is called once")

// RunContext calls [Root.Run], and shuts the bundle down when ctx is done.
func (r *Root) RunContext(ctx context.Context) (code int, err error) {
	stop := context.AfterFunc(ctx, func() { _ = r.Ref().Tell(Shutdown{Reason: context.Cause(ctx).Error()}) })
	defer stop()
	return r.Run()
}

// List returns the status of all daemons, in the order of [Config.Daemons] and [Config.Specs].
func (r *Root) List(ctx context.Context) ([]child.Status, error) {
	return ask(ctx, r, func(reply actor.Reply[[]child.Status]) Msg { return List{Reply: reply} })
}

// Wait returns the status of all daemons as soon as until returns true for it. The function until is called at once and after each
// change, on root's goroutine, so it must be quick.
func (r *Root) Wait(ctx context.Context, until func([]child.Status) bool) ([]child.Status, error) {
	return ask(ctx, r, func(reply actor.Reply[[]child.Status]) Msg {
		return Await{Until: func(all []child.Status) bool { return ctx.Err() != nil || until(all) }, Reply: reply}
	})
}

// WaitReady waits until the daemons, or services, of these names are ready or have exited with success; without names, it waits for
// all daemons. It returns an error as soon as one has failed and will not be restarted.
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

// Start starts a daemon, or all daemons of a service, and returns their status once the program of each was executed or has
// failed to start.
func (r *Root) Start(ctx context.Context, name string) ([]child.Status, error) {
	return r.give(ctx, name, child.Start{}, (*child.Status).Settled)
}

// Stop stops a daemon, or all daemons of a service, and returns their status once each has ended. They stay stopped until they are
// started by [Root.Start] or [Root.Restart].
func (r *Root) Stop(ctx context.Context, name string) ([]child.Status, error) {
	return r.give(ctx, name, child.Terminate{}, (*child.Status).Settled)
}

// Restart stops and starts a daemon, or all daemons of a service, and returns their status once the program of each was executed or
// has failed to start.
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

// Update changes the bundle, and returns when the [Update] was accepted, not when it is done. It does not use Update.Reply. If the
// Update has mistakes, the error joins all of them, each as a *[ConfigError].
func (r *Root) Update(ctx context.Context, u Update) (Updated, error) {
	done, err := ask(ctx, r, func(reply actor.Reply[Updated]) Msg {
		u.Reply = reply
		return u
	})
	if err == nil {
		err = done.Err
	}
	return done, err
}

// Add adds daemons to the bundle, after its present ones, and returns when they belong to it. They are started when their
// dependencies hold; [Root.WaitReady] waits until they are ready. Add is an [Update] that changes nothing else.
func (r *Root) Add(ctx context.Context, daemons ...Daemon) error {
	_, err := r.Update(ctx, Update{Daemons: daemons, edit: true})
	return err
}

// Remove stops the daemons, or services, of these names, and returns when they have left the bundle, or were added again before. It is
// an [Update] that changes nothing else, so the error may be a *[ConfigError]: the last daemon cannot be removed, nor one on which
// others depend.
func (r *Root) Remove(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	left := make(chan struct{})
	if _, err := r.Update(ctx, Update{edit: true, remove: names, left: left}); err != nil {
		return err
	}
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.Ref().Done():
		return ErrEnded
	}
}

// Shutdown ends the bundle as SIGTERM does. It does not wait: [Root.Run] returns when the bundle has ended.
func (r *Root) Shutdown(reason string) { _ = r.Ref().Tell(Shutdown{Reason: reason}) }

// give sends a command, and waits until done returns true for each daemon concerned.
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

// pick returns the statuses of the daemons, or services, of these names, or all if there are no names.
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

// ask sends root a message and returns the answer. The error is ErrEnded if the bundle has ended.
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
