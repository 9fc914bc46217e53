package log

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/jsontext"
)

// The encoder is written by hand because encoding/json costs 0.6 MB of resident memory in a process whose whole budget is 7 MB, and
// because a line can be any bytes, and encoding/json would replace invalid UTF-8 without a record of the original bytes.

// appendRest appends the value of "line" or "msg", and the rest of the object after it.
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

// fit returns how many bytes at the start of s appendRest can encode in room bytes, not counting what is the same for every line.
// It does not divide a UTF-8 sequence.
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
			n -= max(1, over/3) // a byte becomes at most one and four thirds bytes, so this never removes too much
		}
		i, quoted = i+n, quoted+n
		if n < all {
			return i
		}
	}
	return len(s)
}

// sizeOf returns the size of what appendRest writes for a line of n bytes, which take quoted bytes in the JSON string.
func sizeOf(quoted, n int, valid bool) int {
	if !valid {
		quoted += len(`,"bytes":""`) + base64.StdEncoding.EncodedLen(n)
	}
	return quoted
}

// quotedSize returns the number of bytes of the first character of s, the number of bytes that jsontext.Append writes for it, and
// whether it is valid UTF-8. The character must not be one that jsontext.Plain counts.
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
