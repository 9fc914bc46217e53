package log

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// The encoder is written by hand because encoding/json costs 0.6 MB of resident memory in a process whose whole
// budget is 7 MB, and because a line is arbitrary bytes, of which it would keep no record.

// appendRest appends the value of "line" or "msg", and what follows it in the object.
func appendRest(dst, line []byte, partial bool) []byte {
	dst, valid := appendQuoted(dst, line)
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

// appendQuoted appends s as a JSON string, with U+FFFD for each byte that is not valid UTF-8, and reports whether
// there was none. It escapes what RFC 8259 demands and nothing more: log readers search for "<" and "&" as they are.
func appendQuoted(dst, s []byte) (b []byte, valid bool) {
	const hex = "0123456789abcdef"
	valid = true
	dst = append(dst, '"')
	for {
		n := plain(s)
		dst = append(dst, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			return append(dst, '"'), valid
		}
		switch c := s[0]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			r, size := utf8.DecodeRune(s)
			if r == utf8.RuneError && size == 1 {
				valid = false
			}
			dst = utf8.AppendRune(dst, r)
			s = s[size-1:]
		}
		s = s[1:]
	}
}

// fit returns how many bytes at the start of s appendRest can write in room bytes, what stands around every line not
// counted. It does not divide a UTF-8 sequence.
func fit(s []byte, room int) int {
	quoted, valid := 0, true
	for i := 0; i < len(s); {
		n := plain(s[i:])
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

// quotedSize returns how many bytes the first character of s has, how many appendQuoted makes of it, and whether it is
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

// plain returns how many bytes at the start of s are ASCII and stand for themselves in a JSON string. It looks at
// eight bytes at once, which is about four times as fast as one after the other.
func plain(s []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i : i+8])
		quote, slash := x^ones*'"', x^ones*'\\'
		// Each term has the high bit of a byte set if that byte is not ASCII, below ' ', a quote or a backslash; a
		// borrow can set one too many, but only above a byte that is one of them.
		if (x|(x-ones*' ')|(quote-ones)|(slash-ones))&high != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}
