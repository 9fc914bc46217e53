package control

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/root"
)

// A Reloader changes the bundle that runs. The errors of its methods are those of Refuse, of the context, or root's.
type Reloader interface {
	// Reload applies what has changed. The error is a *bundle.Errors where the files are wrong.
	Reload(context.Context, client.ReloadOptions) (client.Reload, error)
	// Roll restarts the replicas of a service as its deploy.update_config says, and returns when that has come to its end; ok is
	// false, and nothing was done, where it has none.
	Roll(ctx context.Context, service string) (ok bool, err error)
	// Start brings a service in that the bundle's file has and the bundle does not (Options.Absent), and starts it.
	Start(ctx context.Context, service string) error
	// Add makes a transient daemon, and returns when its program has been executed.
	Add(ctx context.Context, name string, o client.Transient) error
	// Remove ends a transient daemon, and returns when it is gone.
	Remove(ctx context.Context, name string) error
	// Bundle is what runs.
	Bundle() client.Bundle
}

var errNoReload = &failure{Status: http.StatusConflict, Message: "this bundle was not read from files"}

// bundle is GET /v1/bundle.
func (s *Server) bundle(w http.ResponseWriter, r *request) error {
	if s.o.Reloader == nil {
		return errNoReload
	}
	b, err := encode(s.o.Reloader.Bundle())
	if err == nil {
		r.write(w, http.StatusOK, b)
	}
	return err
}

// reload is POST /v1/reload?dry_run=1&rollback=1&timeout=….
func (s *Server) reload(w http.ResponseWriter, r *request) error {
	if s.o.Reloader == nil {
		return errNoReload
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return err
	}
	defer leave()
	q := r.URL.Query()
	var answer struct {
		client.Reload
		Error string `json:"error,omitempty"`
	}
	answer.Reload, err = s.o.Reloader.Reload(ctx, client.ReloadOptions{DryRun: q.Get("dry_run") == "1", Rollback: q.Get("rollback") == "1"})
	status := http.StatusOK
	var wrong *bundle.Errors
	switch {
	case errors.As(err, &wrong):
		status, answer.Error = http.StatusUnprocessableEntity, wrong.Error()
	case errors.Is(err, root.ErrShuttingDown):
		return errShutdown
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	case errors.Is(err, context.Canceled): // what it was done by has ended
		return errEnded
	case err != nil:
		return err
	case answer.RolledBack:
		status, answer.Error = http.StatusInternalServerError, "rolled back: "+list(answer.Failed)+" not ready in time"
	case len(answer.FailedUpdates) > 0:
		status, answer.Error = http.StatusInternalServerError, strings.Join(answer.FailedUpdates, "; ")
	case len(answer.Failed) > 0:
		status, answer.Error = http.StatusInternalServerError, list(answer.Failed)+" cannot be started"
	}
	b, err := encode(answer)
	if err == nil {
		r.write(w, status, b)
	}
	return err
}

// list is names with a comma between them.
func list(names []string) string {
	text := ""
	for i, name := range names {
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return text
}
