package mailbox_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/bot-bottle/sidecar-init/mailbox"
)

// TestModel compares a mailbox with a slice.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 5).Draw(t, "limit")
		b := mailbox.New[int](limit)
		var (
			queue, batch []int
			closed       bool
			high, n      int
		)
		put := func(err error) {
			if err == nil {
				queue = append(queue, n)
				high = max(high, len(queue))
			}
			n++
		}
		check := func(what string, got, want error) {
			if !errors.Is(got, want) {
				t.Fatalf("%s: got %v, want %v", what, got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"Send": func(*rapid.T) {
				err := b.Send(n)
				if closed {
					check("Send", err, mailbox.ErrClosed)
				} else {
					check("Send", err, nil)
				}
				put(err)
			},
			"Offer": func(*rapid.T) {
				err := b.Offer(n)
				switch {
				case closed:
					check("Offer", err, mailbox.ErrClosed)
				case len(queue) >= limit:
					check("Offer", err, mailbox.ErrFull)
				default:
					check("Offer", err, nil)
				}
				put(err)
			},
			"Drain": func(t *rapid.T) {
				batch = b.Drain(batch)
				if !slices.Equal(batch, queue) {
					t.Fatalf("Drain: got %v, want %v", batch, queue)
				}
				queue = nil
			},
			"Close": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "dice") != 0 {
					return // most of the time it stays open
				}
				if got := b.Close(); !slices.Equal(got, queue) {
					t.Fatalf("Close: got %v, want %v", got, queue)
				}
				queue, closed = nil, true
			},
			"": func(t *rapid.T) {
				if got := b.HighWater(); got != high {
					t.Fatalf("HighWater: got %d, want %d", got, high)
				}
				select {
				case <-b.Done():
					if !closed {
						t.Fatal("Done is closed before Close")
					}
				default:
					if closed {
						t.Fatal("Done is open after Close")
					}
				}
				if len(queue) > 0 && len(b.Wake()) == 0 {
					t.Fatalf("%d messages are queued, and there is no token", len(queue))
				}
			},
		})
	})
}
