package log

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func texts(lines []Line) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%s%s", line.Stream, line.Text)
		if line.Partial {
			b.WriteByte('+')
		}
		b.WriteByte('|')
	}
	return b.String()
}

func TestTail(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	begin := time.Now()
	if got := s.Tail(10); got != nil {
		t.Errorf("at first: got %v, want none", got)
	}
	web := open(t, s)
	web.say("a\n\nunfinished")
	web.end()
	web = open(t, s)
	web.say("b\r\n" + strings.Repeat("x", DefaultMaxLine) + "\n")
	web.end()
	long := strings.Repeat("x", DefaultMaxLine-7) + "+|" + "xxxxxxx|"
	for _, tt := range []struct {
		n    int
		want string
	}{
		{-1, "a||unfinished|b\r|" + long},
		{100, "a||unfinished|b\r|" + long},
		{6, "a||unfinished|b\r|" + long},
		{5, "|unfinished|b\r|" + long},
		{1, "xxxxxxx|"},
		{0, ""},
	} {
		if got := texts(s.Tail(tt.n)); got != tt.want {
			t.Errorf("Tail(%d): got %.100q, want %.100q", tt.n, got, tt.want)
		}
	}
	for _, line := range s.Tail(-1) {
		if line.Time.Before(begin.Round(0)) || line.Time.After(time.Now()) {
			t.Errorf("got time %v, which is not between %v and now", line.Time, begin)
		}
	}
	l.Close(soon())
}

func TestTailStreams(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{Format: JSON})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	web.say("a\n")
	web.stdout.Close()
	web.stderr.WriteString("b\n")
	web.end()
	l.Close(soon())
	if got := texts(s.Tail(-1)); got != "stdouta|stderrb|" && got != "stderrb|stdouta|" {
		t.Errorf("got %q", got)
	}
}

func TestNoRing(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{Ring: -1})
	f := s.Follow(1)
	web := open(t, s)
	web.say("a\nb\n")
	web.end()
	if got := s.Tail(-1); got != nil {
		t.Errorf("got %v, want none", got)
	}
	if lines, lost, err := f.Next(t.Context()); len(lines) != 0 || lost != 2 || err != nil {
		t.Errorf("got %v, %d, %v, want 2 lost", lines, lost, err)
	}
	l.Close(soon())
}

// TestRingModel compares a ring with a slice of lines: what it holds is always the end of what was added, and
// never much less than fits.
func TestRingModel(t *testing.T) {
	rounds := 12
	if raceEnabled {
		rounds = 4
	}
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 0))
		var s Stream
		r := &s.ring
		r.init(1+random.IntN(50000), DefaultMaxLine)
		var model []string
		for step := range 100 {
			var data []byte
			lines := 1 + random.IntN(1<<random.IntN(10))
			partial := random.IntN(20) == 0
			size := 1 << random.IntN(12)
			for i := range lines {
				line := bytes.Repeat([]byte{byte('a' + i%26)}, random.IntN(size))
				data = append(append(data, line...), '\n')
				model = append(model, string(line)+"|")
				if partial {
					data = append(bytes.TrimSuffix(data, newline), 'p')
					model[len(model)-1] = string(data) + "+|"
					lines = 1
					break
				}
			}
			r.add(time.Unix(int64(step), 0), 0, partial, data, lines)

			got := s.Tail(-1)
			if len(got) == 0 || len(got) > len(model) {
				t.Fatalf("seed %d, step %d: got %d lines of %d", seed, step, len(got), len(model))
			}
			if got, want := texts(got), strings.Join(model[len(model)-len(got):], ""); got != want {
				t.Fatalf("seed %d, step %d: got %.200q, want %.200q", seed, step, got, want)
			}
			if len(r.buf) > r.max || r.size > len(r.buf) {
				t.Fatalf("seed %d, step %d: %d bytes in %d, want at most %d", seed, step, r.size, len(r.buf), r.max)
			}
			// One more line would not have fitted, or that line and a part are larger than what is free.
			if free := r.max - r.size; len(got) < len(model) && free > headSize+size+2*DefaultMaxLine {
				t.Fatalf("seed %d, step %d: %d bytes are free", seed, step, free)
			}
		}
		if got, want := r.lines, uint64(len(model)); got != want {
			t.Fatalf("seed %d: got %d lines counted, want %d", seed, got, want)
		}
	}
}

// TestRingLazy: an idle daemon has no ring, a quiet one a small one.
func TestRingLazy(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	if got := cap(s.ring.buf); got != 0 {
		t.Errorf("got %d bytes before the first line, want 0", got)
	}
	web.say("listening\n")
	web.end()
	if got := cap(s.ring.buf); got == 0 || got > 1024 {
		t.Errorf("got %d bytes after a line, want a few", got)
	}
	l.Close(soon())
}

func TestFollow(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	web.say("a\nb\nc\n")
	web.end()
	f := s.Follow(2)
	next := func(want string) {
		t.Helper()
		got := ""
		for len(got) < len(want) {
			lines, lost, err := f.Next(t.Context())
			if lost != 0 || err != nil {
				t.Fatalf("got %d lost and %v", lost, err)
			}
			got += texts(lines)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	next("b|c|")
	web = open(t, s)
	go web.say("d\ne\n")
	next("d|e|")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := f.Next(ctx); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	web.say("last")
	web.end()
	next("last|")
	go l.Close(soon())
	if _, _, err := f.Next(t.Context()); err != io.EOF {
		t.Errorf("after Close: got %v, want %v", err, io.EOF)
	}
}

// TestFollowerModel compares followers of all speeds with what was added: each line comes once and in order, or is counted as
// lost where it is missing. The data that does not fit into the ring at once is among it.
func TestFollowerModel(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s Stream
		s.ring.init(1, 1000)
		type reader struct {
			*Follower
			next int // the number of the line that comes
			old  int // lines that were there at the beginning
		}
		var all []*reader
		total := 0
		read := func(f *reader, most int) {
			for ; most != 0; most-- {
				_, old := f.Old()
				ready, _ := f.Ready()
				line, lost, ok := f.Take(nil)
				if ok != ready || ok && old != (f.next < f.old) {
					t.Fatalf("seed %d: got ok %t and old %t at line %d of %d, %d of them old", seed, ok, old, f.next, total, f.old)
				}
				if !ok {
					break
				}
				f.next += lost
				if lost == 0 {
					if got, want := string(line.Text), strings.Repeat("x", f.next%97)+fmt.Sprint(f.next); got != want {
						t.Fatalf("seed %d: got %q, want %q", seed, got, want)
					}
					f.next++
				}
			}
			if most != 0 && f.next != total {
				t.Fatalf("seed %d: got %d lines at the end, want %d", seed, f.next, total)
			}
		}
		for range 300 {
			if random.IntN(10) == 0 {
				n := random.IntN(30) - 1
				kept := len(s.Tail(n))
				all = append(all, &reader{s.Follow(n), total - kept, total})
			}
			lines := random.IntN(12)
			if random.IntN(10) == 0 {
				lines *= 5 // more than fits
			}
			var data []byte
			for range lines {
				data = fmt.Appendf(data, "%s%d\n", strings.Repeat("x", total%97), total)
				total++
			}
			if random.IntN(5) == 0 {
				data = bytes.TrimSuffix(data, newline)
			}
			s.ring.add(time.Unix(1, 0), 0, false, data, lines)
			for i, f := range all {
				if i%3 > 0 {
					read(f, random.IntN(1+i))
				}
			}
		}
		for _, f := range all {
			read(f, -1)
		}
	}
}

// TestTailMemory: what is asked for costs what it is, not what there is.
func TestTailMemory(t *testing.T) {
	var s Stream
	s.ring.init(0, DefaultMaxLine)
	s.ring.add(time.Unix(1, 0), 0, false, bytes.Repeat(newline, 60_000), 60_000)
	if got := testing.AllocsPerRun(10, func() {
		if got := len(s.Tail(20)); got != 20 {
			t.Errorf("got %d lines, want 20", got)
		}
	}); got > 20 {
		t.Errorf("got %v allocations for 20 empty lines", got)
	}
}

// TestSkip: it waits for lines and passes over them; what comes later is not lost.
func TestSkip(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	web.say("a\nb\n")
	web.end()
	f := s.Follow(1)
	if err := f.Skip(t.Context()); err != nil { // b
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Skip(ctx); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	web = open(t, s)
	go web.say("c\n")
	if err := f.Skip(t.Context()); err != nil {
		t.Fatal(err)
	}
	web.say("d\n")
	if lines, lost, err := f.Next(t.Context()); texts(lines) != "d|" || lost != 0 || err != nil {
		t.Errorf("got %q, %d lost, %v", texts(lines), lost, err)
	}
	web.end()
	go l.Close(soon())
	if err := f.Skip(t.Context()); err != io.EOF {
		t.Errorf("after Close: got %v, want %v", err, io.EOF)
	}
}

// TestSlowFollower: it loses lines, learns how many, and slows nobody down.
func TestSlowFollower(t *testing.T) {
	const total = 200_000
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	slow, fast := s.Follow(0), s.Follow(0)
	count := func(f *Follower) (next, missing int) {
		for {
			lines, lost, err := f.Next(context.Background())
			if err == io.EOF {
				return next, missing
			}
			next += lost
			missing += lost
			for _, line := range lines {
				if got, want := string(line.Text), fmt.Sprint(next); got != want {
					t.Errorf("got %q, want %q", got, want)
					return
				}
				next++
			}
		}
	}
	done := make(chan bool)
	go func() {
		if got, _ := count(fast); got != total {
			t.Errorf("fast: got %d lines, missing ones included, want %d", got, total)
		}
		close(done)
	}()
	web := open(t, s)
	for i := range total / 1000 {
		var b []byte
		for j := range 1000 {
			b = fmt.Appendf(b, "%d\n", i*1000+j)
		}
		web.stdout.Write(b)
	}
	web.end()
	l.Close(soon())
	got, missing := count(slow)
	if got != total || missing < total/2 {
		t.Errorf("slow: got %d lines, %d of them missing, want %d, most of them missing", got, missing, total)
	}
	<-done
}
