package control

import (
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/control"
	"github.com/bot-bottle/sidecar-init/log"
)

// A Server answers at the control socket of a bundle. Its shape is that of oklog/run: Run, and Close, which makes Run return.
type Server struct {
	server *control.Server
	events *Events
}

// New makes the socket. Nobody is answered before Run. The error says why there can be no socket at the path, or at the last of the
// default ones.
func New(o Options) (*Server, error) {
	if o.Root == nil {
		return nil, errors.New("control: there is no Root")
	}
	inner := control.Options{Root: o.Root.Ref(), Paths: []string{o.Path}, Printf: o.Printf}
	if o.Path == "" {
		inner.Paths, inner.Spare = client.DefaultSockets(), client.SpareSocket()
	}
	if o.Events != nil {
		inner.Events = o.Events.hub
	}
	inner.Logs = func(s *child.Status) []*log.Stream {
		if o.Logs != nil {
			if stream := o.Logs(s.Name); stream != nil {
				return []*log.Stream{stream}
			}
		}
		return nil
	}
	s, err := control.New(inner)
	if err != nil {
		return nil, err
	}
	return &Server{s, o.Events}, nil
}

// Path is where the socket is.
func (s *Server) Path() string { return s.server.Addr() }

// Run answers until Close. It is called once.
func (s *Server) Run() error {
	var all errgroup.Group
	all.Go(s.server.Run)
	if s.events != nil {
		all.Go(s.events.hub.Run)
	}
	return all.Wait()
}

// Close makes Run return. It may be called more than once, and before Run.
func (s *Server) Close() {
	if s.events != nil {
		s.events.hub.Close()
	}
	s.server.Close()
}
