package log

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestQueue looks at what is taken after some puts, while nothing empties the queue.
func TestQueue(t *testing.T) {
	line := func(size int) string { return strings.Repeat("x", size-1) + "\n" }
	const half = queueSize / 2
	for _, tt := range []struct {
		name    string
		puts    []string
		dropped []int
		want    string
	}{
		{"nothing", nil, nil, ""},
		{"all fits", []string{"a\n", "b\nc\n"}, []int{0, 0}, "a\nb\nc\n"},
		{"just fits", []string{line(half), line(half)}, []int{0, 0}, line(half) + line(half)},
		{"one line does not fit", []string{line(half), "a\n" + line(half)}, []int{0, 1}, line(half) + "a\n1 dropped\n"},
		{"after a gap nothing fits", []string{line(half), "a\n" + line(half), "b\n"}, []int{0, 1, 1}, line(half) + "a\n2 dropped\n"},
		{"a line longer than the queue, alone", []string{line(2 * queueSize)}, []int{0}, line(2 * queueSize)},
		{"a line longer than the queue", []string{"a\n", line(2 * queueSize)}, []int{0, 1}, "a\n1 dropped\n"},
		{"nothing fits behind it", []string{line(2 * queueSize), "a\n"}, []int{0, 1}, line(2*queueSize) + "1 dropped\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := &queue{
				running: true, // so that nobody starts it
				notice:  func(dst []byte, n int) []byte { return fmt.Appendf(dst, "%d dropped\n", n) },
			}
			lines, dropped := 0, 0
			for i, put := range tt.puts {
				n := strings.Count(put, "\n")
				got := q.put([]byte(put), n)
				if got != tt.dropped[i] {
					t.Errorf("put %d: got %d dropped, want %d", i, got, tt.dropped[i])
				}
				lines += n - got
				dropped += got
			}
			if got := q.abandon(); got != lines {
				t.Errorf("got %d lines waiting, want %d", got, lines)
			}
			b, n := q.take()
			if string(b) != tt.want || n != lines {
				t.Errorf("got %d lines, %.100q, want %d, %.100q", n, b, lines, tt.want)
			}
			if got := q.abandon(); got != lines {
				t.Errorf("got %d lines on their way, want %d", got, lines)
			}
			q.written(b)
			if b, n := q.take(); len(b) != 0 || n != 0 || q.abandon() != 0 {
				t.Errorf("the second time: got %d lines, %q, want none", n, b)
			}
			if got := q.put([]byte("a\n"), 1); got != 0 {
				t.Errorf("after that: got %d dropped, want 0", got)
			}
		})
	}
}

// TestQueueIdle: what once was full of lines holds no memory.
func TestQueueIdle(t *testing.T) {
	var got bytes.Buffer
	q := &queue{}
	q.send = func() {
		b, _ := q.take()
		got.Write(b)
		q.written(b)
	}
	for range 100 {
		q.put(bytes.Repeat([]byte("x\n"), queueSize/4), queueSize/4)
		q.empty(nil)
	}
	if got, want := got.Len(), 100*queueSize/2; got != want {
		t.Errorf("got %d bytes, want %d", got, want)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if got := cap(q.pending) + cap(q.spare); got > queueSize/8 {
		t.Errorf("got %d bytes held, want at most %d", got, queueSize/8)
	}
}
