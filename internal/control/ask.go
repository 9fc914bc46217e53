package control

import (
	"context"
	"errors"
	"maps"
	"net/http"
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
	errTimeout  = &failure{Status: http.StatusGatewayTimeout, Message: "it has not come true in time"}
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
func (s *Server) tell(ctx context.Context, name string, names set, m child.Msg, done func(*child.Status) bool) ([]child.Status, error) {
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

// lookup returns the daemons that a name stands for.
func (s *Server) lookup(name string) (set, error) {
	found, err := s.o.Lookup(name)
	var unknown *bundle.UnknownDaemonError
	switch {
	case errors.As(err, &unknown):
		return nil, &failure{Status: http.StatusNotFound, Message: err.Error(), Nearest: unknown.Nearest}
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, &failure{Status: http.StatusNotFound, Message: name + " does not run in this bundle"}
	}
	names := set{}
	for _, n := range found {
		names[n] = true
	}
	return names, nil
}

// lookups returns the daemons that several names stand for, or all if there are no names.
func (s *Server) lookups(asked []string) (set, error) {
	names := set{}
	for _, name := range asked {
		found, err := s.lookup(name)
		if err != nil {
			return nil, err
		}
		maps.Copy(names, found)
	}
	if len(asked) == 0 {
		for name := range s.o.Daemons {
			names[name] = true
		}
	}
	return names, nil
}
