package printable

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	long := strings.Repeat("x", Max)
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "HTTP 503: Überlast — 雪", "HTTP 503: Überlast — 雪"},
		{"lines", "one\r\nsidecar-init: exit 0\n", "one  sidecar-init: exit 0"},
		{"escape sequence", "\x1b[2Jgone\x07", "[2Jgone"},
		{"tab and delete", "a\tb\x7fc", "a b c"},
		{"eight-bit control", "a\u009b31mb", "a 31mb"},
		{"direction of the writing", "a\u202eb\u2066c", "a b c"},
		{"no width", "a\u200bb\ufeffc", "a b c"},
		{"other spaces and line ends", "a\u00a0b\u2028c\u2029d", "a b c d"},
		{"private use", "a\ue000b", "a b"},
		{"not UTF-8", "a\xffb\xc3", "a\uFFFDb\uFFFD"},
		{"as long as may be", long, long},
		{"too long", long + "y", long[:Max-3] + "…"},
		{"cut before a character of two bytes", long[:Max-4] + "üüü", long[:Max-4] + "…"},
		{"cut before a character of four bytes", long[:Max-6] + "🙂🙂", long[:Max-6] + "…"},
		{"not UTF-8 at the cut", long[:Max-10] + strings.Repeat("\x80", 20), long[:Max-10] + "\uFFFD…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Text(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[1m\xff")
	f.Add(strings.Repeat("\xff", Max))
	f.Add(strings.Repeat("雪", Max))
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if len(got) > Max || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q became %q", s, got)
		}
		if again := Text(got); again != got {
			t.Errorf("%q became %q, and that %q", s, got, again)
		}
	})
}
