package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/log"
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

// room waits until the client has taken so much of what it was sent that a piece does not wait in our memory for it. One that
// does not read loses its connection.
func (st *stream) room() error {
	i, _ := st.r.Context().Value(connKey{}).(*connInfo)
	if i == nil {
		return nil
	}
	_ = st.r.ctl.SetWriteDeadline(time.Now().Add(st.r.writeTime))
	err := waitWritable(i.conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		st.s.o.Printf("a client of the control socket has read nothing for %s; its connection is closed", st.r.writeTime)
	}
	return err
}

// write writes lines and sees to it that they are on their way.
func (st *stream) write(lines ...[]byte) error {
	_ = st.r.ctl.SetWriteDeadline(time.Now().Add(st.r.writeTime))
	for _, b := range lines {
		if _, err := st.w.Write(b); err != nil {
			return err
		}
	}
	return st.r.ctl.Flush()
}

// send lets fill make a piece when the client has room for one and it is its turn, and writes it.
func (st *stream) send(turn pacer, fill func(p *piece)) error {
	if err := st.room(); err != nil {
		return err
	}
	var p *piece
	var full error
	ctx := st.r.Context()
	if err := turn.do(ctx, func() int {
		// Not before its turn: many wait for that at the same time, and each would hold memory meanwhile.
		p = pieces.Get().(*piece)
		fill(p)
		full = st.s.flight.take(ctx, len(p.out))
		return len(p.out)
	}); err != nil {
		return err
	}
	defer p.release()
	if full != nil {
		return full
	}
	defer st.s.flight.give(len(p.out))
	return st.write(p.out)
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
	if follow && st.write(nil) != nil { // the header, so that the client knows where it is
		return nil
	}
	for follow || reader.Ready() {
		if st.room() != nil { // before there is an event: it would be kept for a client that does not read
			break
		}
		rec, lost, err := reader.Next(r.Context())
		if err != nil {
			break // the hub is closed, or the client has left
		}
		var gap []byte
		if lost > 0 {
			if gap, err = json.Marshal(events.LostEvent(lost, s.o.Source, time.Now())); err != nil {
				return nil
			}
			gap = append(gap, '\n')
		}
		if s.flight.take(r.Context(), len(rec.JSON)) != nil {
			break
		}
		event, err := s.censor(r, rec.JSON)
		if err == nil {
			err = st.write(gap, event, newline)
		}
		s.flight.give(len(rec.JSON))
		if err != nil {
			break
		}
	}
	return nil
}

var newline = []byte{'\n'}

// logs is GET /v1/logs?name=…&lines=…&follow=…, and GET /v1/daemons/{name}/logs.
func (s *Server) logs(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	asked := q["name"]
	if name := r.PathValue("name"); name != "" {
		asked = []string{name}
	}
	daemons := slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return s.o.Own != nil && name == client.Supervisor })
	own := len(daemons) < len(asked)
	var names set
	var all []child.Status
	var err error
	if len(daemons) > 0 || !own {
		if names, all, err = s.lookups(r.Context(), daemons, true); err != nil {
			return err
		}
	}
	if len(asked) > 0 {
		for _, d := range names.pick(all) {
			if s.private(r, &d) {
				return &failure{Status: http.StatusForbidden, Control: r.may, Message: "what " + d.Name + " writes may be private, and is for those whose control is full: see x-sidecar-init.control"}
			}
		}
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
	var logs []*log.Stream
	if own {
		f.all = append(f.all, follower{daemon: client.Supervisor, Follower: s.o.Own.Follow(n)})
		logs = append(logs, s.o.Own)
	}
	for _, d := range names.pick(all) {
		if s.private(r, &d) {
			continue // it was not asked for by its name
		}
		for _, l := range s.o.Logs(&d) {
			f.all = append(f.all, follower{daemon: d.Name, Follower: l.Follow(n)})
			logs = append(logs, l)
		}
	}
	if st.write(nil) != nil || f.last() != nil { // the header first, so that the client knows where it is
		return nil
	}
	if on {
		s.news.join(logs)
		defer s.news.leave(logs)
		_ = f.run(r.Context(), nil) // the client's leaving is nobody's business
	}
	return nil
}
