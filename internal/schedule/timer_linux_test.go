package schedule

import (
	"testing"
	"time"
)

func TestTimer(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	woken, ended := make(chan struct{}, 10), make(chan error, 1)
	go func() { ended <- timer.Run(func() { woken <- struct{}{} }) }() // until Close
	begin := time.Now()
	for _, at := range []time.Time{begin.Add(20 * time.Millisecond), begin.Add(-time.Hour), time.Unix(0, 0), time.Unix(-5, 0)} {
		if err := timer.Set(at); err != nil {
			t.Fatal(err)
		}
		<-woken
		if now := time.Now(); now.Before(at) {
			t.Errorf("woken at %s for %s", now, at)
		}
	}
	if err := timer.Set(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := timer.Set(time.Time{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-woken:
		t.Error("woken although nothing is set")
	case <-time.After(50 * time.Millisecond):
	}
	if err := timer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := timer.Set(time.Now()); err == nil {
		t.Error("Set after Close")
	}
}
