package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/plan"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/secrets"
	"github.com/bot-bottle/sidecar-init/internal/setup"
	"github.com/bot-bottle/sidecar-init/internal/watch"
	"github.com/bot-bottle/sidecar-init/root"
)

// A reloader changes the running bundle into what its files say now: all or nothing before the first process is touched, and
// then only what differs. One reload goes on at a time; the next waits for its turn.
type reloader struct {
	*program
	flags   *runFlags
	daemons []string // of the command line
	w       *workshop
	watcher *watcher
	ops     *operations
	end     *ending
	to      actor.Ref[root.Msg]

	life    context.Context // of what was begun
	quit    context.CancelFunc
	turn    chan struct{} // has a token while a reload is under way
	asked   chan struct{} // has a token when a signal, or a change of a file, asks for one
	now     atomic.Pointer[bundle.Bundle]
	drift   drift
	seen    [][sha256.Size]byte // of the files when they were read last
	about   []string            // what was said of the walls last
	started time.Time           // the supervisor was
	hosts   bool                // there may be a block of ours in /etc/hosts
	// brought are the services that start has brought in.
	brought atomic.Pointer[[]string]

	succeeded atomic.Bool  // the last one has
	at        atomic.Int64 // when one has succeeded last, in Unix seconds
}

func newReloader(p *program, flags *runFlags, daemons []string, w *workshop, b *bundle.Bundle) *reloader {
	r := &reloader{program: p, flags: flags, daemons: daemons, w: w, turn: make(chan struct{}, 1), asked: make(chan struct{}, 1), hosts: b.HostsAt != "", started: time.Now()}
	r.life, r.quit = context.WithCancel(context.Background())
	r.now.Store(b)
	r.drift.reset(sums(inputs(b)))
	r.brought.Store(&[]string{})
	r.succeeded.Store(true)
	r.at.Store(time.Now().Unix())
	return r
}

// ask asks for a reload, without waiting for it: as many as ask until it begins get one.
func (r *reloader) ask() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// run makes the reloads that are asked for, until stop is closed. Its shape is that of oklog/run.
func (r *reloader) run(stop <-chan struct{}) error {
	defer r.quit()
	go func() {
		<-stop
		r.quit()
	}()
	for {
		select {
		case <-r.asked:
			_, _ = r.Reload(r.life, client.ReloadOptions{}) // what there is to say is in the log
		case <-stop:
			r.quit()
			select { // what is under way has the last word, so that nothing is said after the end
			case r.turn <- struct{}{}:
			case <-time.After(watchEnds):
			}
			return nil
		}
	}
}

// Reload is control.Reloader, and one reload. The error is a *bundle.Errors where the files are wrong, that of ctx, or root's. What
// has begun goes on when ctx ends; with Rollback it is taken back then.
func (r *reloader) Reload(ctx context.Context, o client.ReloadOptions) (client.Reload, error) {
	if err := r.take(ctx); err != nil {
		return client.Reload{}, err
	}
	if o.Rollback {
		defer r.leave()
		return r.reload(ctx, o)
	}
	return goOn(ctx, func() (client.Reload, error) {
		defer r.leave()
		return r.reload(r.life, o)
	})
}

func (r *reloader) reload(ctx context.Context, o client.ReloadOptions) (client.Reload, error) {
	if !o.DryRun {
		r.w.logger.Printf("reloading %s", r.names())
	}
	next, err := r.readAgain(o.DryRun, *r.brought.Load())
	if err == nil {
		err = keep(r.now.Load(), next)
	}
	if err != nil {
		if !o.DryRun {
			r.refused(err)
		}
		return client.Reload{Steps: []client.ReloadStep{}, Problems: problems(err)}, err
	}
	old := r.now.Load()
	all, err := r.statuses(ctx)
	if err != nil {
		return client.Reload{}, err
	}
	p := plan.New(old, next, states(all))
	answer := client.Reload{Steps: []client.ReloadStep{}, Unchanged: p.Unchanged, Notes: p.Notes}
	for _, s := range p.Steps {
		answer.Steps = append(answer.Steps, client.ReloadStep{Name: s.Name, Action: string(s.Action), Causes: s.Causes})
	}
	if o.DryRun {
		return answer, nil
	}
	failed, updates, err := r.apply(ctx, old, next, p)
	if r.now.Load() == old {
		r.restore(old)
		r.refused(err)
		return answer, err
	}
	answer.Applied = true
	brought := r.brought.Load()
	has := slices.DeleteFunc(slices.Clone(*brought), func(name string) bool { return !next.Known(name) })
	r.brought.Store(&has)
	for _, note := range p.Notes {
		r.w.logger.Printf("note: %s", note)
	}
	if err == nil && o.Rollback && len(failed) == 0 {
		failed = r.unwell(ctx, next, p.Started())
	}
	if ctx.Err() != nil && o.Rollback && r.life.Err() == nil {
		failed, err = r.late(p)
	}
	switch {
	case err != nil:
		return answer, err
	case len(failed) > 0 && o.Rollback:
		answer.Failed, answer.RolledBack = failed, true
		r.rollBack(old, failed)
		r.brought.Store(brought)
	case len(updates) > 0:
		answer.Failed, answer.FailedUpdates = failed, updates
		r.incomplete(updates)
	default:
		answer.Failed = failed
		r.succeeded.Store(true)
		r.at.Store(time.Now().Unix())
		r.w.logger.Printf("reloaded: %s", p.Summary())
		r.w.hub.Observe(child.Event{Time: time.Now(), Kind: events.Reloaded, Reason: p.Summary()}, nil)
	}
	return answer, nil
}

// names are those of the files, for the log.
func (r *reloader) names() string {
	if names := r.now.Load().Files; len(names) > 0 {
		return printable.Line(strings.Join(names, ", "))
	}
	return "the built-in bundle"
}

// readAgain reads the files once more. What the container does not give is a problem of the files, too.
func (r *reloader) readAgain(dry bool, brought []string) (*bundle.Bundle, error) {
	if slices.Contains(r.flags.files, "-") {
		return nil, problem("-", "it was standard input, which cannot be read again: give the bundle file a name")
	}
	for _, name := range inputs(r.now.Load()) {
		if name, err := filepath.Abs(name); err == nil {
			if err := watch.Replaced(name); err != nil {
				return nil, err
			}
		}
	}
	next, err := r.readStable(brought)
	if err != nil {
		return nil, err
	}
	if len(next.Daemons) == 0 {
		return nil, problem(firstFile(next), "no daemons are left, and a reload does not end the bundle: to end it, shut it down")
	}
	warn := func(line string) {
		if !dry {
			r.w.logger.Printf("%s", printable.Line(line))
		}
	}
	if wrong := lacking(next, r.flags, warn); len(wrong.Problems) > 0 {
		return nil, wrong
	}
	about, err := walls(next)
	if err != nil {
		return nil, err
	}
	unheld, err := r.w.limits.confine(next, dry)
	if err != nil {
		return nil, err
	}
	about = append(about, unheld...)
	if !dry {
		for _, line := range r.w.limits.scarce(next) {
			warn(line)
		}
		if about = append(about, shut(next)...); !slices.Equal(about, r.about) {
			for _, line := range about {
				warn(line)
			}
			r.about = about
		}
	}
	if err := r.place(next, dry); err != nil {
		return nil, &bundle.Errors{Problems: []bundle.Problem{{Message: err.Error()}}}
	}
	return next, nil
}

// How often, and how far apart, files that change while they are read are read.
const (
	maxReads = 5
	readWait = 50 * time.Millisecond
)

// readStable reads files that are not being written: what is read is the same before and after.
func (r *reloader) readStable(brought []string) (*bundle.Bundle, error) {
	for range maxReads {
		before := sums(inputs(r.now.Load()))
		next, err := r.read(r.flags, r.daemons, brought)
		if slices.Equal(before, sums(inputs(r.now.Load()))) {
			if err == nil {
				digest(next)
				r.seen = sums(inputs(next))
			}
			return next, err
		}
		<-time.After(readWait)
	}
	return nil, problem(r.flags.files[0], "it changes while it is read: write another file, and rename it")
}

func firstFile(b *bundle.Bundle) string {
	if len(b.Files) > 0 {
		return b.Files[0]
	}
	return "builtin.yaml"
}

// problem is one that is about a file as a whole.
func problem(file, message string) error {
	return &bundle.Errors{Problems: []bundle.Problem{{File: file, Message: message}}}
}

// problems are the lines of an error.
func problems(err error) []string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, printable.Line(strings.TrimSuffix(line, "\n")))
	}
	return lines
}

// refused tells of a reload that has changed nothing.
func (r *reloader) refused(err error) {
	r.succeeded.Store(false)
	for _, line := range problems(err) {
		r.w.logger.Printf("reload refused: %s; nothing was changed", line)
	}
	r.w.hub.Observe(child.Event{Time: time.Now(), Kind: events.ReloadFailed, Reason: problems(err)[0]}, nil)
}

// statuses are those of all daemons.
func (r *reloader) statuses(ctx context.Context) ([]child.Status, error) {
	return actor.Ask(ctx, r.to, func(reply actor.Reply[[]child.Status]) root.Msg { return root.List{Reply: reply} })
}

func states(all []child.Status) map[string]child.State {
	by := map[string]child.State{}
	for i := range all {
		by[all[i].Name] = all[i].State
	}
	return by
}

// change makes the bundle another one, of other files. It returns the new definitions, as soon as root has taken them.
func (r *reloader) change(ctx context.Context, next *bundle.Bundle, p plan.Plan) (map[string]*child.Spec, error) {
	routed := routes(next)
	if err := setup.Drop(func(sig syscall.Signal) bool { _, ok := routed[sig]; return ok }); err != nil {
		r.w.logger.Printf("a flood of signals can make the supervisor deaf: %v", err)
	}
	specs, err := r.replace(ctx, next, false)
	if err != nil {
		return nil, err
	}
	r.end.grace.Store(int64(next.Grace))
	if err := r.ops.notifier.SetSinks(sinks(next, r.flags), next.Env); err != nil { // the file was checked
		r.w.logger.Printf("%s", printable.Text(err.Error()))
	}
	r.watcher.set()
	r.w.jobs.Set(definitions(next))
	all, err := r.statuses(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if u, ok := all[i].Data.(*unit); ok && p.Action(all[i].Name) == plan.Update {
			u.revise(specs[all[i].Name].Data.(*definition))
		}
	}
	return specs, nil
}

// replace gives root the daemons of next, which runs from then on; mayEnd is that of root.Update. It returns their definitions.
func (r *reloader) replace(ctx context.Context, next *bundle.Bundle, mayEnd bool) (map[string]*child.Spec, error) {
	has := map[string]bool{}
	for i := range r.now.Load().Daemons {
		has[r.now.Load().Daemons[i].Spec.Name] = true
	}
	u := root.Update{Grace: next.Grace, Routes: routes(next), ExitCodeFrom: next.ExitCodeFrom, MayEnd: mayEnd}
	specs := map[string]*child.Spec{}
	for i := range next.Daemons {
		spec, err := r.w.define(&next.Daemons[i], r.flags)
		if err != nil {
			return nil, err
		}
		specs[spec.Name] = &spec
		d := root.Daemon{Spec: spec}
		if !has[spec.Name] {
			d = r.w.unit(spec)
		}
		u.Daemons = append(u.Daemons, d)
	}
	done, err := actor.Ask(ctx, r.to, func(reply actor.Reply[root.Updated]) root.Msg {
		u.Reply = reply
		return u
	})
	if err = errors.Join(err, done.Err); err != nil {
		return nil, err
	}
	r.now.Store(next)
	return specs, nil
}

// settle waits until all that a plan starts, restarts and stops has come to that, and returns what has not.
func (r *reloader) settle(ctx context.Context, p plan.Plan, specs map[string]*child.Spec) (failed []string, err error) {
	actions := map[string]plan.Action{}
	for _, s := range p.Steps {
		actions[s.Name] = s.Action
	}
	starts := func(s *child.Status) bool { return actions[s.Name] == plan.Start || actions[s.Name] == plan.Restart }
	all, err := r.await(ctx, func(s *child.Status) bool {
		switch {
		case actions[s.Name] == plan.Stop:
			return false // it is still there
		case starts(s):
			return specs[s.Name].Compare(s.Spec) == child.SameSpec && s.Settled()
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if s := &all[i]; starts(s) && s.PID == 0 && !(s.State == child.StateExited && s.Completed) {
			failed = append(failed, s.Name)
		}
	}
	return failed, nil
}

// await waits until holds says so of each daemon.
func (r *reloader) await(ctx context.Context, holds func(*child.Status) bool) ([]child.Status, error) {
	all, err := actor.Ask(ctx, r.to, func(reply actor.Reply[[]child.Status]) root.Msg {
		return root.Await{Reply: reply, Until: func(all []child.Status) bool {
			if ctx.Err() != nil { // without its asker it would be kept for ever
				return true
			}
			for i := range all {
				if !holds(&all[i]) {
					return false
				}
			}
			return true
		}}
	})
	if err == nil {
		err = ctx.Err()
	}
	return all, err
}

// late returns those that a plan starts and that are not ready, when its time is over; if all that are there are, whose turn would
// have come is late.
func (r *reloader) late(p plan.Plan) ([]string, error) {
	all, err := r.statuses(r.life)
	names := p.Started()
	late := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(all, func(s child.Status) bool { return s.Name == name && s.State.Up() })
	})
	if len(late) == 0 {
		return names, err
	}
	return late, err
}

// incomplete tells of services whose update has failed.
func (r *reloader) incomplete(why []string) {
	r.succeeded.Store(false)
	for _, line := range why {
		r.w.logger.Printf("reload: %s", line)
	}
	r.w.hub.Observe(child.Event{Time: time.Now(), Kind: events.ReloadFailed, Reason: strings.Join(why, "; ")}, nil)
}

// rollBack gives all daemons their old definitions back.
func (r *reloader) rollBack(old *bundle.Bundle, late []string) {
	r.succeeded.Store(false)
	why := strings.Join(late, ", ") + " was not ready"
	if len(late) > 1 {
		why = strings.Join(late, ", ") + " were not ready"
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.restore(old)
	all, err := r.statuses(ctx)
	if err == nil {
		p := plan.New(r.now.Load(), old, states(all))
		var specs map[string]*child.Spec
		if specs, err = r.change(ctx, old, p); err == nil {
			_, err = r.settle(ctx, p, specs)
		}
	}
	r.drift.forget()
	if err != nil {
		r.w.logger.Printf("reload: %s, and cannot be rolled back: %s", why, printable.Text(err.Error()))
	} else {
		r.w.logger.Printf("reload rolled back: %s", why)
	}
	r.w.hub.Observe(child.Event{Time: time.Now(), Kind: events.ReloadFailed, Reason: fmt.Sprintf("rolled back: %s", why)}, nil)
}

// place puts the secrets, configs and hosts of a bundle where its daemons look for them, unless it is a dry run.
func (r *reloader) place(b *bundle.Bundle, dry bool) error {
	names, err := hostsOf(b, r.hosts)
	if err != nil || dry {
		return err
	}
	r.hosts = r.hosts || b.HostsAt != ""
	if err := secrets.Ensure(filesOf(b)); err != nil {
		return err
	}
	return names.Write()
}

// restore puts those of a bundle back, in the place of which those of another one are.
func (r *reloader) restore(old *bundle.Bundle) {
	if err := r.place(old, false); err != nil {
		for _, line := range problems(err) {
			r.w.logger.Printf("%s", line)
		}
	}
}

// Bundle is control.Reloader.
func (r *reloader) Bundle() client.Bundle {
	b := r.now.Load()
	var since *time.Time
	if t := r.w.hub.Since(); !t.IsZero() {
		t = t.UTC()
		since = &t
	}
	return client.Bundle{
		Started: r.started.UTC(), EventsSince: since, PIDNamespace: client.PIDNamespace(),
		Name: b.Name, Files: append([]string{}, b.Files...), Absent: b.Unselected, Changed: r.drifted(),
		LastReload: time.Unix(r.at.Load(), 0).UTC(), LastReloadFailed: !r.succeeded.Load(),
	}
}
