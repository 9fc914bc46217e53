//go:build !linux

package control

import (
	"errors"

	"github.com/bot-bottle/sidecar-init/child"
)

// Events keeps no events: there are control sockets on Linux only.
type Events struct{}

// NewEvents returns [Events] that keep nothing.
func NewEvents(string) *Events { return &Events{} }

// Observe does nothing.
func (e *Events) Observe(child.Event) {}

// A Server answers requests at the control socket of a bundle. It cannot be created.
type Server struct{}

// New returns [errors.ErrUnsupported]: there are control sockets on Linux only.
func New(Options) (*Server, error) { return nil, errors.ErrUnsupported }

// Path returns an empty path.
func (s *Server) Path() string { return "" }

// Run returns [errors.ErrUnsupported].
func (s *Server) Run() error { return errors.ErrUnsupported }

// Close does nothing.
func (s *Server) Close() {}
