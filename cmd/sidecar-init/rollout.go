package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/plan"
	"github.com/bot-bottle/sidecar-init/root"
)

// apply brings the bundle from old to next: at once what is not rolled out, then one service after the other, at last what
// depends on these. It returns the daemons that have failed, and a sentence for each service whose update has failed.
func (r *reloader) apply(ctx context.Context, old, next *bundle.Bundle, p plan.Plan) (failed, updates []string, err error) {
	rollouts := p.Rollouts(old, next)
	later := p.Later(old, next, rollouts)
	held, rolling := map[string]bool{}, map[string]bool{}
	for _, o := range rollouts {
		hold(held, o.Names)
		hold(rolling, o.Names)
	}
	hold(held, later)
	step := func() ([]string, error) {
		b, p := next, p
		if len(rollouts) > 0 {
			all, err := r.statuses(ctx)
			if err != nil {
				return nil, err
			}
			b = plan.Between(old, next, held, rolling)
			p = plan.New(r.now.Load(), b, states(all))
		}
		specs, err := r.change(ctx, b, p)
		if err != nil {
			return nil, err
		}
		return r.settle(ctx, p, specs)
	}
	failed, err = step()
	if r.now.Load() != old {
		r.drift.reset(r.seen)
	}
	if err != nil || len(rollouts) == 0 {
		return failed, nil, err
	}
	for _, o := range rollouts {
		last := o.Names[len(o.Names)-1]
		bad, stopped, err := r.roll(ctx, o, next, func(batch []string) ([]string, error) {
			release(held, batch)
			if slices.Contains(batch, last) { // who is restarted after the service is so once, at its end
				release(rolling, o.Names)
			}
			return step()
		})
		failed = append(failed, bad...)
		if err != nil {
			return failed, updates, err
		}
		how := "failed in part"
		switch {
		case len(bad) == 0:
			continue
		case stopped && o.Config.Failure == bundle.FailureRollback:
			how = "was rolled back"
			hold(held, o.Names)
			if _, err := step(); err != nil {
				return failed, updates, err
			}
		case stopped:
			how = "was paused"
		}
		release(rolling, o.Names)
		updates = append(updates, fmt.Sprintf("the update of %s %s: %s failed", o.Service, how, strings.Join(bad, ", ")))
	}
	release(held, later)
	bad, err := step()
	if len(updates) > 0 {
		r.drift.forget() // what is held has not become what the files say
	}
	return append(failed, bad...), updates, err
}

func hold(held map[string]bool, names []string) {
	for _, name := range names {
		held[name] = true
	}
}

func release(held map[string]bool, names []string) {
	for _, name := range names {
		delete(held, name)
	}
}

// roll changes the replicas of a service a batch at a time, by change, which returns those that could not be started. It stops where
// more have failed than may, unless the update is to go on then.
func (r *reloader) roll(ctx context.Context, o plan.Rollout, b *bundle.Bundle, change func(batch []string) ([]string, error)) (failed []string, stopped bool, err error) {
	for i, batch := range o.Batches() {
		if i > 0 {
			select {
			case <-time.After(o.Config.Delay):
			case <-ctx.Done():
				return failed, false, ctx.Err()
			}
		}
		bad, err := change(batch)
		if err != nil {
			return failed, false, err
		}
		unwell := r.unwell(ctx, b, slices.DeleteFunc(slices.Clone(batch), func(name string) bool { return slices.Contains(bad, name) }))
		if err := ctx.Err(); err != nil {
			return failed, false, err
		}
		if r.end.began.Load() != nil {
			return failed, false, root.ErrShuttingDown // which has ended them
		}
		for _, name := range batch {
			if slices.Contains(bad, name) || slices.Contains(unwell, name) {
				failed = append(failed, name)
			}
		}
		if o.Config.Failure != bundle.FailureContinue && float32(len(failed)) > o.Config.MaxFailureRatio*float32(len(o.Names)) {
			return failed, true, nil
		}
	}
	return failed, false, nil
}

// unwell returns which of some daemons, which were started, do not become ready in their time, or do not stay so.
func (r *reloader) unwell(ctx context.Context, b *bundle.Bundle, names []string) (bad []string) {
	fine := make([]bool, len(b.Daemons))
	var group sync.WaitGroup
	for i := range b.Daemons {
		d := &b.Daemons[i]
		if !slices.Contains(names, d.Spec.Name) {
			continue
		}
		limit, monitor := bundle.DefaultReadyTimeout, time.Duration(0)
		if d.Ready != nil {
			limit = d.Ready.Timeout
		}
		if d.Update != nil {
			monitor = d.Update.Monitor
		}
		if !d.Spec.Readiness {
			monitor = max(monitor, aliveTime)
		}
		group.Go(func() { fine[i] = r.well(ctx, d.Spec.Name, limit, monitor) })
	}
	group.Wait()
	for i := range b.Daemons {
		if name := b.Daemons[i].Spec.Name; slices.Contains(names, name) && !fine[i] {
			bad = append(bad, name)
		}
	}
	return bad
}

// aliveTime is how long a daemon without readiness must have lived to be taken for well.
const aliveTime = time.Second

// well waits until a daemon that was started is ready, for limit at most, and then whether it stays so.
func (r *reloader) well(ctx context.Context, name string, limit, monitor time.Duration) bool {
	up := func(s *child.Status) bool { return s.State.Up() || s.State == child.StateExited && s.Completed }
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	good, starts := false, 0
	if _, err := r.await(wait, func(s *child.Status) bool {
		if s.Name != name {
			return true
		}
		good, starts = up(s), s.Starts
		return good || !s.State.Alive()
	}); err != nil || !good {
		return false
	}
	watch, cancel := context.WithTimeout(ctx, monitor)
	defer cancel()
	_, err := r.await(watch, func(s *child.Status) bool { return s.Name != name || !up(s) || s.Starts != starts })
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}

// Roll is control.Reloader: it restarts the replicas of a service as its deploy.update_config says. Ok is false where it has none.
// What has begun goes on when ctx ends.
func (r *reloader) Roll(ctx context.Context, service string) (ok bool, err error) {
	b := r.now.Load()
	o := plan.Rollout{Service: service}
	for i := range b.Daemons {
		if d := &b.Daemons[i]; d.Spec.Service == service && d.Replica > 0 && d.Update != nil {
			o.Names, o.Config = append(o.Names, d.Spec.Name), *d.Update
		}
	}
	if len(o.Names) < 2 {
		return false, nil
	}
	if err := r.take(ctx); err != nil {
		return true, err
	}
	_, err = goOn(ctx, func() (struct{}, error) {
		defer r.leave()
		failed, stopped, err := r.roll(r.life, o, b, func(batch []string) ([]string, error) { return nil, r.restart(r.life, batch) })
		switch {
		case err != nil:
		case stopped:
			err = fmt.Errorf("the restart of %s was stopped: %s failed", service, strings.Join(failed, ", "))
			r.w.logger.Printf("%v", err)
		case len(failed) > 0:
			err = fmt.Errorf("%s failed", strings.Join(failed, ", "))
		}
		return struct{}{}, err
	})
	return true, err
}

// restart restarts daemons, and waits until they are.
func (r *reloader) restart(ctx context.Context, names []string) error {
	seen := map[string]uint64{}
	for _, name := range names {
		done, err := actor.Ask(ctx, r.to, func(reply actor.Reply[root.Accepted]) root.Msg {
			return root.Do{Name: name, Msg: child.Restart{}, Reply: reply}
		})
		if err = errors.Join(err, done.Err); err != nil {
			return err
		}
		maps.Copy(seen, done.Seen)
	}
	_, err := r.await(ctx, func(s *child.Status) bool {
		at, concerned := seen[s.Name]
		return !concerned || s.Seen >= at && s.Settled()
	})
	return err
}

// take waits for the turn to change the bundle, which leave ends.
func (r *reloader) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		if err := r.life.Err(); err != nil {
			r.leave()
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reloader) leave() { <-r.turn }

// goOn does something that goes on when ctx ends.
func goOn[T any](ctx context.Context, do func() (T, error)) (v T, err error) {
	done := make(chan struct{})
	var result T
	var failure error
	go func() {
		result, failure = do()
		close(done)
	}()
	select {
	case <-done:
		return result, failure
	case <-ctx.Done():
		return v, ctx.Err()
	}
}
