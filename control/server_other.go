//go:build !linux

package control

import (
	"errors"

	"github.com/bot-bottle/sidecar-init/child"
)

// Events keeps nothing.
type Events struct{}

// NewEvents returns [Events].
func NewEvents(string) *Events { return &Events{} }

// Observe does nothing.
func (e *Events) Observe(child.Event) {}

// A Server answers at the control socket of a bundle.
type Server struct{}

// New fails: there are control sockets on Linux only.
func New(Options) (*Server, error) { return nil, errors.ErrUnsupported }

// Path is empty.
func (s *Server) Path() string { return "" }

// Run returns at once.
func (s *Server) Run() error { return errors.ErrUnsupported }

// Close does nothing.
func (s *Server) Close() {}
