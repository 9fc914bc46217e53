package log

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/jsontext"
)

// The encoder is written by hand because encoding/json costs 0.6 MB of resident memory in a process whose whole
// budget is 7 MB, and because a line is arbitrary bytes, of which it would keep no record.

// appendRest appends the value of "line" or "msg", and what follows it in the object.
func appendRest(dst, line []byte, partial bool) []byte {
	dst, valid := jsontext.Append(dst, line)
	if partial {
		dst = append(dst, partialMark...)
	}
	if !valid {
		dst = append(dst, `,"bytes":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, line)
		dst = append(dst, '"')
	}
	return append(dst, '}', '\n')
}

// fit returns how many bytes at the start of s appendRest can write in room bytes, what stands around every line not
// counted. It does not divide a UTF-8 sequence.
func fit(s []byte, room int) int {
	quoted, valid := 0, true
	for i := 0; i < len(s); {
		n := jsontext.Plain(s[i:])
		if n == 0 {
			size, more, ok := quotedSize(s[i:])
			if sizeOf(quoted+more, i+size, valid && ok) > room {
				return i
			}
			i, quoted, valid = i+size, quoted+more, valid && ok
			continue
		}
		all := n
		for n > 0 {
			over := sizeOf(quoted+n, i+n, valid) - room
			if over <= 0 {
				break
			}
			n -= max(1, over/3) // a byte is at most one and four thirds, so this is never too much
		}
		i, quoted = i+n, quoted+n
		if n < all {
			return i
		}
	}
	return len(s)
}

// sizeOf returns what appendRest makes of a line of n bytes, which are quoted ones in the string.
func sizeOf(quoted, n int, valid bool) int {
	if !valid {
		quoted += len(`,"bytes":""`) + base64.StdEncoding.EncodedLen(n)
	}
	return quoted
}

// quotedSize returns how many bytes the first character of s has, how many jsontext.Append makes of it, and whether it is
// valid UTF-8. It is none that stands for itself in ASCII.
func quotedSize(s []byte) (size, quoted int, valid bool) {
	switch c := s[0]; {
	case c == '"' || c == '\\' || c == '\t' || c == '\r' || c == '\n':
		return 1, 2, true
	case c < ' ':
		return 1, len(`\u0000`), true
	}
	r, size := utf8.DecodeRune(s)
	return size, utf8.RuneLen(r), r != utf8.RuneError || size > 1
}
