package control

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// paced lets clients work for a second, each of them again and again, and returns how many pieces were done. A piece takes
// that long.
func paced(t *testing.T, r rest, clients, bytes int, takes time.Duration) (done int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(r)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				for p.do(ctx, func() int { time.Sleep(takes); done++; return bytes }) == nil {
				}
			})
		}
		group.Wait()
	})
	return done
}

// TestPacer: however many ask, the share of a processor is the same, and that work is slow because the machine is busy makes
// no more pauses.
func TestPacer(t *testing.T) {
	r := rest{times: 4, once: time.Millisecond, each: time.Microsecond}
	for _, tt := range []struct {
		name           string
		clients, bytes int
		takes          time.Duration
		want           int // about
	}{
		{"one client", 1, 1000, 0, 100},
		{"many clients", 100, 1000, 0, 100},
		{"little work", 100, 1, 0, 200},
		{"nothing to do is paid for by nobody", 1, 0, time.Millisecond, 1000},
		{"as long as it is reckoned", 10, 1000, 2 * time.Millisecond, 100},
		{"slow on a busy machine", 10, 1000, 10 * time.Millisecond, 100},
		{"an enormous answer", 10, math.MaxInt32, 0, 1},
		{"slower than its share allows", 10, 1000, 20 * time.Millisecond, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := paced(t, r, tt.clients, tt.bytes, tt.takes)
			if got < tt.want-1 || got > tt.want+5 {
				t.Errorf("%d pieces of work in a second, want about %d", got, tt.want)
			}
		})
	}
}

// TestPacerLeave: who leaves while it waits for its turn, or in its pause, does not work, and keeps nobody.
func TestPacerLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(rest{times: 9, once: 100 * time.Millisecond})
		work := func() int { return 1 }
		if err := p.do(t.Context(), work); err != nil { // the next turn is in a second
			t.Fatal(err)
		}
		for range 2 { // one is in the pause, one waits
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				if err := p.do(ctx, func() int { t.Error("it works"); return 1 }); err != context.DeadlineExceeded {
					t.Errorf("got %v", err)
				}
			}()
		}
		begin := time.Now()
		if err := p.do(t.Context(), work); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begin); got > time.Second {
			t.Errorf("the turn came after %s", got)
		}
	})
}
