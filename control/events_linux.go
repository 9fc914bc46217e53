package control

import (
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/events"
)

// Events keeps the last events of a bundle, as CloudEvents. Create one with [NewEvents].
type Events struct{ hub *events.Hub }

// NewEvents returns [Events] with the given source, the source attribute of CloudEvents: a URI reference such as /my-bundle.
func NewEvents(source string) *Events { return &Events{events.New(events.Options{Source: source})} }

// Observe records an event. Use it as [root.Config.Observe], or call it from there. It never blocks.
func (e *Events) Observe(ev child.Event) { e.hub.Observe(ev, nil) }
