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
	if len(begun) > 0 {
		parts = append(parts, part{string(begun), false})
	}
	return parts
}

func TestSplit(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	text := splitter{whole: 8, part: 7}
	runes := splitter{whole: 8, part: 7, runes: true}
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
		{"a rune is not cut", runes, "abcdeä€\n", []string{"abcdeä+", "€"}},
		{"a rune of four bytes", runes, "abcd\U0001F600xyz\n", []string{"abcd+", "\U0001F600xyz"}},
		{"a cut before a rune", runes, "abcdefg€\n", []string{"abcdefg+", "€"}},
		{"no rune, so cut anywhere", runes, "abcd\x80\x80\x80\x80\x80\n", []string{"abcd\x80\x80\x80+", "\x80\x80"}},
		{"an incomplete rune", runes, "abcdef\xf0x\xf0\xf0\n", []string{"abcdef\xf0+", "x\xf0\xf0"}},
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

func TestRuneCut(t *testing.T) {
	for _, tt := range []struct {
		data string
		n    int
		want int
	}{
		{"abcdef", 4, 4},
		{"abc€", 3, 3},
		{"abc€", 4, 3},
		{"abc€", 5, 3},
		{"ab\U0001F600c", 5, 2},
		{"\x80\x80\x80\x80\x80\x80", 4, 4},
		{"abc\xf0\x9f", 4, 3},  // what follows is not known
		{"ab\xf0\x9fcd", 3, 3}, // no rune
	} {
		if got := runeCut([]byte(tt.data), tt.n); got != tt.want {
			t.Errorf("runeCut(%q, %d): got %d, want %d", tt.data, tt.n, got, tt.want)
		}
	}
}

// FuzzSplit holds that nothing is lost, added or moved, however the data arrives; that no part is too long, and none
// that goes on shorter than it must be; and that runes stay whole.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("abc\ndefghijklmnop\n\nq"), uint8(4), uint8(8), false)
	f.Add([]byte("äöü€\U0001F600äöü€\U0001F600\n"), uint8(1), uint8(6), true)
	f.Add([]byte("\xf0\x9f\x98\xf0\x9f\x98\x80\n\x80\x80\x80\x80\x80\x80\x80"), uint8(3), uint8(5), true)
	f.Fuzz(func(t *testing.T, data []byte, chunk, limit uint8, runes bool) {
		s := splitter{whole: 6 + int(limit), part: 5 + int(limit), runes: runes}
		parts := splitAll(t, s, data, 1+int(chunk))
		if again := splitAll(t, s, data, len(data)+1); !runes && !slices.Equal(parts, again) {
			t.Errorf("in chunks: got %q, want %q", parts, again)
		}
		var joined []byte
		within := false
		for i, p := range parts {
			longest, shortest := s.whole, 0
			if p.partial || within {
				longest = s.part
			}
			if p.partial {
				shortest = s.part
				if runes {
					shortest -= utf8.UTFMax - 1
				}
			}
			if len(p.text) > longest || len(p.text) < shortest {
				t.Errorf("part %d has %d bytes, want %d to %d", i, len(p.text), shortest, longest)
			}
			if runes && utf8.Valid(data) && !utf8.ValidString(p.text) {
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
