package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// A need is what a run by hand depends on.
type need struct {
	child.Dependency
	job bool
}

// fulfil runs the jobs and starts the services that are needed, one after the other, and waits for their conditions.
func (k *Keeper) fulfil(ctx context.Context, needs []need) error {
	for _, n := range needs {
		meet := k.service
		if n.job {
			meet = k.job
		}
		if err := meet(ctx, n); err != nil && (!n.Optional || ctx.Err() != nil) {
			return err
		}
	}
	return nil
}

// job runs a job to its end, or waits for that of the run in progress.
func (k *Keeper) job(ctx context.Context, n need) error {
	r, err := k.Start(ctx, n.Name, nil)
	var refusal *RefusedError
	mine := err == nil
	if errors.As(err, &refusal) && refusal.Running != 0 {
		r.ID, err = refusal.Running, nil
	}
	if err != nil {
		return err
	}
	r, err = k.Wait(ctx, n.Name, r.ID, true)
	if err != nil {
		if mine && ctx.Err() != nil {
			_ = k.Cancel(context.Background(), n.Name, r.ID) // it may be over
		}
		return err
	}
	if r.Result != Succeeded && (n.Condition == child.ServiceCompletedSuccessfully || r.Result == Cancelled) {
		return fmt.Errorf("the job %s that it depends on has %s", n.Name, r.Result)
	}
	return nil
}

// service starts a service that does not run, and waits until it is as it is needed.
func (k *Keeper) service(ctx context.Context, n need) error {
	all, err := actor.Ask(ctx, k.o.Root, func(r actor.Reply[[]child.Status]) root.Msg { return root.List{Reply: r} })
	if err != nil {
		return err
	}
	var seen uint64
	for i := range all {
		s := &all[i]
		completed := n.Condition == child.ServiceCompletedSuccessfully && s.Completed
		if s.Name != n.Name || !s.State.Final() || completed {
			continue
		}
		done, err := actor.Ask(ctx, k.o.Root, func(r actor.Reply[root.Accepted]) root.Msg {
			return root.Do{Name: n.Name, Msg: child.Start{}, Reply: r}
		})
		if err = errors.Join(err, done.Err); err != nil {
			return err
		}
		seen = done.Seen[n.Name]
	}
	why := ""
	_, err = actor.Ask(ctx, k.o.Root, func(r actor.Reply[[]child.Status]) root.Msg {
		return root.Await{Reply: r, Until: func(all []child.Status) bool {
			holds := false
			holds, why = meets(all, n, seen)
			return holds || why != "" || ctx.Err() != nil // without its asker it would be kept for ever
		}}
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case why != "":
		return errors.New(why)
	}
	return nil
}

// meets reports whether a service is as it is needed, or says why it will not be.
func meets(all []child.Status, n need, seen uint64) (holds bool, why string) {
	for i := range all {
		s := &all[i]
		switch {
		case s.Name != n.Name:
			continue
		case s.Seen < seen:
			return false, ""
		case n.Condition == child.ServiceHealthy:
			holds = s.State.Up()
		case n.Condition == child.ServiceCompletedSuccessfully:
			holds = s.Completed && s.State.Final()
		default:
			holds = s.Executed()
		}
		if !holds && s.State.Final() {
			why = fmt.Sprintf("%s, which it depends on, does not run", n.Name)
			if s.Last != nil {
				why = fmt.Sprintf("%s, which it depends on, has ended with %s", n.Name, s.Last)
			}
		}
		return holds, why
	}
	return false, fmt.Sprintf("%s, which it depends on, is not in the bundle", n.Name)
}
