package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/control"
	"github.com/bot-bottle/sidecar-init/internal/plan"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// keep lets next have the transient daemons of old. The error, a *bundle.Errors, says which names next has itself.
func keep(old, next *bundle.Bundle) error {
	problems := &bundle.Errors{}
	for _, d := range transients(old) {
		if next.Known(d.Spec.Name) {
			problems.Problems = append(problems.Problems, bundle.Problem{
				File: firstFile(next), Message: d.Spec.Name + " is the name of a transient daemon: 'sidecar-init remove " + d.Spec.Name + "' first",
			})
			continue
		}
		next.Daemons = append(next.Daemons, d)
	}
	if len(problems.Problems) > 0 {
		return problems
	}
	return nil
}

// transients are the daemons that are in no file.
func transients(b *bundle.Bundle) []bundle.Daemon {
	return slices.DeleteFunc(slices.Clone(b.Daemons), func(d bundle.Daemon) bool { return !d.Transient })
}

// Start is control.Reloader: it brings a service in that the file has and the bundle does not. The file must be what runs, since
// nothing else may change by it.
func (r *reloader) Start(ctx context.Context, service string) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	_, err := goOn(ctx, func() (struct{}, error) {
		defer r.leave()
		return struct{}{}, r.bring(r.life, service)
	})
	return err
}

func (r *reloader) bring(ctx context.Context, service string) error {
	old := r.now.Load()
	if n, known := old.Service(service); n > 0 || !known {
		return nil // another one was faster
	}
	if r.drifted() {
		return control.Refuse(http.StatusConflict, "the bundle file has changed since: 'sidecar-init reload' first, then start %s", service)
	}
	brought := append(slices.Clone(*r.brought.Load()), service)
	next, err := r.readAgain(false, brought)
	if err == nil {
		err = keep(old, next)
	}
	if err != nil {
		return err
	}
	if n, _ := next.Service(service); n == 0 {
		return control.Refuse(http.StatusNotFound, "%s is not among the daemons that the supervisor was started for", service)
	}
	all, err := r.statuses(ctx)
	if err != nil {
		return err
	}
	p := plan.New(old, next, states(all))
	specs, err := r.change(ctx, next, p)
	if err != nil {
		return err
	}
	r.brought.Store(&brought)
	_, err = r.settle(ctx, p, specs)
	return err
}

// Add is control.Reloader: it makes a transient daemon, and returns when its program has been executed. One that cannot be started
// is removed again.
func (r *reloader) Add(ctx context.Context, name string, o client.Transient) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	_, err := goOn(ctx, func() (struct{}, error) {
		defer r.leave()
		return struct{}{}, r.add(r.life, name, o)
	})
	return err
}

func (r *reloader) add(ctx context.Context, name string, o client.Transient) error {
	b := r.now.Load()
	if b.Transient == nil {
		return control.Refuse(http.StatusConflict, "this bundle allows no transient daemons: its file would need x-sidecar-init: { transient: { max: %d } }", bundle.DefaultMaxTransient)
	}
	all, err := r.statuses(ctx)
	if err != nil {
		return err
	}
	if b.Known(name) || slices.ContainsFunc(all, func(s child.Status) bool { return s.Name == name }) {
		return control.Refuse(http.StatusConflict, "there is a daemon %s already", name)
	}
	if n := len(transients(b)); n >= b.Transient.Max {
		return control.Refuse(http.StatusTooManyRequests, "there are %d transient daemons, which is all that the bundle allows: remove one", n)
	}
	ttl, restart, err := bounds(b.Transient, o)
	if err != nil {
		return control.Refuse(http.StatusBadRequest, "%v", err)
	}
	d, err := b.NewTransient(bundle.TransientSpec{Name: name, Command: o.Command, Env: o.Env, Dir: o.WorkingDir, Restart: restart})
	if err != nil {
		return control.Refuse(http.StatusBadRequest, "%v", err)
	}
	next := *b
	next.Daemons = append(slices.Clone(b.Daemons), d)
	if _, err := r.replace(ctx, &next, false); err != nil {
		return err
	}
	all, err = r.await(ctx, func(s *child.Status) bool { return s.Name != name || s.Settled() })
	if err != nil {
		return err
	}
	for i := range all {
		s := &all[i]
		if s.Name != name {
			continue
		}
		u := s.Data.(*unit)
		if s.Last != nil && s.Last.Err != nil && s.Starts == 0 {
			err := control.Refuse(http.StatusInternalServerError, "%s cannot be started: %s", name, printable.Text(s.Last.Err.Error()))
			return errors.Join(err, r.remove(ctx, u))
		}
		if ttl > 0 {
			u.expire(ttl, func() { r.expired(u, ttl) })
		}
	}
	return nil
}

// expired removes a transient daemon whose time is over.
func (r *reloader) expired(u *unit, ttl time.Duration) {
	if r.take(r.life) != nil {
		return
	}
	defer r.leave()
	all, err := r.statuses(r.life)
	if err != nil || r.end.began.Load() != nil || !slices.ContainsFunc(all, func(s child.Status) bool { return s.Data == u }) {
		return // the bundle ends, or it has gone meanwhile
	}
	r.w.logger.Printf("%s: its time (%v) is over; removing", u.name, ttl)
	_ = r.remove(r.life, u) // else the bundle ends
}

// bounds reads what a client wants of a transient daemon, within what the bundle allows.
func bounds(t *bundle.Transient, o client.Transient) (ttl time.Duration, restart child.RestartPolicy, err error) {
	if ttl = t.TTL; o.TTL != "" {
		ttl, err = time.ParseDuration(o.TTL)
		switch {
		case err != nil || ttl <= 0:
			return 0, restart, errors.New("ttl must be a duration such as 10m")
		case t.TTL > 0 && ttl > t.TTL:
			return 0, restart, errors.New("ttl can be " + t.TTL.String() + " at most")
		}
	}
	if o.Restart != "" {
		if restart, err = bundle.ParseRestart(o.Restart); err != nil {
			return 0, restart, errors.New("restart " + err.Error())
		}
	}
	return ttl, restart, nil
}

// Remove is control.Reloader: it stops a transient daemon, and returns when it is gone.
func (r *reloader) Remove(ctx context.Context, name string) error {
	all, err := r.statuses(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s child.Status) bool { return s.Name == name })
	if i >= 0 && all[i].Spec.Data.(*definition).Transient {
		return r.removeUnit(ctx, all[i].Data.(*unit))
	}
	if i >= 0 || r.now.Load().Known(name) { // a service of several daemons has none of its own name
		return control.Refuse(http.StatusConflict, "%s is in the bundle's file: take it out there, and reload", name)
	}
	return control.Refuse(http.StatusNotFound, "there is no daemon %s", name)
}

// removeUnit waits for its turn to remove a transient daemon.
func (r *reloader) removeUnit(ctx context.Context, u *unit) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	_, err := goOn(ctx, func() (struct{}, error) {
		defer r.leave()
		return struct{}{}, r.remove(r.life, u)
	})
	return err
}

func (r *reloader) remove(ctx context.Context, u *unit) error {
	all, err := r.statuses(ctx)
	if err != nil || !slices.ContainsFunc(all, func(s child.Status) bool { return s.Data == u }) {
		return err // it has gone meanwhile
	}
	next := *r.now.Load()
	next.Daemons = slices.DeleteFunc(slices.Clone(next.Daemons), func(d bundle.Daemon) bool { return d.Spec.Name == u.name })
	if _, err := r.replace(ctx, &next, true); err != nil {
		return err
	}
	_, err = r.await(ctx, func(s *child.Status) bool { return s.Data != u })
	return err
}
