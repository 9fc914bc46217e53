package control

import (
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// Options are the options of a [Server].
type Options struct {
	// Root is the bundle; it is required.
	Root *root.Root
	// Path is the path of the socket; empty means the first of [client.DefaultSockets] at which it can be created.
	Path string
	// Logs returns the log stream of a daemon, or nil if it has none; a nil function means that logs are not available.
	Logs func(daemon string) *log.Stream
	// Events keeps the bundle's events; nil means that events are not available.
	Events *Events
	// Printf, if not nil, reports misbehaving clients. It must not block.
	Printf func(format string, a ...any)
}
