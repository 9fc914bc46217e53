package log

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// A part is what a splitter finds; it prints as it is, with a + behind if it goes on.
type part struct {
	text    string
	partial bool
}

func (p part) String() string {
	if p.partial {
		return p.text + "+"
	}
	return p.text
}

// splitAll feeds data to a splitter in chunks, as a pump does.
func splitAll(t testing.TB, s splitter, data []byte, chunk int) (parts []part) {
	t.Helper()
	var begun []byte
	for len(data) > 0 {
		n := min(chunk, len(data))
		scanned := len(begun)
		begun = append(begun, data[:n]...)
		data = data[n:]
		pos := 0
		for {
			n, used, partial, ok := s.next(begun[pos:], max(scanned-pos, 0))
			if !ok {
				break
			}
			parts = append(parts, part{string(begun[pos : pos+n]), partial})
			pos += used
		}
		begun = begun[pos:]
		if len(begun) > s.whole {
			t.Fatalf("%d bytes are kept, want at most %d", len(begun), s.whole)
		}
	}
	for len(begun) > 0 {
		n, partial := s.last(begun)
		parts = append(parts, part{string(begun[:n]), partial})
		begun = begun[n:]
	}
	return parts
}

func TestSplit(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	text := splitter{whole: 8, part: 7}
	object := splitter{whole: 24, part: 9, json: true}
	for _, tt := range []struct {
		name  string
		split splitter
		data  string
		want  []string
	}{
		{"nothing", text, "", nil},
		{"a line", text, "abc\n", []string{"abc"}},
		{"empty lines", text, "\n\n", []string{"", ""}},
		{"without newline", text, "abc\nde", []string{"abc", "de"}},
		{"carriage return and NUL stay", text, "a\r\n\x00\n", []string{"a\r", "\x00"}},
		{"just fits", text, x(8) + "\n", []string{x(8)}},
		{"just fits, without newline", text, x(8), []string{x(8)}},
		{"one too many", text, x(9) + "\n", []string{x(7) + "+", "xx"}},
		{"one too many, without newline", text, x(9), []string{x(7) + "+", "xx"}},
		{"two full parts", text, x(14) + "\n", []string{x(7) + "+", x(7)}},
		{"a last part is not as long as a whole line", text, x(15) + "\n", []string{x(7) + "+", x(7) + "+", "x"}},
		{"the next line is whole again", text, x(9) + "\n" + x(8) + "\n", []string{x(7) + "+", "xx", x(8)}},
		{"json: fits", object, x(24) + "\n", []string{x(24)}},
		{"json: one too many", object, x(25) + "\n", []string{x(9) + "+", x(16)}},
		{"json: just fits when it is escaped", object, x(22) + "\"\n", []string{x(22) + "\""}},
		{"json: one too many when it is escaped", object, x(23) + "\"", []string{x(9) + "+", x(14) + "\""}},
		{"json: a control character is six", object, "\x01\x01\x01\x01\n\x01\x01\x01\x01\x01\n", []string{"\x01\x01\x01\x01", "\x01+", "\x01\x01\x01\x01"}},
		{"json: a rune is not cut", object, "abcdefg€" + x(16), []string{"abcdefg+", "€" + x(16)}},
		{"json: nor one of four bytes", object, "abcdef\U0001F600" + x(16), []string{"abcdef+", "\U0001F600" + x(16)}},
		{"json: a cut before a rune", object, "abcdefghi€" + x(16), []string{"abcdefghi+", "€" + x(16)}},
	} {
		for _, chunk := range []int{1, 2, 3, 5, 100} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, chunk), func(t *testing.T) {
				var got []string
				for _, p := range splitAll(t, tt.split, []byte(tt.data), chunk) {
					got = append(got, p.String())
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
	}
}

func TestCompleteRunes(t *testing.T) {
	for _, tt := range []struct {
		data string
		want int
	}{
		{"", 0},
		{"abc", 3},
		{"a€", 4},
		{"a\xe2\x82", 1},
		{"a\xf0\x9f\x98", 1},
		{"\xf0", 0},
		{"a\xf0x", 3},
		{"a\x82\x82", 3}, // no beginning of one
		{"a\xff", 2},
	} {
		if got := completeRunes([]byte(tt.data)); got != tt.want {
			t.Errorf("%q: got %d, want %d", tt.data, got, tt.want)
		}
	}
}

// TestFit holds that the most is found that has room: as JSON it is not too large, and with one character more it is.
func TestFit(t *testing.T) {
	size := func(line []byte) int { return len(appendRest(nil, line, false)) - len(`""}`) - 1 }
	for _, line := range []string{
		strings.Repeat("x", 300), strings.Repeat("\x01", 300), strings.Repeat("\"", 300), strings.Repeat("€", 100),
		strings.Repeat("x", 100) + "\xff" + strings.Repeat("x", 200), strings.Repeat("\x01\xff€\t", 60), "x\xe2\x82",
	} {
		for room := 20; room < 900; room++ {
			n := fit([]byte(line), room)
			if got := size([]byte(line[:n])); got > room {
				t.Fatalf("%.20q, room %d: %d bytes become %d", line, room, n, got)
			}
			if n == len(line) {
				continue
			}
			_, more := utf8.DecodeRuneInString(line[n:])
			if got := size([]byte(line[:n+more])); got <= room {
				t.Fatalf("%.20q, room %d: got %d bytes, but %d become %d", line, room, n, n+more, got)
			}
		}
	}
}

// FuzzSplit holds that nothing is lost, added or moved, however the data arrives; that no part is too long, and none
// that goes on shorter than it must be; and that runes stay whole.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("abc\ndefghijklmnop\n\nq"), uint8(4), uint8(8), false)
	f.Add([]byte("äöü€\U0001F600äöü€\U0001F600\n"), uint8(1), uint8(6), true)
	f.Add([]byte("\xf0\x9f\x98\xf0\x9f\x98\x80\n\x80\x80\x80\x80\x80\x80\x80"), uint8(3), uint8(5), true)
	f.Fuzz(func(t *testing.T, data []byte, chunk, limit uint8, object bool) {
		s := splitter{whole: 6 + int(limit), part: 5 + int(limit)}
		if object {
			s = splitter{whole: 64 + int(limit), part: 49 + int(limit), json: true}
		}
		parts := splitAll(t, s, data, 1+int(chunk))
		if again := splitAll(t, s, data, len(data)+1); !slices.Equal(parts, again) {
			t.Errorf("in chunks: got %q, want %q", parts, again)
		}
		var joined []byte
		within := false
		for i, p := range parts {
			size := len(p.text)
			if object {
				size = len(appendRest(nil, []byte(p.text), false)) - len(`""}`) - 1
			}
			longest := s.whole
			if p.partial || within && !object {
				longest = s.part
			}
			if size > longest || p.partial && !object && size < s.part || p.partial && size == 0 {
				t.Errorf("part %d has %d bytes, want at most %d", i, size, longest)
			}
			if object && utf8.Valid(data) && !utf8.ValidString(p.text) {
				t.Errorf("part %d is cut inside a rune: %q", i, p.text)
			}
			joined = append(joined, p.text...)
			if within = p.partial; !within {
				joined = append(joined, '\n')
			}
		}
		if want := bytes.TrimSuffix(data, newline); !bytes.Equal(bytes.TrimSuffix(joined, newline), want) {
			t.Errorf("joined: got %q, want %q", joined, want)
		}
		if within {
			t.Error("the last part goes on")
		}
	})
}
