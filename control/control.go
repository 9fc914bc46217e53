package control

import (
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// Options are what a [Server] speaks of.
type Options struct {
	// Root is the bundle; it is needed.
	Root *root.Root
	// Path is where the socket is made; empty means the first of client.DefaultSockets that can be had.
	Path string
	// Logs returns the stream of a daemon, for logs; nil means that there are none to be had.
	Logs func(daemon string) *log.Stream
	// Events are those of the bundle; nil means that there are none to be had.
	Events *Events
	// Printf writes a line about what is wrong with clients. It must not block. nil means nowhere.
	Printf func(format string, a ...any)
}
