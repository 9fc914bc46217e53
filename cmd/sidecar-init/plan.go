package main

import (
	"syscall"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/root"
)

// routes says what signals do.
func routes(b *bundle.Bundle) map[syscall.Signal]root.Route {
	all := map[syscall.Signal]root.Route{}
	for sig, r := range b.Routes {
		all[sig] = root.Route{Forward: r.Forward, Restart: r.Restart, Shutdown: r.Shutdown, Reload: r.Reload}
	}
	for sig, names := range b.DroppedRoutes {
		r := all[sig]
		r.Absent = names
		all[sig] = r
	}
	return all
}
