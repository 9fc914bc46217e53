package log

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// brief is a time to hold lines for tests that wait for it to pass.
const brief = 20 * time.Millisecond

// TestHold: a line whose end does not come leaves in parts, each after its time; what comes then goes on where it was.
func TestHold(t *testing.T) {
	long := strings.Repeat("x", 1010)
	for _, tt := range []struct {
		name string
		says []string // each is followed by waiting for what it gives
		want []string // a line for each of says, several with newlines between them
		end  string   // what is written when the process ends
	}{
		{"a progress bar", []string{"10%\r", "20%\r30%\r", "\ndone\n"}, []string{"10%\r \\", "20%\r30%\r \\", "\ndone"}, ""},
		{"the end within the line", []string{"a"}, []string{"a \\"}, "[web] \n"},
		{"the end after the line", []string{"a", "\n"}, []string{"a \\", ""}, ""},
		{"lines before it", []string{"a\nb\nc", "d\n"}, []string{"a\nb\nc \\", "d"}, ""},
		{"half a character waits for the rest", []string{"a\xe2\x82", "\xac\n"}, []string{"a \\", "€"}, ""},
		{"but not for ever", []string{"\xe9", "t\xe9\n"}, []string{"\xe9 \\", "t\xe9"}, ""},
		{"with the mark it is too long", []string{long + "12345678", "\n"}, []string{long + "123456 \\\n78 \\", ""}, ""},
		{"too long", []string{long + "123456789", "\n"}, []string{long + "1234567\n89 \\", ""}, ""},
		{"as long as fits after a part", []string{"a", long + "1234567\n"}, []string{"a \\", long + "1234567"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsumer(t)
			l := New(c.w, Options{Hold: brief, MaxLine: MinMaxLine})
			s := l.Stream("web", StreamOptions{})
			web := open(t, s)
			lines := 0
			for i, text := range tt.says {
				web.say(text)
				for want := range strings.SplitSeq(tt.want[i], "\n") {
					c.want("[web] " + want)
					lines++
				}
			}
			rest := c.rest()
			web.end()
			lines += strings.Count(tt.end, "\n")
			st := l.Close(soon())
			if got := rest(); got != tt.end || st.Lines != uint64(lines) || st.Dropped != 0 {
				t.Errorf("at the end: got %q and %+v, want %q and %d lines", got, st, tt.end, lines)
			}
			if got := len(s.Tail(-1)); got != lines {
				t.Errorf("got %d lines kept, want %d", got, lines)
			}
			if _, lost, _ := s.Follow(0).Next(t.Context()); lost != 0 {
				t.Errorf("got %d lines lost", lost)
			}
		})
	}
}

// TestHoldJSON: a part is marked as one, whatever was the reason.
func TestHoldJSON(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{Hold: brief, Format: JSON})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	for _, tt := range []struct{ say, want string }{
		{"a\xe2\x82", `"line":"a","partial":true}`},
		{"\xac", `"line":"€","partial":true}`},
		{"\xff", `"line":"` + "\uFFFD" + `","partial":true,"bytes":"/w=="}`},
		{"b\n", `"line":"b"}`},
	} {
		web.say(tt.say)
		if got := c.line(); !strings.HasSuffix(got, `"stream":"stdout",`+tt.want) {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	if got, want := texts(s.Tail(-1)), "stdouta+|stdout€+|stdout\xff+|stdoutb|"; got != want {
		t.Errorf("kept: got %q, want %q", got, want)
	}
	c.rest()
	web.end()
	l.Close(soon())
}

// TestHoldTime: a line has its whole time, whatever waited before it; and for ever if Hold says so.
func TestHoldTime(t *testing.T) {
	c, forever := newConsumer(t), newConsumer(t)
	l, f := New(c.w, Options{Hold: brief}), New(forever.w, Options{Hold: -1})
	web, quiet := open(t, l.Stream("web", StreamOptions{})), open(t, f.Stream("web", StreamOptions{}))
	quiet.say("half")
	for i := range 5 {
		web.say("a")
		<-time.After(brief / 2)
		begin := time.Now()
		web.say("b\nc")                         // the alarm is still that of the line before
		if got := c.line(); got != "[web] ab" { // on a busy machine a has left
			c.want("[web] b")
		}
		c.want("[web] c \\")
		if got := time.Since(begin); got < brief {
			t.Errorf("round %d: got a part after %v, want it after %v", i, got, brief)
		}
		web.say("\n")
		c.want("[web] ")
	}
	quiet.say(" a line\n")
	forever.want("[web] half a line")
	for _, p := range []*process{web, quiet} {
		p.end()
	}
	l.Close(soon())
	f.Close(soon())
}

// TestHoldMatch: the match function sees whole lines, however slowly they were written.
func TestHoldMatch(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{Hold: brief, MaxLine: MinMaxLine})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	var seen []string
	s.SetMatch(func(line []byte) bool {
		seen = append(seen, string(line))
		return strings.HasSuffix(string(line), "\nfound")
	})
	for _, text := range []string{"server ", "is ", "ready\n"} {
		web.say(text)
		c.line()
	}
	web.say("next\n")
	c.line()
	long := strings.Repeat("x", 600)
	for range 2 { // together they are too long, so they come as they are
		web.say(long)
		c.line()
	}
	web.say("end")
	c.line()
	go c.rest()
	web.end()
	l.Close(soon())
	if got, want := fmt.Sprint(seen), fmt.Sprint([]string{"server is ready", "next", long + long, "end"}); got != want {
		t.Errorf("got %.100s, want %.100s", got, want)
	}
}

// TestHoldNotWritten: parts of a daemon that must not block, or whose lines are not written, are kept and counted as others.
func TestHoldNotWritten(t *testing.T) {
	for _, o := range []StreamOptions{{Quiet: true}, {Overflow: Drop}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			c := newConsumer(t)
			rest := c.rest()
			l := New(c.w, Options{Hold: brief})
			s := l.Stream("web", o)
			f := s.Follow(0)
			web := open(t, s)
			web.say("a")
			if lines, lost, err := f.Next(t.Context()); texts(lines) != "a+|" || lost != 0 || err != nil {
				t.Errorf("got %q, %d lost, %v", texts(lines), lost, err)
			}
			web.end()
			want := "[web] a \\\n[web] \n"
			if o.Quiet {
				want = ""
			}
			if st := l.Close(soon()); st.Lines != 2 || st.Dropped != 0 {
				t.Errorf("got %+v", st)
			}
			if got := rest(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := texts(s.Tail(-1)); got != "a+||" {
				t.Errorf("kept: %q", got)
			}
		})
	}
}
