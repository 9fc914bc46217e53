package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/peer"
	"github.com/bot-bottle/sidecar-init/internal/proc"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// TestAdmits: of all that there is to ask, what each control lets through; and nothing that is not there.
func TestAdmits(t *testing.T) {
	web := &child.Status{Name: "web-1", Spec: &child.Spec{Name: "web-1", Service: "web"}}
	for _, of := range []*child.Status{web, nil} {
		for _, may := range []bundle.Control{bundle.ControlNone, bundle.ControlRead, bundle.ControlFull} {
			v := verdict{may: may, of: of}
			try := func(method, pattern, path string, want bool) {
				t.Helper()
				r := httptest.NewRequest(method, path, nil)
				r.Pattern = pattern
				if parts := strings.Split(r.URL.Path, "/"); len(parts) > 3 {
					r.SetPathValue("name", parts[3])
				}
				err := v.admits(&request{Request: r})
				if (err == nil) != want {
					t.Errorf("%s of %v: %s %s: got %v", may, of, method, path, err)
				}
			}
			for _, route := range (&Server{}).table() {
				pattern := route.method + " " + route.path
				looks := route.method == "GET"
				for _, name := range []string{"web", "web-1", "web-2", "other", ""} {
					own := of != nil && (name == "web" || name == "web-1")
					free := pattern == "GET /v1/healthy" || pattern == "GET /v1/daemons/{name}" && own
					path := strings.ReplaceAll(route.path, "{name}", name)
					want := may == bundle.ControlFull || may == bundle.ControlRead && looks || free
					try(route.method, pattern, path, want)
					if looks {
						try("HEAD", pattern, path, want)
					}
				}
			}
			reads := may != bundle.ControlNone
			const wait = "GET /v1/wait"
			try("GET", wait, "/v1/wait?name=web&for=ready", reads || of != nil)
			try("GET", wait, "/v1/wait?name=web-1&name=web", reads || of != nil)
			try("GET", wait, "/v1/wait?name=web&name=other", reads)
			try("GET", wait, "/v1/wait?name=", reads)
			try("GET", "/", "/nothing", reads)
			try("DELETE", "/v1/healthy", "/v1/healthy", may == bundle.ControlFull)
		}
	}
}

// TestJudge: a client that is no process of a daemon's is judged by its user as before; one that we have started and that is none of
// a daemon's gets the least; and where everybody may do everything nobody is looked at.
func TestJudge(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"), spec("worker"))
	var least bundle.Control
	looked := false
	o := b.opts
	o.Paths = []string{b.path + "2"}
	o.Control = func(s *child.Status) bundle.Control {
		if s.Name == "worker" {
			return least
		}
		return bundle.ControlFull
	}
	o.Has = func(*child.Status, proc.Stat) (bool, bool) {
		looked = true
		return false, false
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Run()
	defer s.Close()
	for _, least = range []bundle.Control{bundle.ControlFull, bundle.ControlNone} {
		if resp := statusAt(t, o.Paths[0], "/v1/daemons"); resp != http.StatusOK || looked {
			t.Errorf("least %s: we ourselves get %d; looked: %v", least, resp, looked)
		}
	}
	v := verdict{may: least}
	if got, want := v.refuse().Error(), "this process belongs to no daemon that could be told, and the least control is none: see x-sidecar-init.control"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if fmt.Sprint(s.least(nil)) != "full" {
		t.Error("of no daemons the least is not full")
	}
}

// A place is a peer that is there.
type place struct {
	peer.Place
	looks *int
}

func (p place) PID() int { return 7 }

func (p place) Look() (peer.Place, proc.Stat, int) {
	*p.looks++
	return p.Place, proc.Stat{PID: 7, Start: 7}, 2
}

// TestJudgePlaces: who belongs to whom by where he is from, also while it is not known yet what was started for a daemon.
func TestJudgePlaces(t *testing.T) {
	b := start(t, &testproc.Fake{}, spec("web"), spec("worker"))
	s := b.server
	s.o.Control = func(d *child.Status) bundle.Control {
		return map[string]bundle.Control{"web": bundle.ControlRead, "worker": bundle.ControlNone}[d.Name]
	}
	var looks int
	for _, tt := range []struct {
		name    string
		place   peer.Place
		known   int  // looks after which it is known whose it is; 0: never
		through bool // something is being started meanwhile
		may     bundle.Control
		of      string
	}{
		{"from outside", peer.Outside, 0, false, bundle.ControlFull, ""},
		{"one that has ended", peer.Unknown, 0, false, bundle.ControlNone, ""},
		{"one that has ended, of a known child", peer.Unknown, 1, false, bundle.ControlNone, ""},
		{"an orphan", peer.Within, 0, false, bundle.ControlNone, ""},
		{"of web", peer.Within, 1, false, bundle.ControlRead, "web"},
		{"of web, which has just been started", peer.Within, 5, true, bundle.ControlRead, "web"},
		{"an orphan, while web hangs in its start", peer.Within, 0, true, bundle.ControlNone, ""},
	} {
		looks = 0
		s.o.Has = func(d *child.Status, p proc.Stat) (has, starting bool) {
			has = d.Name == "web" && p.PID == 7 && tt.known > 0 && looks >= tt.known
			return has, d.Name == "web" && tt.through && !has
		}
		ctx := context.WithValue(t.Context(), connKey{}, &connInfo{peer: place{tt.place, &looks}})
		v, err := s.judge(ctx)
		of := ""
		if v.of != nil {
			of = v.of.Name
		}
		if err != nil || v.may != tt.may || of != tt.of {
			t.Errorf("%s: got %s of %q, %v, want %s of %q", tt.name, v.may, of, err, tt.may, tt.of)
		}
	}
}

// statusAt is the status of a GET at another socket than the fixture's.
func statusAt(t *testing.T, path, target string) int {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
		DisableKeepAlives: true,
	}}
	resp, err := c.Get("http://x" + target)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
