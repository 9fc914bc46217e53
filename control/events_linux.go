package control

import (
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/events"
)

// Events keeps the last events of a bundle, and makes CloudEvents of them. Make one with [NewEvents].
type Events struct{ hub *events.Hub }

// NewEvents returns [Events] that name this source (the source of CloudEvents, a URI reference such as /my-bundle).
func NewEvents(source string) *Events { return &Events{events.New(events.Options{Source: source})} }

// Observe takes an event: it is [root.Config.Observe], or called by it. It never blocks.
func (e *Events) Observe(ev child.Event) { e.hub.Observe(ev, nil) }
