package notify

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/events"
)

// TestSetSinks: a sink that stays goes on with what waits for it, a new one gets what happens from then on, and one that goes
// gets nothing more.
func TestSetSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := events.New(events.Options{})
		n, err := New(Options{Events: hub, Sinks: []bundle.Sink{{URL: "http://stays/"}, {URL: "http://goes/"}}, Printf: func(string, ...any) {}})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		got := map[string][]string{}
		record := func(s *sink) {
			s.send = func(_ context.Context, event []byte) error {
				mu.Lock()
				defer mu.Unlock()
				got[s.name] = append(got[s.name], reason(event))
				return nil
			}
		}
		for _, s := range n.sinks {
			record(s)
		}
		go hub.Run()
		done := make(chan struct{})
		go func() {
			_ = n.Run()
			close(done)
		}()
		say := func(what string) {
			hub.Observe(child.Event{Time: time.Now(), Kind: child.EventUnhealthy, Daemon: "web", Reason: what}, nil)
			synctest.Wait()
		}
		say("one")
		if err := n.SetSinks([]bundle.Sink{{URL: "http://stays/"}, {URL: "ftp://x"}}, nil); err == nil {
			t.Error("a sink that makes no sense was taken")
		}
		if err := n.SetSinks([]bundle.Sink{{URL: "http://comes/"}, {URL: "http://stays/"}}, []string{"A=1"}); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		record(n.sinks[0])
		n.mu.Unlock()
		say("two")
		hub.Close()
		n.Finish(time.Now().Add(time.Second))
		<-done
		for _, tt := range []struct {
			sink string
			want []string
		}{
			{"http://stays", []string{"one", "two"}}, {"http://goes", []string{"one"}}, {"http://comes", []string{"two"}},
		} {
			if !slices.Equal(got[tt.sink], tt.want) {
				t.Errorf("%s: got %q, want %q (%v)", tt.sink, got[tt.sink], tt.want, got)
			}
		}
		if s := n.Stats(); len(s) != 2 || s[1].Delivered != 2 {
			t.Errorf("stats: got %+v", s)
		}
	})
}
