package log

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var stampRE = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z`)

// TestLines is what comes out for what a daemon writes in one life. TIME stands for a timestamp.
func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		say     string
		want    string
	}{
		{"nothing", Options{}, "", ""},
		{"lines", Options{}, "a\n\nb c\n", "[web] a\n[web] \n[web] b c\n"},
		{"a last line without newline", Options{}, "a\nb", "[web] a\n[web] b\n"},
		{"bytes stay", Options{}, "a\r\n\x00\x1b[0m\xff\n", "[web] a\r\n[web] \x00\x1b[0m\xff\n"},
		{"timestamps", Options{Timestamps: true}, "a\nb\n", "TIME [web] a\nTIME [web] b\n"},
		{
			"json",
			Options{Format: JSON},
			"a\n<\"&\\\t\r\x01\x7fü\n",
			`{"time":"TIME","daemon":"web","stream":"stdout","line":"a"}` + "\n" +
				`{"time":"TIME","daemon":"web","stream":"stdout","line":"<\"&\\\t\r\u0001` + "\x7f" + `ü"}` + "\n",
		},
		{"json has its own time", Options{Format: JSON, Timestamps: true}, "a\n", `{"time":"TIME","daemon":"web","stream":"stdout","line":"a"}` + "\n"},
		{"json, not UTF-8", Options{Format: JSON}, "a\xff\xe2\x82b\n", `{"time":"TIME","daemon":"web","stream":"stdout","line":"a` + "\uFFFD\uFFFD\uFFFD" + `b","bytes":"Yf/igmI="}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, st := collect(t, tt.options, func(l *Log) {
				web := open(t, l.Stream("web", StreamOptions{}))
				web.say(tt.say)
				web.end()
			})
			if got := stampRE.ReplaceAllString(got, "TIME"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if want := strings.Count(tt.want, "\n"); int(st.Lines) != want || st.Dropped != 0 {
				t.Errorf("stats: got %+v, want %d lines", st, want)
			}
			if got, want := st.Streams[0].Bytes, uint64(len(tt.say)); got != want {
				t.Errorf("got %d bytes counted, want %d", got, want)
			}
		})
	}
}

func TestOwnLines(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		message string
		want    string
	}{
		{"text", Options{}, "starting web", "sidecar-init: starting web\n"},
		{"another source", Options{Source: "bundle"}, "starting web", "bundle: starting web\n"},
		{"several lines", Options{}, "a\n\nb\n", "sidecar-init: a\nsidecar-init: \nsidecar-init: b\n"},
		{"nothing", Options{}, "", "sidecar-init: \n"},
		{"timestamps", Options{Timestamps: true}, "a\nb", "TIME sidecar-init: a\nTIME sidecar-init: b\n"},
		{"json", Options{Format: JSON}, `say "a"`, `{"time":"TIME","msg":"say \"a\""}` + "\n"},
		{"json, not UTF-8", Options{Format: JSON}, "\xff", `{"time":"TIME","msg":"` + "\uFFFD" + `","bytes":"/w=="}` + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, st := collect(t, tt.options, func(l *Log) { l.Printf("%s", tt.message) })
			if got := stampRE.ReplaceAllString(got, "TIME"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if want := strings.Count(tt.want, "\n"); int(st.Own) != want || st.OwnDropped != 0 {
				t.Errorf("stats: got %+v, want %d own lines", st, want)
			}
		})
	}
}

// TestLongLines holds the limit of 16 KiB to the byte.
func TestLongLines(t *testing.T) {
	const stampLength = len("2006-01-02T15:04:05.000000000Z ")
	for _, tt := range []struct {
		options Options
		head    int // bytes in front of each line
	}{
		{Options{}, len("[web] ")},
		{Options{Timestamps: true}, stampLength + len("[web] ")},
	} {
		whole := DefaultMaxLine - tt.head
		for _, size := range []int{whole - 1, whole, whole + 1, 2*whole - 2, 2*whole - 1, 5 * whole, 1 << 20} {
			t.Run(fmt.Sprintf("%+v/%d", tt.options, size), func(t *testing.T) {
				payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
				got, _ := collect(t, tt.options, func(l *Log) {
					web := open(t, l.Stream("web", StreamOptions{}))
					web.say("first\n" + payload + "\nlast\n")
					web.end()
				})
				lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
				want := 3
				if size > whole {
					want = 2 + (size+whole-2)/(whole-1)
				}
				if len(lines) != want {
					t.Fatalf("got %d lines, want %d", len(lines), want)
				}
				joined := ""
				for i, line := range lines[1 : len(lines)-1] {
					if len(lines) > 3 && len(line) > DefaultMaxLine-1 || len(line) > DefaultMaxLine {
						t.Errorf("part %d has %d bytes", i, len(line))
					}
					joined += line[tt.head:]
				}
				if joined != payload {
					t.Errorf("the parts joined: got %d bytes, want %d, or others", len(joined), len(payload))
				}
			})
		}
	}
}

func TestLongOwnLine(t *testing.T) {
	got, _ := collect(t, Options{}, func(l *Log) { l.Printf("%s", strings.Repeat("x", 2*DefaultMaxLine)) })
	for i, line := range strings.SplitAfter(strings.TrimSuffix(got, "\n"), "\n") {
		if !strings.HasPrefix(line, "sidecar-init: xx") || len(line) > DefaultMaxLine {
			t.Errorf("part %d: got %d bytes that begin with %.20q", i, len(line), line)
		}
	}
	if got, want := strings.Count(got, "x"), 2*DefaultMaxLine; got != want {
		t.Errorf("got %d bytes, want %d", got, want)
	}
}

// TestTwoStreams: in JSON stdout and stderr have pipes of their own.
func TestTwoStreams(t *testing.T) {
	got, _ := collect(t, Options{Format: JSON}, func(l *Log) {
		web := open(t, l.Stream("web", StreamOptions{}))
		if web.stdout == web.stderr {
			t.Fatal("stdout and stderr are the same file")
		}
		web.say("out")
		web.stderr.WriteString("err")
		web.end()
	})
	lines := strings.Split(stampRE.ReplaceAllString(got, "TIME"), "\n")
	slices.Sort(lines)
	want := []string{
		"",
		`{"time":"TIME","daemon":"web","stream":"stderr","line":"err"}`,
		`{"time":"TIME","daemon":"web","stream":"stdout","line":"out"}`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestOnePipeInText(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	web := open(t, l.Stream("web", StreamOptions{}))
	if web.stdout != web.stderr {
		t.Error("stdout and stderr are two files")
	}
	web.end()
	l.Close(soon())
}

// TestRestart: a life that ends within a line does not spoil the first line of the next.
func TestRestart(t *testing.T) {
	const lives = 200
	got, _ := collect(t, Options{}, func(l *Log) {
		s := l.Stream("web", StreamOptions{})
		for i := range lives {
			web := open(t, s)
			web.say(fmt.Sprintf("life %d\nunfinished %d", i, i))
			web.end()
			l.Printf("web %d exited", i)
		}
	})
	var want strings.Builder
	for i := range lives {
		fmt.Fprintf(&want, "[web] life %d\n[web] unfinished %d\nsidecar-init: web %d exited\n", i, i, i)
	}
	if got != want.String() {
		t.Errorf("got %q, want %q", got, want.String())
	}
}

// TestGrandchild: a process that holds the pipe delays nothing, and can go on writing.
func TestGrandchild(t *testing.T) {
	for _, format := range []Format{Text, JSON} {
		t.Run(string(format), func(t *testing.T) {
			c := newConsumer(t)
			l := New(c.w, Options{Format: format})
			s := l.Stream("web", StreamOptions{})
			want := func(texts ...string) {
				t.Helper()
				for _, text := range texts {
					if got := c.line(); !strings.Contains(got, text) {
						t.Fatalf("got %q, want a line with %q", got, text)
					}
				}
			}
			first := open(t, s)
			heir := first.grandchild()
			first.say("a\nunfinished")
			first.end() // returns although the pipe is held
			l.Printf("exited")
			want("a", "unfinished", "exited")

			second := open(t, s)
			second.say("b\n")
			want("b")
			heir.WriteString("late\n")
			want("late")
			heir.WriteString("half a line")
			second.say("c\n")
			want("c")
			heir.Close()
			want("half a line")
			second.end()
			first.exited() // does nothing
			l.Close(soon())
		})
	}
}

// TestFloodingGrandchild: the cut takes what is in the pipe, not what is written all the time.
func TestFloodingGrandchild(t *testing.T) {
	c := newConsumer(t)
	rest := c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	first := open(t, s)
	heir := first.grandchild()
	stop := make(chan bool)
	go func() {
		defer heir.Close()
		for {
			select {
			case <-stop:
				return
			default:
				heir.WriteString(strings.Repeat("flood\n", 10000))
			}
		}
	}()
	first.end()
	second := open(t, s)
	second.say("second life\n")
	second.end()
	close(stop)
	l.Close(soon())
	if got := rest(); !strings.Contains(got, "[web] second life\n") {
		t.Error("the line of the second life did not come out")
	}
}

// TestOrderOfLives: while the consumer has stopped, nothing waits for it for long, and yet each life's lines come
// out after those of the life before.
func TestOrderOfLives(t *testing.T) {
	const lives = 5
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	held := c.stopped()
	begin := time.Now()
	for i := range lives {
		web := open(t, s)
		for j := range 1000 {
			web.say(fmt.Sprintf("%d %d\n", i, j))
		}
		web.end()
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v, want at most 100 ms for each exited", took)
	}
	c.resume(held)
	for i := range lives {
		for j := range 1000 {
			c.want(fmt.Sprintf("[web] %d %d", i, j))
		}
	}
	l.Close(soon())
}

// TestOrderAfterEnd: the same where the pipe of the life before has been read to its end, and only its last line is
// still to be written.
func TestOrderAfterEnd(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	held := c.stopped()
	first := open(t, s)
	first.say("unfinished")
	first.stdout.Close()
	p := s.last.pumps[0]
	for ended := false; !ended; runtime.Gosched() {
		p.mu.Lock()
		ended = p.ended
		p.mu.Unlock()
	}
	second := open(t, s)
	second.say("second\n")
	second.end()
	if got := s.Stats().Bytes; got != uint64(len("unfinished")) {
		t.Errorf("got %d bytes read, want those of the first life", got)
	}
	c.resume(held)
	c.want("[web] unfinished", "[web] second")
	l.Close(soon())
}

// TestOpenAloneCuts: a caller that does not call exited does not stop the next life's lines.
func TestOpenAloneCuts(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	first := open(t, s)
	first.say("first")
	second := open(t, s) // first still holds its write end
	second.say("second\n")
	c.want("[web] first", "[web] second")
	first.say("more\n")
	c.want("[web] more")
	first.end()
	second.end()
	l.Close(soon())
}

// TestOwnLineFirst: what Printf said comes before everything that a daemon wrote afterwards.
func TestOwnLineFirst(t *testing.T) {
	for _, overflow := range []Overflow{Block, Drop} {
		t.Run(string(overflow), func(t *testing.T) {
			const rounds = 2000
			got, _ := collect(t, Options{}, func(l *Log) {
				noise := open(t, l.Stream("noise", StreamOptions{}))
				web := open(t, l.Stream("web", StreamOptions{Overflow: overflow}))
				for i := range rounds {
					noise.say("noise\n")
					l.Printf("%d", i)
					web.say(fmt.Sprintf("%d\n", i))
				}
				noise.end()
				web.end()
			})
			own, web := 0, 0
			for line := range strings.Lines(got) {
				var n int
				if _, err := fmt.Sscanf(line, "sidecar-init: %d\n", &n); err == nil {
					if n != own {
						t.Fatalf("got own line %d, want %d", n, own)
					}
					own++
				}
				if _, err := fmt.Sscanf(line, "[web] %d\n", &n); err == nil {
					if n != web || n >= own {
						t.Fatalf("got the daemon's line %d after own line %d, want line %d", n, own-1, web)
					}
					web++
				}
			}
			if own != rounds || web != rounds {
				t.Errorf("got %d own lines and %d of the daemon, want %d", own, web, rounds)
			}
		})
	}
}

// TestOwnLinesNeverBlock: with a consumer that has stopped they are kept as far as they fit, and the rest is counted.
func TestOwnLinesNeverBlock(t *testing.T) {
	const total = 20000
	c := newConsumer(t)
	l := New(c.w, Options{})
	held := c.stopped()
	for i := range total {
		l.Printf("%d", i) // a test that hangs here fails
	}
	if st := l.Stats(); st.Own != total || st.OwnDropped == 0 || st.OwnDropped == total {
		t.Errorf("stats: got %+v, want %d own lines, some dropped", st, total)
	}
	c.resume(held)
	next, missing := 0, 0
	for next < total {
		var n int
		switch line := c.line() + "\n"; {
		case scan(line, "sidecar-init: %d lines of the supervisor dropped (stdout is full)\n", &n):
			next += n
			missing += n
		case !scan(line, "sidecar-init: %d\n", &n) || n != next:
			t.Fatalf("got %q, want line %d", line, next)
		default:
			next++
		}
	}
	l.Printf("on we go")
	c.want("sidecar-init: on we go")
	if st := l.Close(soon()); next != total || st.OwnDropped != uint64(missing) {
		t.Errorf("got %d lines, %d dropped, want %d and %d", next, st.OwnDropped, total, missing)
	}
}

// TestConcurrent writes many lines of five daemons, torn at random, and looks at each that comes out.
func TestConcurrent(t *testing.T) {
	lines := 100_000
	if raceEnabled || testing.Short() {
		lines = 10_000
	}
	const daemons = 5
	c := newConsumer(t)
	l := New(c.w, Options{})
	for d := range daemons {
		web := open(t, l.Stream(fmt.Sprintf("d%d", d), StreamOptions{}))
		go func() {
			random := rand.New(rand.NewPCG(1, uint64(d)))
			var b []byte
			for i := range lines {
				b = fmt.Appendf(b, "%d %s\n", i, strings.Repeat(string(rune('a'+d)), random.IntN(150)))
				if n := random.IntN(len(b)); n > 1000 || i+1 == lines {
					if i+1 == lines {
						n = len(b)
					}
					web.stdout.Write(b[:n])
					b = append(b[:0], b[n:]...)
				}
			}
			web.end()
		}()
	}
	var next [daemons]int
	for range lines * daemons {
		line := c.line()
		var d, i int
		if n, err := fmt.Sscanf(line, "[d%d] %d ", &d, &i); n < 2 {
			t.Fatalf("got %q: %v", line, err)
		}
		_, text, _ := strings.Cut(line, "] ")
		_, text, _ = strings.Cut(text, " ")
		if i != next[d] || strings.Trim(text, string(rune('a'+d))) != "" {
			t.Fatalf("got %q, want line %d of daemon %d", line, next[d], d)
		}
		next[d]++
	}
	if st := l.Close(soon()); st.Lines != uint64(lines*daemons) || st.Dropped != 0 {
		t.Errorf("stats: got %+v", st)
	}
}

// TestBytesUnchanged: what goes in comes out, but for the prefix.
func TestBytesUnchanged(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 1<<20)
	random.Read(data)
	got, _ := collect(t, Options{}, func(l *Log) {
		web := open(t, l.Stream("web", StreamOptions{}))
		web.stdout.Write(data)
		web.end()
	})
	var joined []byte
	for line := range strings.Lines(got) {
		joined = append(joined, strings.TrimPrefix(line, "[web] ")...)
	}
	if !bytes.Equal(bytes.TrimSuffix(joined, newline), bytes.TrimSuffix(data, newline)) {
		t.Error("got other bytes than were written")
	}
}

// TestPromptness: a line comes out without anything that follows it.
func TestPromptness(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	web := open(t, l.Stream("web", StreamOptions{}))
	for i := range 100 {
		web.say(fmt.Sprintf("%d\nbegun", i))
		c.want(fmt.Sprintf("[web] %d", i))
		web.say("\n")
		c.want("[web] begun")
	}
	web.end()
	l.Close(soon())
}

// TestDaemonBlocks: a daemon without overflow drop blocks while the consumer has stopped, and loses nothing.
func TestDaemonBlocks(t *testing.T) {
	const lines = 100_000
	c := newConsumer(t)
	l := New(c.w, Options{})
	held := c.stopped()
	web := open(t, l.Stream("web", StreamOptions{}))
	done := make(chan bool)
	go func() {
		web.say(strings.Repeat("x\n", lines))
		close(done)
	}()
	select {
	case <-done:
		t.Error("the daemon was not blocked")
	case <-time.After(100 * time.Millisecond):
	}
	c.resume(held)
	for range lines {
		c.want("[web] x")
	}
	<-done
	web.end()
	if st := l.Close(soon()); st.Lines != lines || st.Dropped != 0 {
		t.Errorf("stats: got %+v, want %d lines, none dropped", st, lines)
	}
}

// TestDrop: a daemon with overflow drop goes on although the writer hangs in the write of another, and both come out
// whole when the consumer goes on, with the number of lines that are missing in their place.
func TestDrop(t *testing.T) {
	const lines = 500_000
	c := newConsumer(t)
	l := New(c.w, Options{})
	block := open(t, l.Stream("block", StreamOptions{}))
	drop := open(t, l.Stream("drop", StreamOptions{Overflow: Drop}))
	held := c.stopped()
	hung := make(chan bool)
	go func() { // more than all buffers hold
		block.say(strings.Repeat("block\n", 100_000))
		close(hung)
	}()
	for i := range lines / 1000 {
		var b []byte
		for j := range 1000 {
			b = fmt.Appendf(b, "%d\n", i*1000+j)
		}
		drop.stdout.Write(b) // a test that hangs here fails
	}
	drop.end()

	finished := make(chan Stats)
	go func() {
		<-hung
		block.end()
		st := l.Close(soon())
		c.w.Close()
		finished <- st
	}()
	c.resume(held)
	next, missing, blocks := 0, 0, 0
	for {
		line, err := c.b.ReadString('\n')
		if err == io.EOF {
			break
		}
		var n int
		switch {
		case line == "[block] block\n":
			blocks++
		case scan(line, "sidecar-init: drop: %d lines dropped (stdout is full)\n", &n):
			next += n
			missing += n
		case !scan(line, "[drop] %d\n", &n) || n != next:
			t.Fatalf("got %q, want line %d", line, next)
		default:
			next++
		}
	}
	st := <-finished
	if next != lines || blocks != 100_000 || missing == 0 {
		t.Errorf("got %d and %d lines, %d missing, want %d and 100000", next, blocks, missing, lines)
	}
	if got := st.Streams[1]; got.Lines != lines || got.Dropped != uint64(missing) || st.Streams[0].Dropped != 0 {
		t.Errorf("stats: got %+v, want %d missing", st.Streams, missing)
	}
}

func scan(line, format string, n *int) bool {
	_, err := fmt.Sscanf(line, format, n)
	return err == nil && line == fmt.Sprintf(format, *n)
}

// TestDropLosesNothing: overflow drop drops nothing while the consumer reads.
func TestDropLosesNothing(t *testing.T) {
	got, st := collect(t, Options{Timestamps: true}, func(l *Log) {
		web := open(t, l.Stream("web", StreamOptions{Overflow: Drop}))
		for range 100 {
			web.say(strings.Repeat("x\n", 1000))
		}
		web.end()
	})
	if got, want := strings.Count(got, "\n"), 100_000; st.Dropped == 0 && got != want {
		t.Errorf("got %d lines, want %d", got, want)
	}
	if st.Dropped != 0 {
		// A machine under load may stop the consumer for longer than the pump's patience.
		t.Logf("%d lines dropped", st.Dropped)
	}
}

// TestConsumerGone: output is read on and discarded, and counted.
func TestConsumerGone(t *testing.T) {
	for _, overflow := range []Overflow{Block, Drop} {
		t.Run(string(overflow), func(t *testing.T) {
			c := newConsumer(t)
			l := New(c.w, Options{})
			web := open(t, l.Stream("web", StreamOptions{Overflow: overflow}))
			c.r.Close()
			for range 100 {
				web.say(strings.Repeat("x\n", 10_000)) // a test that hangs here fails
			}
			l.Printf("nobody hears this")
			web.end()
			st := l.Close(soon())
			if st.Lines != 1_000_000 || st.Dropped != st.Lines || st.Own != 1 || st.OwnDropped != 1 {
				t.Errorf("stats: got %+v, want all dropped", st)
			}
		})
	}
}

// TestConsumerGoneStdout: fd 1 without a reader does not kill the process, even if it does nothing about SIGPIPE.
func TestConsumerGoneStdout(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOG_TEST_CHILD=gone")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if got, want := stderr.String(), "own 3, dropped 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWriteErrors: what cannot be written is lost, counted and, once writing works again, reported.
func TestWriteErrors(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full:", err)
	}
	defer full.Close()
	c := newConsumer(t)
	l := New(full, Options{})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	web.say("a\nb\n")
	web.end()
	l.Printf("lost")
	l.w.own.empty(nil)
	if st := l.Stats(); st.Dropped != 2 || st.OwnDropped != 1 {
		t.Errorf("stats: got %+v, want 2 and 1 dropped", st)
	}

	l.w.mu.Lock()
	l.w.use(c.w)
	l.w.torn = true // as if half a line had been written
	l.w.mu.Unlock()
	web = open(t, s)
	web.say("c\n")
	web.end()
	c.want("", "[web] c", "sidecar-init: 3 lines lost (write: no space left on device)")
	if st := l.Close(soon()); st.Lines != 3 || st.Dropped != 2 || st.Own != 2 || st.OwnDropped != 1 {
		t.Errorf("stats: got %+v", st)
	}
}

// TestTornLine: when an error stops a write within a line, what is written later does not become part of it.
func TestTornLine(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOG_TEST_CHILD=torn")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := "sidecar-init: one\nsidecar-\nsidecar-init: three\nsidecar-init: 1 lines lost (write: file too large)\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNoOutput: an output that cannot be written to at all is no reason to fail.
func TestNoOutput(t *testing.T) {
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, out := range []*os.File{nil, closed} {
		l := New(out, Options{})
		web := open(t, l.Stream("web", StreamOptions{}))
		web.say("a\n")
		web.end()
		if st := l.Close(soon()); st.Lines != 1 || st.Dropped != 1 {
			t.Errorf("stats: got %+v, want a line, dropped", st)
		}
	}
}

// TestCloseStuck: Close returns at its deadline whatever hangs, and what was not written is counted, once.
func TestCloseStuck(t *testing.T) {
	const lines = 20_000 // more than one write
	for _, drain := range []bool{false, true} {
		t.Run(fmt.Sprintf("drain=%t", drain), func(t *testing.T) {
			c := newConsumer(t)
			l := New(c.w, Options{})
			held := c.stopped()
			web := open(t, l.Stream("unfinished", StreamOptions{}))
			web.say("unfinished")
			web.end()
			for l.Stats().Lines == 0 { // until it hangs in its write
				runtime.Gosched()
			}
			for i := range 5 { // more than there are buffers
				web := open(t, l.Stream(fmt.Sprintf("web%d", i), StreamOptions{Overflow: []Overflow{Block, Drop}[i/4]}))
				web.say(strings.Repeat("x\n", lines) + "unfinished")
				web.end()
			}
			l.Printf("stuck")
			begin := time.Now()
			deadline := begin.Add(200 * time.Millisecond)
			if drain {
				l.Drain(deadline)
			}
			st := l.Close(deadline)
			if took := time.Since(begin); took < 200*time.Millisecond || took > 5*time.Second {
				t.Errorf("took %v, want 200 ms", took)
			}
			if want := uint64(5*(lines+1) + 1); st.Lines != want || st.Dropped != want {
				t.Errorf("got %d lines, %d dropped, want %d for both", st.Lines, st.Dropped, want)
			}
			if st.Own != 1 || st.OwnDropped != 1 {
				t.Errorf("got %d own lines, %d dropped, want 1 for both", st.Own, st.OwnDropped)
			}
			c.resume(held)
			c.r.Close() // lets what hangs end
		})
	}
}

// TestCloseHeld: a grandchild that holds the pipe delays Close until the deadline, not longer, and its last line counts.
func TestCloseHeld(t *testing.T) {
	got, st := collect(t, Options{}, func(l *Log) {
		web := open(t, l.Stream("web", StreamOptions{}))
		heir := web.grandchild()
		web.end()
		heir.WriteString("half a line")
		begin := time.Now()
		l.Drain(begin.Add(time.Second))
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("took %v, want 1 s", took)
		}
		l.Printf("exit 0")
	})
	if want := "[web] half a line\nsidecar-init: exit 0\n"; got != want || st.Dropped != 0 {
		t.Errorf("got %q and %+v, want %q", got, st, want)
	}
}

// TestDeadlinePassed: what a free writer can take is written even if Close comes too late.
func TestDeadlinePassed(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	web := open(t, l.Stream("web", StreamOptions{}))
	l.Printf("last")
	web.end()
	l.Close(time.Now().Add(-time.Hour))
	c.want("sidecar-init: last")
}

func TestOpenAfterClose(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	l.Close(soon())
	_, _, _, err := s.Open(-1, -1)
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	if got, want := fmt.Sprint(err), "cannot open the log pipe of web: log: closed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFlush: the supervisor's own lines are written when it returns, and a consumer that has stopped holds it up until the deadline.
func TestFlush(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	l := New(w, Options{})
	l.Printf("exit 0")
	l.Flush(time.Now().Add(time.Minute))
	b := make([]byte, 100)
	r.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := r.Read(b); string(b[:n]) != "sidecar-init: exit 0\n" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	for range 3000 { // more than the pipe and the queue hold
		l.Printf("%0100d", 0)
	}
	begin := time.Now()
	l.Flush(begin.Add(50 * time.Millisecond))
	if took := time.Since(begin); took < 50*time.Millisecond || took > 10*time.Second {
		t.Errorf("took %v, want 50ms", took)
	}
}

// TestOwn: what the supervisor writes can be read like a daemon's lines, and belongs to no daemon's counters.
func TestOwn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l := New(w, Options{})
	f := l.Own().Follow(-1)
	l.Printf("one")
	l.Printf("two\nthree\n")
	var got []string
	for range 3 {
		line, lost, ok := f.Take(nil)
		if !ok || lost > 0 {
			t.Fatalf("got %v, %d lost", ok, lost)
		}
		got = append(got, string(line.Text))
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if st := l.Stats(); st.Own != 3 || st.Lines != 0 || len(st.Streams) != 0 {
		t.Errorf("got %+v", st)
	}
	l.Close(time.Now().Add(time.Second))
	w.Close()
	if _, over := f.Ready(); !over {
		t.Error("a follower waits for ever")
	}
}

// TestRate: lines a second, of the last ten seconds or of those that are kept.
func TestRate(t *testing.T) {
	l := New(os.Stdout, Options{MaxLine: MinMaxLine})
	s := l.Stream("web", StreamOptions{Ring: 8 << 10})
	now := time.Now()
	if got := s.Rate(now, 10*time.Second); got != 0 {
		t.Errorf("without a line: got %v", got)
	}
	s.ring.add(now.Add(-time.Minute), 0, false, []byte("old\n"), 1)
	for i := range 20 {
		s.ring.add(now.Add(-time.Duration(i)*100*time.Millisecond), 0, false, []byte("a\nb\n"), 2)
	}
	if got := s.Rate(now, 10*time.Second); got < 3.9 || got > 4.1 {
		t.Errorf("40 lines: got %v a second, want 4", got)
	}
	line := []byte(strings.Repeat("x", 99) + "\n")
	for i := range 1000 {
		s.ring.add(now.Add(time.Duration(i)*time.Millisecond), 0, false, line, 1)
	}
	if got := s.Rate(now.Add(time.Second), 10*time.Second); got < 800 || got > 1200 {
		t.Errorf("1000 lines in a second, of which few are kept: got %v a second", got)
	}
}
