package control

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/mailbox"
	"github.com/bot-bottle/sidecar-init/root"
)

// The errors that root does not know.
var (
	errEnded    = &failure{Status: http.StatusServiceUnavailable, Message: "the supervisor has ended"}
	errTimeout  = &failure{Status: http.StatusGatewayTimeout, Message: "the condition was not met in time"}
	errShutdown = &failure{Status: http.StatusConflict, Message: root.ErrShuttingDown.Error()}
)

// ask is actor.Ask, with answers in place of errors. A queue that is full is one that root has not been run for; it is
// tried again.
func ask[T any](ctx context.Context, to actor.Ref[root.Msg], mk func(actor.Reply[T]) root.Msg) (T, error) {
	for {
		v, err := actor.Ask(ctx, to, mk)
		switch {
		case errors.Is(err, mailbox.ErrFull):
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return v, err
			}
			continue
		case errors.Is(err, context.DeadlineExceeded):
			return v, errTimeout
		case errors.Is(err, mailbox.ErrClosed) || errors.Is(err, actor.ErrEnded):
			return v, errEnded
		}
		return v, err
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A set is the daemons that a request is about.
type set map[string]bool

// pick returns the statuses of these daemons.
func (names set) pick(all []child.Status) []child.Status {
	picked := make([]child.Status, 0, len(names))
	for i := range all {
		if names[all[i].Name] {
			picked = append(picked, all[i])
		}
	}
	return picked
}

// until waits until holds says so of each of these daemons, and returns their statuses. holds is called on root's goroutine.
func (s *Server) until(ctx context.Context, names set, holds func(*child.Status) bool) ([]child.Status, error) {
	all, err := ask(ctx, s.o.Root, func(r actor.Reply[[]child.Status]) root.Msg {
		return root.Await{Reply: r, Until: func(all []child.Status) bool {
			if ctx.Err() != nil { // without its asker it would be kept for ever
				return true
			}
			for i := range all {
				if names[all[i].Name] && !holds(&all[i]) {
					return false
				}
			}
			return true
		}}
	})
	if err == nil && ctx.Err() != nil { // it was the asker's leaving that made it hold
		err = errTimeout
	}
	return names.pick(all), err
}

// tell gives daemons a command, and waits until done says of each, from the status on that reflects the command, that
// the command has had its effect or cannot have it any more.
func (s *Server) tell(ctx context.Context, name string, names set, m child.Command, done func(*child.Status) bool) ([]child.Status, error) {
	accepted, err := ask(ctx, s.o.Root, func(r actor.Reply[root.Accepted]) root.Msg {
		return root.Do{Name: name, Msg: m, Reply: r}
	})
	var unknown *root.UnknownError
	switch {
	case err != nil:
		return nil, err
	case errors.Is(accepted.Err, root.ErrShuttingDown):
		return nil, errShutdown
	case errors.As(accepted.Err, &unknown):
		return nil, &failure{Status: http.StatusNotFound, Message: accepted.Err.Error()}
	case accepted.Err != nil:
		return nil, accepted.Err
	}
	return s.until(ctx, names, func(s *child.Status) bool { return s.Seen >= accepted.Seen[s.Name] && done(s) })
}

// lookup returns the daemons that a name stands for: root's list says.
func (s *Server) lookup(ctx context.Context, name string) (set, error) {
	names, _, err := s.lookups(ctx, []string{name}, false)
	return names, err
}

// lookups returns the daemons that several names stand for, or all if there are no names, the jobs only if they are wanted; and the
// statuses of all.
func (s *Server) lookups(ctx context.Context, asked []string, jobs bool) (set, []child.Status, error) {
	all, err := s.statuses(ctx)
	if err != nil {
		return nil, nil, err
	}
	names := set{}
	for _, name := range asked {
		found := false
		for i := range all {
			if all[i].Name == name || all[i].Spec.Service == name {
				names[all[i].Name], found = true, true
			}
		}
		if !found {
			return nil, nil, s.unknown(all, name)
		}
	}
	if len(asked) == 0 {
		for i := range all {
			if jobs || !all[i].IsJob() {
				names[all[i].Name] = true
			}
		}
	}
	return names, all, nil
}

// unknown is the error for a name that stands for no daemon.
func (s *Server) unknown(all []child.Status, name string) error {
	var known, absent []string
	if s.o.Absent != nil {
		absent = s.o.Absent()
	}
	if slices.Contains(absent, name) {
		return &failure{Status: http.StatusNotFound, Message: name + " does not run in this bundle"}
	}
	for i := range all {
		known = append(known, all[i].Name, all[i].Spec.Service)
	}
	err := bundle.Unknown(name, append(known, absent...))
	return &failure{Status: http.StatusNotFound, Message: err.Error(), Nearest: err.Nearest}
}
