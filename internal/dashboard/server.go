package dashboard

import (
	"context"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/timeline"
)

//go:embed page
var files embed.FS

// Options say what is served.
type Options struct {
	Client *client.Client
	// Address is where it listens, as HOST:PORT.
	Address string
	// Hosts are further names by which it may be reached, with a port or without.
	Hosts []string
	// Actions: daemons can be started, stopped, restarted and signalled, with the Token.
	Actions bool
	Token   string
	// Streams is how many streams there may be at a time; 0 means DefaultStreams.
	Streams int
}

// DefaultStreams is Options.Streams where nothing is said: some ten pages.
const DefaultStreams = 32

// TokenHeader has the token.
const TokenHeader = "X-Sidecar-Init-Token"

// cookie has the token for reading, on an address that is not loopback.
const cookie = "sidecar-init-token"

// Loopback reports whether an address, HOST:PORT, is one that only this machine reaches.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

type server struct {
	o       Options
	hosts   []string
	streams chan struct{}
}

// Handler serves the page.
func Handler(o Options) http.Handler {
	if o.Streams == 0 {
		o.Streams = DefaultStreams
	}
	s := &server{o: o, streams: make(chan struct{}, o.Streams)}
	host, port, _ := net.SplitHostPort(o.Address)
	s.hosts = []string{o.Address, "localhost:" + port}
	if port == "80" {
		s.hosts = append(s.hosts, host, "localhost")
	}
	for _, h := range o.Hosts {
		s.hosts = append(s.hosts, h)
		if _, _, err := net.SplitHostPort(h); err != nil {
			s.hosts = append(s.hosts, net.JoinHostPort(h, port))
		}
	}
	mux := http.NewServeMux()
	page, err := fs.Sub(files, "page")
	if err != nil { // it is embedded
		panic(err)
	}
	mux.Handle("GET /", http.FileServerFS(page))
	mux.HandleFunc("GET /api/state", s.state)
	mux.HandleFunc("GET /api/plan", s.plan)
	mux.HandleFunc("GET /api/timeline.svg", s.timeline)
	mux.HandleFunc("GET /api/events", s.events)
	mux.HandleFunc("GET /api/logs/{name}", s.logs)
	mux.HandleFunc("POST /api/daemons/{name}/{action}", s.act)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !slices.Contains(s.hosts, strings.ToLower(r.Host)):
			refuse(w, http.StatusForbidden, "this host is not one of those that are allowed: see --host")
		case !Loopback(o.Address) && !s.reader(w, r):
			refuse(w, http.StatusForbidden, "the token is missing: open the URL that the command has printed")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// reader reports whether a request has the token in one way or another. One that has it in the URL gets it as a cookie.
func (s *server) reader(w http.ResponseWriter, r *http.Request) bool {
	if s.is(r.Header.Get(TokenHeader)) {
		return true
	}
	if s.is(r.URL.Query().Get("token")) {
		http.SetCookie(w, &http.Cookie{Name: cookie, Value: s.o.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		return true
	}
	c, err := r.Cookie(cookie)
	return err == nil && s.is(c.Value)
}

func (s *server) is(token string) bool {
	return s.o.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.o.Token)) == 1
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message}) // the client may have gone
}

// answer writes a value, or the error of asking for it.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		status := http.StatusBadGateway
		var e *client.Error
		if errors.As(err, &e) {
			status = e.Status
		}
		refuse(w, status, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// patience bounds what is asked of the supervisor, but for streams.
const patience = 10 * time.Second

// state is GET /api/state.
func (s *server) state(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var v struct {
		Daemons []client.Daemon `json:"daemons"`
		Jobs    []client.Job    `json:"jobs"`
		Bundle  *client.Bundle  `json:"bundle,omitempty"`
		Health  client.Health   `json:"health"`
		Actions bool            `json:"actions"`
	}
	v.Actions = s.o.Actions
	var err error
	if v.Daemons, err = s.o.Client.Daemons(ctx); err == nil {
		v.Health, err = s.o.Client.Healthy(ctx)
	}
	if b, e := s.o.Client.Bundle(ctx); e == nil { // a bundle of an embedder has none
		v.Bundle = &b
	}
	v.Jobs, _ = s.o.Client.Jobs(ctx) // the same
	answer(w, v, err)
}

// plan is GET /api/plan: what a reload would do.
func (s *server) plan(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	v, err := s.o.Client.Reload(ctx, client.ReloadOptions{DryRun: true})
	if len(v.Problems) > 0 {
		err = nil
	}
	answer(w, v, err)
}

// timeline is GET /api/timeline.svg.
func (s *server) timeline(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	daemons, err := s.o.Client.Daemons(ctx)
	var all []client.Event
	for e, eventErr := range s.o.Client.Events(ctx, false) {
		if err = eventErr; err != nil {
			break
		}
		all = append(all, e)
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	o := timeline.Options{Now: time.Now()}
	title := ""
	if b, err := s.o.Client.Bundle(ctx); err == nil {
		o.Started, title = b.Started, b.Name
		if b.EventsSince != nil {
			o.Since = *b.EventsSince
		}
	}
	// The picture has a style of its own, which the policy of the page does not allow; it runs nothing.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "image/svg+xml")
	_ = timeline.New(all, daemons, o).SVG(w, title) // the client may have gone
}

// events is GET /api/events, which goes on.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	stream(s, w, r, s.o.Client.Events(r.Context(), true))
}

// logs is GET /api/logs/{name}, which goes on.
func (s *server) logs(w http.ResponseWriter, r *http.Request) {
	stream(s, w, r, s.o.Client.Logs(r.Context(), client.LogOptions{Follow: true}, r.PathValue("name")))
}

// writeTime is how long a reader may take for a piece of a stream.
const writeTime = 30 * time.Second

// stream writes what comes, as one JSON object a line.
func stream[T any](s *server, w http.ResponseWriter, r *http.Request, all iter.Seq2[T, error]) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		refuse(w, http.StatusServiceUnavailable, "too many pages are open")
		return
	}
	ctl := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	begun := false
	for v, err := range all {
		switch {
		case err != nil && !begun:
			w.Header().Del("Content-Type")
			answer(w, nil, err)
			return
		case err != nil:
			return
		}
		begun = true
		_ = ctl.SetWriteDeadline(time.Now().Add(writeTime))
		if enc.Encode(v) != nil || ctl.Flush() != nil {
			return
		}
	}
}

// act is POST /api/daemons/{name}/{action}.
func (s *server) act(w http.ResponseWriter, r *http.Request) {
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case !s.o.Actions:
		refuse(w, http.StatusForbidden, "this dashboard is for reading only: start it with --actions")
		return
	case !s.is(r.Header.Get(TokenHeader)) || site != "" && site != "same-origin":
		refuse(w, http.StatusForbidden, "the token is missing: open the URL that the command has printed")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	var all []client.Daemon
	var err error
	switch name := r.PathValue("name"); r.PathValue("action") {
	case "start":
		all, err = s.o.Client.Start(ctx, name)
	case "stop":
		all, err = s.o.Client.Stop(ctx, name)
	case "restart":
		all, err = s.o.Client.Restart(ctx, name)
	case "signal":
		all, err = s.o.Client.Signal(ctx, name, r.URL.Query().Get("signal"))
	default:
		refuse(w, http.StatusNotFound, "there is no such action")
		return
	}
	answer(w, all, err)
}
