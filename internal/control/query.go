package control

import (
	"bytes"
	"net/http"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
)

// wait is GET /v1/wait?for=ready|exited&name=…&timeout=….
func (s *Server) wait(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	names, err := s.lookups(q["name"])
	if err != nil {
		return err
	}
	var holds func(*child.Status) bool
	switch client.Condition(q.Get("for")) {
	case client.Ready, "":
		holds = func(s *child.Status) bool {
			return s.State.Up() || s.State == child.StateExited && s.Last != nil && !s.Last.Failed()
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
		h := health(all)
		b, err := encode(h)
		if h.Healthy {
			return http.StatusOK, b, err
		}
		return http.StatusServiceUnavailable, b, err
	})
}

// health is what these daemons come to.
func health(all []child.Status) client.Health {
	h := client.Health{Problems: []client.Problem{}}
	for i := range all {
		if st := &all[i]; !well(st) {
			p := client.Problem{Name: st.Name, State: client.State(st.State), Reason: st.Reason}
			if p.Reason == "" && st.Last != nil && !st.State.Alive() {
				p.Reason = "ended with " + st.Last.String()
			}
			h.Problems = append(h.Problems, p)
		}
	}
	h.Healthy = len(h.Problems) == 0
	return h
}

// well reports whether a daemon does not count against the health of the bundle.
func well(s *child.Status) bool {
	switch s.State {
	case child.StateWaiting, child.StateStarting, child.StateUnhealthy, child.StateBackoff, child.StateGaveUp:
		return false
	case child.StateExited:
		return s.Last == nil || !s.Last.Failed()
	}
	return true
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
