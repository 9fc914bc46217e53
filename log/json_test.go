package log

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzJSON holds that a line is one valid object with nothing lost, whatever its bytes, and that it agrees with
// encoding/json about what they mean.
func FuzzJSON(f *testing.F) {
	f.Add("web", []byte("listening on :80"), false)
	f.Add("web", []byte("<a href=\"x\">\\ \x00\x1f\x7f\u2028 &"), true)
	f.Add("wéb \"1\"", []byte("a\xff\xfe\xe2\x82\xed\xa0\x80 \uFFFD"), false)
	f.Fuzz(func(t *testing.T, daemon string, line []byte, partial bool) {
		fr := newFrame(Options{Format: JSON}, daemon, stderrStream)
		now := time.Date(2026, 1, 2, 3, 4, 5, 60, time.FixedZone("", 3600))
		got := fr.line(nil, fr.header(nil, now), line, partial)
		if i := bytes.IndexByte(got, '\n'); i != len(got)-1 {
			t.Fatalf("%q is not one line", got)
		}
		var object struct {
			Time    string
			Daemon  string
			Stream  string
			Line    string
			Partial bool
			Bytes   []byte
		}
		if err := json.Unmarshal(got, &object); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if object.Time != "2026-01-02T02:04:05.000000060Z" || object.Stream != "stderr" || object.Partial != partial {
			t.Errorf("got %+v", object)
		}
		if want := string(bytes.ToValidUTF8(line, nil)); utf8.Valid(line) && object.Line != want {
			t.Errorf("got line %q, want %q", object.Line, want)
		}
		var quoted, theirs string
		b, _ := json.Marshal(string(line))
		json.Unmarshal(b, &theirs)
		b, valid := appendQuoted(nil, line)
		if err := json.Unmarshal(b, &quoted); err != nil || quoted != theirs || valid != utf8.Valid(line) {
			t.Errorf("got %q, valid %t and %v, want %q", quoted, valid, err, theirs)
		}
		switch {
		case utf8.Valid(line) && object.Bytes != nil:
			t.Errorf("got bytes %q for valid UTF-8", object.Bytes)
		case !utf8.Valid(line) && !bytes.Equal(object.Bytes, line):
			t.Errorf("got bytes %q, want %q", object.Bytes, line)
		}
	})
}

// TestLongestObject is the bound of what one line can become: MaxLine bytes, each of which is written as six, and
// base64 beside them.
func TestLongestObject(t *testing.T) {
	got, _ := collect(t, Options{Format: JSON}, func(l *Log) {
		web := open(t, l.Stream("web", StreamOptions{}))
		line := bytes.Repeat([]byte{1}, MaxLine-1)
		web.stdout.Write(append(line, 0xff, '\n'))
		web.stdout.Write(append(line, 0xff, '\n'))
		web.end()
	})
	for line := range bytes.Lines([]byte(got)) {
		if !json.Valid(line) {
			t.Errorf("%.50q is not valid", line)
		}
		if len(line) > 122<<10 {
			t.Errorf("got %d bytes, want at most 122 KiB", len(line))
		}
	}
	if got := bytes.Count([]byte(got), newline); got != 2 {
		t.Errorf("got %d lines, want 2", got)
	}
}
