package child_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// A freezable is a Process that can be frozen.
type freezable struct {
	child.Process
	frozen *[]bool
	err    error
}

// Freeze implements child.Freezer.
func (p freezable) Freeze(on bool) error {
	*p.frozen = append(*p.frozen, on)
	return p.err
}

// TestPause: the actor freezes the process, thaws it before it is stopped, and says why it cannot.
func TestPause(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		wrap   bool
		err    error
		want   error
		frozen []bool
	}{
		{"no freezer", false, nil, child.ErrNoFreezer, nil},
		{"a broken one", true, broken, broken, []bool{true}},
		{"a freezer", true, nil, nil, []bool{true, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &testproc.Fake{}
				var frozen []bool
				var kinds []child.Kind
				c := child.New(&child.Spec{Name: "web"}, spawner(func(s *child.Spec) (child.Process, error) {
					p, err := f.Spawn(s)
					if err == nil && tt.wrap {
						p = freezable{p, &frozen, tt.err}
					}
					return p, err
				}), child.Hooks{Event: func(e child.Event) { kinds = append(kinds, e.Kind) }})
				reply := actor.NewReply[error]()
				for i, m := range []child.Msg{child.Start{}, child.Pause{Reply: reply}, child.Terminate{Final: true}} {
					time.AfterFunc(time.Duration(i)*time.Second, func() { _ = c.Ref().Tell(m) })
				}
				if err := c.Run(); err != nil {
					t.Error(err)
				}
				if err := <-reply.C(); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if !slices.Equal(frozen, tt.frozen) {
					t.Errorf("got %v, want %v", frozen, tt.frozen)
				}
				if paused := slices.Contains(kinds, child.EventPaused); paused != (tt.want == nil) {
					t.Errorf("got the events %v", kinds)
				}
			})
		})
	}
}
