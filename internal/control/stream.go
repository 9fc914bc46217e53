package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/log"
)

// A stream is an answer of one JSON object a line, with no end known.
type stream struct {
	s   *Server
	r   *request
	w   http.ResponseWriter
	mu  sync.Mutex // of w, where several write
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
	st.mu.Lock()
	defer st.mu.Unlock()
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
	follow, err := r.follows()
	if err != nil {
		return err
	}
	st, err := s.stream(w, r)
	if err != nil {
		return err
	}
	defer st.end()
	var all []follower
	for name := range names {
		for _, l := range s.o.Daemons[name].Logs {
			all = append(all, follower{name, l.Follow(n)})
		}
	}
	var b []byte
	if err := s.pace.do(r.Context(), followRest, func() { b = last(all, n) }); err != nil {
		return nil
	}
	if st.write(b) != nil || !follow {
		return nil
	}
	b = nil
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	var group sync.WaitGroup
	for _, f := range all {
		group.Go(func() {
			if st.follow(ctx, f) != nil {
				cancel() // a client that one of them has lost is lost to all
			}
		})
	}
	group.Wait()
	return nil
}

// ended is a context that has ended: with it Follower.Next does not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// A follower reads one stream of a daemon.
type follower struct {
	daemon string
	*log.Follower
}

// last takes the last lines of all followers, and puts them into one order.
func last(followers []follower, n int) []byte {
	type line struct {
		log.Line
		daemon string
	}
	var all []line
	if n == 0 {
		return nil
	}
	for _, f := range followers {
		lines, _, _ := f.Next(ended) // an error means that there are none
		for _, l := range lines {
			all = append(all, line{l, f.daemon})
		}
	}
	// Package slices would make 20 KB of code for this type.
	sort.SliceStable(all, func(i, j int) bool {
		if c := all[i].Time.Compare(all[j].Time); c != 0 {
			return c < 0
		}
		return all[i].daemon < all[j].daemon
	})
	var buf bytes.Buffer
	for i := range all {
		appendLine(&buf, all[i].daemon, &all[i].Line)
	}
	return buf.Bytes()
}

// follow writes the lines of one stream as they come. Whoever is behind takes turns with the others: then only the one
// whose turn it is holds lines in memory. The error is that of the connection.
func (st *stream) follow(ctx context.Context, f follower) error {
	closing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with this function
		select {
		case <-st.s.closing:
			cancel()
		case <-closing.Done():
		}
	}()
	for {
		var buf bytes.Buffer
		var err error
		encode := func(ctx context.Context) func() {
			return func() {
				var lines []log.Line
				var lost int
				lines, lost, err = f.Next(ctx)
				if lost > 0 {
					appendJSON(&buf, &client.LogLine{Time: time.Now().UTC(), Daemon: f.daemon, Lost: lost})
				}
				for i := range lines {
					appendLine(&buf, f.daemon, &lines[i])
				}
			}
		}
		last := closing.Err() != nil // looked at before the log is, so that nothing that came earlier is left out
		if err := st.s.pace.do(ctx, followRest, encode(ended)); err != nil {
			return err
		}
		if buf.Len() == 0 && err != nil && !errors.Is(err, io.EOF) {
			if last {
				return nil
			}
			encode(closing)()
		}
		if buf.Len() > 0 {
			if err := st.write(buf.Bytes()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

func appendLine(buf *bytes.Buffer, daemon string, l *log.Line) {
	out := client.LogLine{Time: l.Time.UTC(), Daemon: daemon, Stream: l.Stream, Line: string(l.Text), Partial: l.Partial}
	if !utf8.Valid(l.Text) {
		out.Bytes = l.Text
	}
	appendJSON(buf, &out)
}

// appendJSON appends a line of JSON; it leaves "<" and "&" as they are.
func appendJSON(buf *bytes.Buffer, v any) {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // no value of these types has an error
}
