package root_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
	"github.com/bot-bottle/sidecar-init/root"
)

// TestUpdateThousand: in a bundle of a thousand daemons an Update with one change restarts one, and one that leaves a single
// daemon ends the others. That both take no time worth speaking of is what the limit of the test run says.
func TestUpdateThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var specs []child.Spec
		for i := range 1000 {
			s := child.Spec{Name: fmt.Sprint("d", i), Program: child.Program{Argv: []string{"/bin/d"}, Env: []string{"A=1", "B=2"}}}
			if i > 0 {
				s.After = after(specs[i/2].Name, "")
			}
			specs = append(specs, s)
		}
		fake := &testproc.Fake{}
		r, err := root.New(root.Config{Specs: specs, Spawner: fake})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			_, _ = r.Run()
			close(done)
		}()
		time.Sleep(s)
		changed := append([]child.Spec(nil), specs...)
		changed[500].Stamp = "+"
		send := func(specs []child.Spec) {
			u := root.Update{}
			for _, spec := range specs {
				u.Daemons = append(u.Daemons, root.Daemon{Spec: spec})
			}
			_ = r.Ref().Tell(u)
			time.Sleep(10 * s)
		}
		before := len(fake.Records())
		send(changed)
		if n := fake.Lived("d500"); n != 2 {
			t.Errorf("the changed one has lived %d times, want 2", n)
		}
		for _, rec := range fake.Records()[before:] {
			if rec.Daemon != "d500" {
				t.Fatalf("%s: nothing was to happen to it", rec)
			}
		}
		send(changed[:1])
		alive := 0
		for _, s := range specs {
			alive += fake.Alive(s.Name)
		}
		if alive != 1 {
			t.Errorf("%d are alive, want 1", alive)
		}
		_ = r.Ref().Tell(root.Shutdown{})
		<-done
	})
}
