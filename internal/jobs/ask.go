package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// A message is what a Keeper can be told.
type message any

type (
	tick    struct{}
	closing struct{}
	event   struct{ child.Event }
	set     struct{ definitions []Definition }

	prepared struct {
		job *job
		run *run
		err error
	}
	refused struct {
		job *job
		run *run
		err error
	}

	list struct{ reply actor.Reply[[]Status] }
	// about is a question or a command about one job.
	about struct {
		name string
		do   func(*job) // on the keeper's goroutine
		// unknown is called where there is no such job.
		unknown func()
	}
)

// handler keeps the methods of actor.Handler off the exported type.
type handler Keeper

// Receive handles one message.
func (h *handler) Receive(m message) error {
	k := (*Keeper)(h)
	switch m := m.(type) {
	case tick:
		k.wake(k.o.Now())
		k.arm()
	case closing:
		return actor.ErrStop
	case event:
		k.event(m.Event)
	case set:
		k.set(m.definitions)
	case prepared:
		k.prepared(m)
	case refused:
		k.refused(m)
	case list:
		all := []Status{}
		for _, j := range k.jobs {
			if !j.left {
				all = append(all, j.status())
			}
		}
		m.reply.Send(all)
	case about:
		if j := k.find(m.name); j != nil {
			m.do(j)
		} else {
			m.unknown()
		}
	}
	return nil
}

// Timeout: what is being executed takes long.
func (h *handler) Timeout() error {
	k := (*Keeper)(h)
	if k.turn != nil {
		k.turnOver(k.turn)
	}
	return nil
}

// Refuse is a message that came after the end: who has asked is told by actor.Ask.
func (h *handler) Refuse(message) {}

// refused: root does not start a run.
func (k *Keeper) refused(m refused) {
	k.turnOver(m.job)
	if m.job.run != m.run || m.run.Result.Over() {
		return
	}
	if errors.Is(m.err, root.ErrShuttingDown) {
		k.cancelled(m.job, m.run, m.err.Error())
		k.release(m.job)
		return
	}
	k.failedToStart(m.job, m.run, m.err)
}

// A RefusedError says why something cannot be done with a job now.
type RefusedError struct {
	Reason string
	// Running is the number of the run that is in the way, or 0.
	Running int
}

// Error is the reason.
func (e *RefusedError) Error() string { return e.Reason }

// List returns all jobs, in the order of the file.
func (k *Keeper) List(ctx context.Context) ([]Status, error) {
	return actor.Ask(ctx, k.actor.Ref(), func(r actor.Reply[[]Status]) message { return list{r} })
}

// answer is a value or an error.
type answer[T any] struct {
	value T
	err   error
}

// ask asks something about a job. The error can be a *root.UnknownError.
func ask[T any](ctx context.Context, k *Keeper, name string, do func(*job) (T, error)) (T, error) {
	a, err := actor.Ask(ctx, k.actor.Ref(), func(r actor.Reply[answer[T]]) message {
		return about{name, func(j *job) {
			v, err := do(j)
			r.Send(answer[T]{v, err})
		}, func() { r.Send(answer[T]{err: &root.UnknownError{Name: name}}) }}
	})
	return a.value, errors.Join(err, a.err)
}

// Runs returns the last runs of a job, the latest first.
func (k *Keeper) Runs(ctx context.Context, name string) ([]Run, error) {
	return ask(ctx, k, name, func(j *job) ([]Run, error) {
		runs := []Run{}
		for i := len(j.waiting) - 1; i >= 0; i-- {
			runs = append(runs, j.waiting[i].Run)
		}
		if j.run != nil && !j.run.Result.Over() {
			runs = append(runs, j.run.Run)
		}
		for i := len(j.history) - 1; i >= 0; i-- {
			runs = append(runs, j.history[i])
		}
		return runs[:min(len(runs), historyLength)], nil
	})
}

// Start runs a job by hand: after the jobs and services that it depends on, and with arguments of its own, unless there are none. It
// returns as soon as the run is accepted. The error can be a *root.UnknownError or a *RefusedError.
func (k *Keeper) Start(ctx context.Context, name string, args []string) (Run, error) {
	return ask(ctx, k, name, func(j *job) (Run, error) {
		if why := j.reasonOf(k); why != "" {
			refusal := &RefusedError{Reason: why}
			if j.run != nil {
				refusal.Running = j.run.ID
			}
			return Run{}, refusal
		}
		r := &run{Run: Run{Job: name, Trigger: child.TriggerManual}, argv: j.argvOf(args)}
		if j.run != nil {
			k.queue(j, r)
		} else {
			k.begin(j, r)
		}
		return r.Run, nil
	})
}

// Wait waits until a run has begun, or has come to its end.
func (k *Keeper) Wait(ctx context.Context, name string, id int, end bool) (Run, error) {
	reply := actor.NewReply[Run]()
	now, err := ask(ctx, k, name, func(j *job) (Run, error) {
		live, past, ok := j.find(id)
		switch {
		case !ok:
			return Run{}, &RefusedError{Reason: fmt.Sprintf("%s has no run %d, or none that is remembered", name, id)}
		case live == nil || !end && past.Result == Running:
			return past, nil
		case end:
			live.over = append(live.over, reply)
		default:
			live.begun = append(live.begun, reply)
		}
		return Run{}, nil
	})
	if err != nil || now.ID != 0 {
		return now, err
	}
	select {
	case r := <-reply.C():
		return r, nil
	case <-ctx.Done():
		return Run{}, ctx.Err()
	case <-k.actor.Ref().Done():
		return Run{}, actor.ErrEnded
	}
}

// Cancel ends the run of that number, or with 0 all that are in progress or wait.
func (k *Keeper) Cancel(ctx context.Context, name string, id int) error {
	_, err := ask(ctx, k, name, func(j *job) (struct{}, error) {
		if k.cancel(j, id) == 0 {
			return struct{}{}, &RefusedError{Reason: name + " is not running"}
		}
		return struct{}{}, nil
	})
	return err
}

// Pause lets the schedule of a job rest until Resume, which lets it go on with what is due then. What is in progress goes on.
func (k *Keeper) Pause(ctx context.Context, name string, paused bool) error {
	_, err := ask(ctx, k, name, func(j *job) (struct{}, error) {
		k.due(j, k.o.Now())
		j.paused = paused
		if paused {
			for _, r := range j.waiting {
				k.cancelled(j, r, "the job was paused")
			}
			j.waiting = nil
		}
		k.arm()
		return struct{}{}, nil
	})
	return err
}
