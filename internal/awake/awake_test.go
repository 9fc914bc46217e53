package awake

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWait lets the pieces of a wait end late.
func TestWait(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name  string
		d     time.Duration
		late  []time.Duration // the lateness of each piece; 0 from then on
		want  time.Duration   // when it is over
		stood bool
	}{
		{name: "nobody is late", d: 8 * s, want: 8 * s},
		{name: "what does not divide", d: 10, want: 10},
		{name: "less than pieces", d: 3, want: 3},
		{name: "no time", d: 0, want: 0},
		{name: "less than none", d: -s, want: 0},
		{name: "merely busy", d: 8 * s, late: []time.Duration{slack, slack, 0, slack}, want: 8*s + 3*slack},
		{name: "a short one, busy", d: 400 * time.Millisecond, late: []time.Duration{100 * time.Millisecond}, want: 500 * time.Millisecond},
		{name: "the first piece", d: 8 * s, late: []time.Duration{10 * s}, want: 20 * s, stood: true},
		{name: "the last piece", d: 8 * s, late: []time.Duration{0, 0, 0, 10 * s}, want: 20 * s, stood: true},
		{name: "a short one", d: 400 * time.Millisecond, late: []time.Duration{101 * time.Millisecond}, want: 601 * time.Millisecond, stood: true},
		{name: "an hour", d: 8 * s, late: []time.Duration{0, time.Hour}, want: 10*s + time.Hour, stood: true},
		{
			name: "always late", d: 8 * s, late: []time.Duration{s, s, s, s, s, s, s, s, s, s, s, s},
			want: 8 * 3 * s, stood: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			now := begin
			w := Begin(tt.d, now)
			for piece := w.Present(); ; {
				now = now.Add(max(piece, 0))
				if len(tt.late) > 0 {
					now, tt.late = now.Add(tt.late[0]), tt.late[1:]
				}
				if piece = w.Next(now); piece == 0 {
					break
				}
			}
			if got := now.Sub(begin); got != tt.want {
				t.Errorf("over after %v, want %v", got, tt.want)
			}
			if got := w.Stood(now.Add(time.Hour)); got != tt.stood { // what comes after it is none of its business
				t.Errorf("Stood: got %v, want %v", got, tt.stood)
			}
		})
	}
	if w := (Wait{}); w.Next(time.Now()) != 0 {
		t.Error("the zero Wait is not over")
	}
}

// TestStood: what is not over knows it too.
func TestStood(t *testing.T) {
	now := time.Now()
	w := Begin(4*time.Second, now)
	for after, want := range map[time.Duration]bool{0: false, time.Second + slack: false, time.Second + slack + 1: true} {
		if got := w.Stood(now.Add(after)); got != want {
			t.Errorf("after %v: got %v, want %v", after, got, want)
		}
	}
}

func TestEarly(t *testing.T) {
	now := time.Now()
	w := Begin(4*time.Second, now)
	if got, want := w.Next(now.Add(300*time.Millisecond)), 700*time.Millisecond; got != want {
		t.Errorf("a tick that comes early: got %v left, want %v", got, want)
	}
	if got, want := w.Next(now.Add(time.Second)), time.Second; got != want {
		t.Errorf("the piece after: got %v, want %v", got, want)
	}
}

func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, called := time.Now(), make(chan time.Duration, 9)
		f := func() { called <- time.Since(begin) }
		AfterFunc(10*time.Second, f)
		stopped := AfterFunc(9*time.Second, f)
		AfterFunc(0, f)
		time.Sleep(8 * time.Second)
		if stopped.Stop() {
			t.Error("Stop: time has stood still")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, want := range []time.Duration{0, 10 * time.Second} {
			if got := <-called; got != want {
				t.Errorf("called after %v, want %v", got, want)
			}
		}
		if len(called) > 0 {
			t.Errorf("called after %v too", <-called)
		}
	})
}
