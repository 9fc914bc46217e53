package mailbox_test

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bot-bottle/sidecar-init/mailbox"
)

// A letter says who sent it, and as which one.
type letter struct{ from, n int }

// receive drains until the mailbox is sealed or want letters were received.
func receive(b *mailbox.Mailbox[letter], want int) []letter {
	var all, batch []letter
	for len(all) < want {
		<-b.Wake()
		batch = b.Drain(batch)
		all = append(all, batch...)
	}
	return all
}

// TestOrder: with many senders, the letters of each arrive in its order, and all of them.
func TestOrder(t *testing.T) {
	const senders, letters = 16, 2000
	b := mailbox.New[letter](0)
	for s := range senders {
		go func() {
			for n := range letters {
				if err := b.Send(letter{s, n}); err != nil {
					t.Errorf("Send: got %v, want nil", err)
				}
				if n%100 == s {
					runtime.Gosched()
				}
			}
		}()
	}
	var next [senders]int
	for _, l := range receive(b, senders*letters) {
		if l.n != next[l.from] {
			t.Fatalf("sender %d: got letter %d, want %d", l.from, l.n, next[l.from])
		}
		next[l.from]++
	}
	if left := b.Close(); len(left) != 0 {
		t.Errorf("Close: got %d letters that nobody sent, want 0", len(left))
	}
}

// TestCloseRace: senders race with Close. What was accepted is exactly what was received before and what Close returned.
func TestCloseRace(t *testing.T) {
	const (
		rounds  = 5000
		senders = 4
		tries   = 20
	)
	late := 0 // rounds in which some sender came too late
	for round := range rounds {
		b := mailbox.New[letter](3)
		var accepted [senders]int
		var refused atomic.Bool
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for range tries {
					send := b.Send
					if s == 0 { // an outsider
						send = b.Offer
					}
					switch err := send(letter{s, accepted[s]}); {
					case err == nil:
						accepted[s]++
					case errors.Is(err, mailbox.ErrClosed):
						refused.Store(true)
						return
					case s != 0 || !errors.Is(err, mailbox.ErrFull):
						t.Errorf("sender %d: got %v, want ErrClosed", s, err)
					}
				}
			})
		}
		all := receive(b, round%(2*tries))
		all = append(all, b.Close()...)
		wg.Wait()
		if refused.Load() {
			late++
		}

		var got [senders]int
		for _, l := range all {
			if l.n != got[l.from] {
				t.Fatalf("round %d, sender %d: got letter %d, want %d", round, l.from, l.n, got[l.from])
			}
			got[l.from]++
		}
		if got != accepted {
			t.Fatalf("round %d: got %v letters, accepted were %v", round, got, accepted)
		}
	}
	t.Logf("in %d of %d rounds Close came before the last letter", late, rounds)
}

// TestWake: no token is lost, however a message and a Drain meet. The sender waits after each pair, so that no later
// message wakes the receiver in place of the second.
func TestWake(t *testing.T) {
	const rounds = 50_000
	b := mailbox.New[letter](0)
	pair := make(chan struct{})
	go func() {
		for n := range rounds {
			_ = b.Send(letter{0, n})
			_ = b.Send(letter{1, n})
			<-pair
		}
	}()
	var batch []letter
	for range rounds {
		for got := 0; got < 2; got += len(batch) {
			<-b.Wake()
			batch = b.Drain(batch)
		}
		pair <- struct{}{}
	}
}

func TestOffer(t *testing.T) {
	b := mailbox.New[int](2)
	send := func(f func(int) error, m int, want error) {
		t.Helper()
		if err := f(m); !errors.Is(err, want) {
			t.Errorf("message %d: got %v, want %v", m, err, want)
		}
	}
	send(b.Offer, 1, nil)
	send(b.Offer, 2, nil)
	send(b.Offer, 3, mailbox.ErrFull)
	send(b.Send, 4, nil) // has no limit
	send(b.Offer, 5, mailbox.ErrFull)
	if got, want := b.Drain(nil), []int{1, 2, 4}; !slices.Equal(got, want) {
		t.Errorf("Drain: got %v, want %v", got, want)
	}
	send(b.Offer, 6, nil)
	if got, want := b.Close(), []int{6}; !slices.Equal(got, want) {
		t.Errorf("Close: got %v, want %v", got, want)
	}
	send(b.Offer, 7, mailbox.ErrClosed)
	send(b.Send, 8, mailbox.ErrClosed)
	if got := b.Close(); got != nil {
		t.Errorf("second Close: got %v, want nothing", got)
	}
	if got := b.Drain(nil); len(got) != 0 {
		t.Errorf("Drain after Close: got %v, want nothing", got)
	}
	if got := b.HighWater(); got != 3 {
		t.Errorf("HighWater: got %d, want 3", got)
	}
}

// TestLimitZero: a mailbox for insiders only.
func TestLimitZero(t *testing.T) {
	b := mailbox.New[int](0)
	if err := b.Offer(1); !errors.Is(err, mailbox.ErrFull) {
		t.Errorf("Offer: got %v, want %v", err, mailbox.ErrFull)
	}
	if err := b.Send(2); err != nil {
		t.Errorf("Send: got %v, want nil", err)
	}
}

func TestDone(t *testing.T) {
	b := mailbox.New[int](1)
	select {
	case <-b.Done():
		t.Error("Done is closed before Close")
	default:
	}
	b.Close()
	<-b.Done()
}

// TestDrainReuse: the slice that is handed back serves again, without what it held, and a steady state allocates nothing.
func TestDrainReuse(t *testing.T) {
	b := mailbox.New[*int](0)
	m := new(int)
	_ = b.Send(m)
	first := b.Drain(nil)
	_ = b.Send(m)
	second := b.Drain(first)
	if first[0] != nil {
		t.Error("the slice that was handed back still holds on to a message")
	}
	if len(second) != 1 || second[0] != m {
		t.Errorf("got %v, want the second message", second)
	}
	_ = b.Send(m)
	if third := b.Drain(second); &third[0] != &first[0] {
		t.Error("the slice that was handed back is not used again")
	}

	batch := []*int(nil)
	if got := testing.AllocsPerRun(1000, func() {
		for range 8 {
			_ = b.Send(m)
		}
		batch = b.Drain(batch)
	}); got != 0 {
		t.Errorf("got %v allocations a round, want 0", got)
	}
}

// TestBubble: a receiver that waits for Wake lets the time of a testing/synctest bubble pass.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mailbox.New[letter](0)
		done := make(chan []letter)
		go func() { done <- receive(b, 2) }()
		synctest.Wait()
		_ = b.Send(letter{1, 0})
		synctest.Wait()
		_ = b.Send(letter{2, 0})
		if got, want := <-done, []letter{{1, 0}, {2, 0}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
