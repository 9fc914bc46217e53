package control

import (
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/control"
	"github.com/bot-bottle/sidecar-init/log"
)

// A Server answers requests at the control socket of a bundle. As in oklog/run, Close makes Run return.
type Server struct {
	server *control.Server
	events *Events
}

// New creates the socket. Requests are answered once [Server.Run] is called. The error says why the socket cannot be created at the
// path, or at the last of the default paths.
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

// Path returns the path of the socket.
func (s *Server) Path() string { return s.server.Addr() }

// Run answers requests until [Server.Close] is called. It must be called once.
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
