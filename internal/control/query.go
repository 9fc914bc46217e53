package control

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// wait is GET /v1/wait?for=ready|exited&name=…&timeout=….
func (s *Server) wait(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	names, _, err := s.lookups(r.Context(), q["name"], false)
	if err != nil {
		return err
	}
	var holds func(*child.Status) bool
	switch client.Condition(q.Get("for")) {
	case client.Ready, "":
		holds = func(s *child.Status) bool {
			return s.State.Up() || s.State == child.StateExited && s.Completed
		}
	case client.Exited:
		holds = func(s *child.Status) bool { return s.State.Final() }
	default:
		return &failure{Status: http.StatusBadRequest, Message: "for must be ready or exited"}
	}
	ctx, leave, err := s.stayUntil(r)
	if err != nil {
		return err
	}
	defer leave()
	all, err := s.until(ctx, names, holds)
	if err != nil {
		return s.late(r, names, err)
	}
	return s.answerDaemons(w, r, all, false)
}

// healthy is GET /v1/healthy.
func (s *Server) healthy(w http.ResponseWriter, r *request) error {
	return s.answer(w, r, func() (int, []byte, error) {
		all, err := s.statuses(r.Context())
		if err != nil {
			return 0, nil, err
		}
		h := health(all, time.Now())
		b, err := encode(h)
		if h.Healthy {
			return http.StatusOK, b, err
		}
		return http.StatusServiceUnavailable, b, err
	})
}

// health tells what is not well, and why.
func health(all []child.Status, now time.Time) client.Health {
	h := client.Health{Problems: []client.Problem{}}
	for i := range all {
		s := &all[i]
		if s.Well(now) {
			continue
		}
		reason := printable.Text(s.Reason)
		switch {
		case s.State.Up() && s.Last != nil:
			reason = fmt.Sprintf("it was restarted %s ago, after it had ended with %s", now.Sub(s.Started).Round(time.Second), s.Last)
		case reason == "" && s.Last != nil && !s.State.Alive():
			reason = "ended with " + s.Last.String()
		}
		h.Problems = append(h.Problems, client.Problem{Name: s.Name, State: client.State(s.State), Reason: reason})
	}
	h.Healthy = len(h.Problems) == 0
	return h
}

// metrics is GET /metrics.
func (s *Server) metrics(w http.ResponseWriter, r *request) error {
	if s.o.Metrics == nil {
		return s.notFound(w, r)
	}
	return s.answer(w, r, func() (int, []byte, error) {
		all, err := s.statuses(r.Context())
		if err != nil {
			return 0, nil, err
		}
		var b bytes.Buffer
		s.o.Metrics(&b, all)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		return http.StatusOK, b.Bytes(), nil
	})
}
