package control

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/events"
)

// A stream is an answer of one JSON object a line, with no end known.
type stream struct {
	s   *Server
	r   *request
	w   http.ResponseWriter
	end func()
}

// stream begins such an answer. The request's place and the stream's part in the end are given up by end.
func (s *Server) stream(w http.ResponseWriter, r *request) (*stream, error) {
	leave, err := s.stay()
	if err != nil {
		return nil, err
	}
	if err := s.streams.begin(); err != nil {
		leave()
		return nil, err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &stream{s: s, r: r, w: w, end: func() { s.streams.done(); leave() }}, nil
}

// write writes lines and sees to it that they are on their way. A client that does not take them loses its connection.
func (st *stream) write(b []byte) error {
	_ = st.r.ctl.SetWriteDeadline(time.Now().Add(st.r.writeTime))
	if _, err := st.w.Write(b); err != nil {
		return err
	}
	return st.r.ctl.Flush()
}

// follows reads the parameter follow. An answer to HEAD has no body that could go on.
func (r *request) follows() (bool, error) {
	q := r.URL.Query()
	v := q.Get("follow")
	if v == "" {
		return q.Has("follow") && r.Method != http.MethodHead, nil
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, &failure{Status: http.StatusBadRequest, Message: "follow must be true or false"}
	}
	return on && r.Method != http.MethodHead, nil
}

// events is GET /v1/events.
func (s *Server) events(w http.ResponseWriter, r *request) error {
	follow, err := r.follows()
	if err != nil {
		return err
	}
	st, err := s.stream(w, r)
	if err != nil {
		return err
	}
	defer st.end()
	if s.o.Events == nil {
		return st.write(nil)
	}
	reader := s.o.Events.Read()
	if follow {
		if err := st.write(nil); err != nil { // the header, so that the client knows where it is
			return nil
		}
	}
	var buf bytes.Buffer
	for follow || reader.Ready() {
		rec, lost, err := reader.Next(r.Context())
		if err != nil {
			break // the hub is closed, or the client has left
		}
		buf.Reset()
		if lost > 0 {
			b, err := json.Marshal(events.LostEvent(lost, s.o.Source, time.Now()))
			if err != nil {
				return nil
			}
			buf.Write(b)
			buf.WriteByte('\n')
		}
		buf.Write(rec.JSON)
		buf.WriteByte('\n')
		if st.write(buf.Bytes()) != nil {
			break
		}
	}
	return nil
}

// logs is GET /v1/logs?name=…&lines=…&follow=…, and GET /v1/daemons/{name}/logs.
func (s *Server) logs(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	asked := q["name"]
	if name := r.PathValue("name"); name != "" {
		asked = []string{name}
	}
	names, err := s.lookups(asked)
	if err != nil {
		return err
	}
	n := -1
	if v := q.Get("lines"); v != "" {
		if n, err = strconv.Atoi(v); err != nil {
			return &failure{Status: http.StatusBadRequest, Message: "lines must be a number; -1 means all"}
		}
	}
	on, err := r.follows()
	if err != nil {
		return err
	}
	st, err := s.stream(w, r)
	if err != nil {
		return err
	}
	defer st.end()
	f := &follow{stream: st}
	for name := range names {
		for _, l := range s.o.Daemons[name].Logs {
			f.all = append(f.all, follower{name, l.Follow(n)})
		}
	}
	if n != 0 {
		var b []byte
		if s.follows.do(r.Context(), func() int { b = f.last(); return len(b) }) != nil || st.write(b) != nil {
			return nil
		}
	}
	if on {
		s.news.join(s.o.Daemons)
		defer s.news.leave()
		f.run(r.Context())
	}
	return nil
}
