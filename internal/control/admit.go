package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/peer"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// A verdict is what a client may ask, and why.
type verdict struct {
	may bundle.Control
	of  *child.Status // the daemon that its process belongs to; nil if that is none, or cannot be told
}

// admit returns an error unless the client may ask for r; what it may ask at all is noted there.
func (s *Server) admit(r *request) error {
	v, err := s.judge(r.Context())
	if err != nil {
		return err
	}
	r.may = v.may
	return v.admits(r)
}

// admits returns an error unless one who has this verdict may ask for r.
func (v verdict) admits(r *request) error {
	looks := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case v.may == bundle.ControlFull, v.may == bundle.ControlRead && looks:
		return nil
	}
	switch r.Pattern {
	case "GET /v1/healthy":
		return nil
	case "GET /v1/daemons/{name}":
		if v.owns(r.PathValue("name")) {
			return nil
		}
	case "GET /v1/wait":
		if v.owns(r.URL.Query()["name"]...) {
			return nil
		}
	}
	return v.refuse()
}

// owns reports whether names, of which there is one at least, all stand for the service that the client belongs to.
func (v verdict) owns(names ...string) bool {
	for _, name := range names {
		if v.of == nil || name != v.of.Name && name != v.of.Spec.Service {
			return false
		}
	}
	return len(names) > 0
}

// refuse is the error for what the client may not ask.
func (v verdict) refuse() error {
	whose := "this process belongs to no daemon that could be told, and the least"
	if v.of != nil {
		whose = "this process belongs to " + v.of.Name + ", whose"
	}
	return &failure{Status: http.StatusForbidden, Control: v.may, Message: fmt.Sprintf("%s control is %s: see x-sidecar-init.control", whose, v.may)}
}

// How long it is waited for that a daemon's process is known, at most, and how often it is asked for.
const (
	startingTime = time.Second
	startingTick = 2 * time.Millisecond
)

// judge says what the client of a connection may ask, by what the bundle is now.
func (s *Server) judge(ctx context.Context) (v verdict, err error) {
	i, _ := ctx.Value(connKey{}).(*connInfo)
	if s.o.Control == nil || i == nil || i.peer == nil {
		return verdict{may: bundle.ControlFull}, nil
	}
	all, err := s.statuses(ctx)
	if v.may = s.least(all); err != nil || v.may == bundle.ControlFull {
		return v, err
	}
	for begin := time.Now(); ; {
		var place peer.Place
		var from proc.Stat
		if err := s.judges.do(ctx, func() int {
			var reads int
			place, from, reads = i.peer.Look()
			return reads + 1
		}); err != nil {
			return v, err
		}
		if place == peer.Outside {
			return verdict{may: bundle.ControlFull}, nil
		}
		// Not before it was looked: a daemon may have been added that the process belongs to.
		if all, err = s.statuses(ctx); err != nil {
			return v, err
		}
		wait := false
		for k := range all {
			if has, starting := s.o.Has(&all[k], from); place == peer.Within && has {
				return verdict{s.o.Control(&all[k]), &all[k]}, nil
			} else if starting {
				wait = place == peer.Within
			}
		}
		v.may = s.least(all)
		if place == peer.Within && !wait {
			leaf := s.leaf(i.peer.PID(), all)
			if still, _, _ := i.peer.Look(); leaf != nil && still == peer.Within { // so it was not another's number
				return verdict{s.o.Control(leaf), leaf}, nil
			}
		}
		if !wait || time.Since(begin) > startingTime {
			return v, nil
		}
		if err := pause(ctx, startingTick); err != nil {
			return v, err
		}
	}
}

// leaf is the daemon in whose control group the client is, though it is none of its descendants any more. That counts only if nobody
// who may less could have moved it there: whoever may write to the groups.
func (s *Server) leaf(pid int, all []child.Status) *child.Status {
	if s.o.Leaf == nil {
		return nil
	}
	name := s.o.Leaf(pid)
	i := slices.IndexFunc(all, func(d child.Status) bool { return d.Name == name })
	if i < 0 || slices.ContainsFunc(all, func(d child.Status) bool { return s.o.Control(&d).Less(s.o.Control(&all[i])) && s.o.Moves(&d) }) {
		return nil
	}
	return &all[i]
}

// least is what one may ask who belongs to none of all daemons.
func (s *Server) least(all []child.Status) bundle.Control {
	least := bundle.ControlFull
	for i := range all {
		if may := s.o.Control(&all[i]); may.Less(least) {
			least = may
		}
	}
	return least
}

// private reports whether what a daemon writes is not for the client.
func (s *Server) private(r *request, d *child.Status) bool {
	return r.may != bundle.ControlFull && s.o.Private != nil && s.o.Private(d)
}

// censor takes the excerpt of a log out of an event, unless it is for the client: a daemon that has left is not known to have
// nothing private.
func (s *Server) censor(r *request, event []byte) ([]byte, error) {
	if r.may == bundle.ControlFull {
		return event, nil
	}
	var e client.Event
	if err := json.Unmarshal(event, &e); err != nil || len(e.Data.Log) == 0 {
		return event, err
	}
	all, err := s.statuses(r.Context())
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(d child.Status) bool { return d.Name == e.Subject }); i >= 0 && !s.private(r, &all[i]) {
		return event, nil
	}
	e.Data.Log = nil
	return json.Marshal(&e)
}
