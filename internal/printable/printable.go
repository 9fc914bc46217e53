// Package printable makes text from elsewhere safe to print: in a line of the log, a status, an error message.
//
// Whoever chooses the text (a server that answers a probe, a program that prints its last line, the author of a bundle file) must not be
// able to move the cursor, forge a line, change the writing direction or fill the screen.
//
// Guarantees: the result is valid UTF-8 of printable characters and plain spaces, on one line. Text that already is, and is short
// enough, is returned unchanged.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max is the length of the longest text that Text and Cut return, in bytes.
const Max = 200

// Text is s on one line, without what is not printable, cut to Max bytes.
func Text(s string) string { return Cut(strings.TrimSpace(Line(Cut(s)))) }

// Line is s on one line: each character that is not printable (those that steer a terminal, also U+0080 to U+009F; those
// that have no width, or turn the direction of the writing) becomes a space, and each byte that is not UTF-8 becomes U+FFFD.
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

const ellipsis = "…"

// Cut is s, or if it is longer than Max bytes its beginning, with an ellipsis in place of the rest.
func Cut(s string) string {
	if len(s) <= Max {
		return s
	}
	end := Max - len(ellipsis)
	for n := 1; n < utf8.UTFMax && !utf8.RuneStart(s[end]); n++ {
		end--
	}
	return s[:end] + ellipsis
}
