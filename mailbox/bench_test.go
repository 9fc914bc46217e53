package mailbox_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bot-bottle/sidecar-init/mailbox"
)

// BenchmarkSend sends messages from one or more senders to a receiver, by a mailbox and by what it stands in for.
func BenchmarkSend(b *testing.B) {
	for _, senders := range []int{1, 4} {
		b.Run(fmt.Sprintf("mailbox/senders=%d", senders), func(b *testing.B) { benchmarkMailbox(b, senders) })
		b.Run(fmt.Sprintf("channel/senders=%d", senders), func(b *testing.B) { benchmarkChannel(b, senders) })
	}
}

// send calls put b.N times, on some goroutines.
func send(b *testing.B, senders int, put func(int)) {
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := s; n < b.N; n += senders {
				put(n)
			}
		})
	}
	wg.Wait()
}

func benchmarkMailbox(b *testing.B, senders int) {
	box := mailbox.New[int](0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var batch []int
		for got := 0; got < b.N; {
			<-box.Wake()
			batch = box.Drain(batch)
			got += len(batch)
		}
	}()
	send(b, senders, func(n int) { _ = box.Send(n) })
	<-done
}

func benchmarkChannel(b *testing.B, senders int) {
	c := make(chan int, 256)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range b.N {
			<-c
		}
	}()
	send(b, senders, func(n int) { c <- n })
	<-done
}
