package log

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
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
		got := fr.line(nil, fr.header(nil, now), line, endingOf(partial))
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
		switch {
		case utf8.Valid(line) && object.Bytes != nil:
			t.Errorf("got bytes %q for valid UTF-8", object.Bytes)
		case !utf8.Valid(line) && !bytes.Equal(object.Bytes, line):
			t.Errorf("got bytes %q, want %q", object.Bytes, line)
		}
	})
}

// TestLongestObject: whatever a line is made of, an object with its newline is not longer than Options.MaxLine, and the
// parts are together what was written.
func TestLongestObject(t *testing.T) {
	for _, limit := range []int{0, MinMaxLine, 128 << 10} {
		for _, unit := range []string{"x", "\x01", "\xff", "€", "\x01\xff\"x", "\U0001F600"} {
			t.Run(fmt.Sprintf("%d/%q", limit, unit), func(t *testing.T) {
				longest := cmp.Or(limit, DefaultMaxLine)
				line := bytes.Repeat([]byte(unit), (longest+longest/3)/len(unit))
				got, _ := collect(t, Options{Format: JSON, MaxLine: limit, Hold: -1}, func(l *Log) {
					web := open(t, l.Stream("web", StreamOptions{}))
					web.stdout.Write(append(slices.Clone(line), '\n'))
					web.stdout.Write(line)
					web.end()
				})
				var joined []byte
				for text := range bytes.Lines([]byte(got)) {
					var object struct {
						Line    string
						Partial bool
						Bytes   []byte
					}
					if err := json.Unmarshal(text, &object); err != nil || len(text) > longest {
						t.Fatalf("%d bytes, %v, want at most %d", len(text), err, longest)
					}
					if object.Partial && len(text) < longest-20 {
						t.Errorf("a part has %d bytes, want nearly %d", len(text), longest)
					}
					if object.Bytes == nil {
						object.Bytes = []byte(object.Line)
					}
					if joined = append(joined, object.Bytes...); !object.Partial {
						joined = append(joined, '\n')
					}
				}
				if want := slices.Concat(line, newline, line, newline); !bytes.Equal(joined, want) {
					t.Errorf("the parts joined: got %d bytes, want %d, or others", len(joined), len(want))
				}
			})
		}
	}
}
