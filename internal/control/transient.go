package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/root"
)

// refused is the error of a Reloader as clients get it.
func refused(err error) error {
	var wrong *bundle.Errors
	switch {
	case errors.As(err, &wrong):
		return &failure{Status: http.StatusUnprocessableEntity, Message: strings.ReplaceAll(wrong.Error(), "\n", "; ")}
	case errors.Is(err, root.ErrShuttingDown):
		return errShutdown
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout
	case errors.Is(err, context.Canceled): // what it was done by has ended
		return errEnded
	}
	return err
}

// add is PUT /v1/daemons/{name}.
func (s *Server) add(w http.ResponseWriter, r *request) error {
	var o client.Transient
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil || dec.More() {
		return &failure{Status: http.StatusBadRequest, Message: `the body must be like {"command":["sleep","60"],"ttl":"1m"}`}
	}
	if s.o.Reloader == nil {
		return errNoReload
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return err
	}
	defer leave()
	if err := refused(s.o.Reloader.Add(ctx, r.PathValue("name"), o)); err != nil {
		return err
	}
	return s.show(w, r)
}

// takeAway is DELETE /v1/daemons/{name}. It answers with the daemon as it was.
func (s *Server) takeAway(w http.ResponseWriter, r *request) error {
	names, all, err := s.lookups(r.Context(), []string{r.PathValue("name")}, false)
	if err != nil {
		return err
	}
	if s.o.Reloader == nil {
		return errNoReload
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return err
	}
	defer leave()
	if err := refused(s.o.Reloader.Remove(ctx, r.PathValue("name"))); err != nil {
		return err
	}
	return s.answerDaemons(w, r, names.pick(all), true)
}
