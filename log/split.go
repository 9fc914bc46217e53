package log

import (
	"bytes"
	"unicode/utf8"
)

// A splitter finds the lines in the output from one pipe, and cuts lines that are too long.
//
// A line is cut only once there is a byte more than fits, so a part that is to be continued is always followed by another.
type splitter struct {
	whole int  // the length of the longest line that is not cut
	part  int  // the length of the longest part of a line that is cut
	json  bool // both are lengths of the line encoded as JSON, and no UTF-8 sequence is cut
	cut   bool // data begins within a line of which a part was sent off, because it was cut or has waited
}

// maxGrowth is the largest number of bytes that a byte becomes in [JSON]: six if it is escaped and, if the line is not valid
// UTF-8, four thirds more in base64. The rest, two thirds, is more than the key and quotes of the base64 need, given the lengths
// for which it is used.
const maxGrowth = 8

// newSplitter returns a splitter for output lines that have room bytes left, beside what is the same for every line.
func newSplitter(room int, json bool) splitter {
	// A prefix as long as the limit would leave no room. The lines of a daemon with such a name exceed the limit.
	s := splitter{whole: max(room, MinMaxLine/4), json: json}
	s.part = s.whole - 1
	if json {
		s.part = s.whole - len(partialMark)
	}
	return s
}

// next finds the first line, or part of a line, in data, whose first scanned bytes have no newline. It is data[:n], and the next
// one begins at data[used:]; partial reports that the next one continues it. If ok is false, more data is needed; data is then at
// most whole bytes long.
func (s *splitter) next(data []byte, scanned int) (n, used int, partial, ok bool) {
	limit := s.whole
	if s.cut && !s.json {
		limit = s.part
	}
	// A newline beyond the limit does not matter yet. Searching further for each part of an endless line would take quadratic
	// time.
	i := bytes.IndexByte(data[scanned:min(len(data), limit+1)], '\n')
	switch {
	case i < 0 && len(data) <= limit:
		return 0, 0, false, false
	case i < 0:
		i = len(data)
	case s.fits(data[:scanned+i]):
		s.cut = false
		return scanned + i, scanned + i + 1, false, true
	default:
		i += scanned
	}
	n = s.part
	if s.json {
		n = fit(data[:i], s.part)
	}
	s.cut = true
	return n, n, true, true
}

// fits reports whether a line, which is not longer than the limit, need not be cut.
func (s *splitter) fits(line []byte) bool {
	return !s.json || len(line) <= s.whole/maxGrowth || fit(line, s.whole) == len(line)
}

// last finds the first part of data, which is a last line without newline. It is data[:n]; partial reports that the line does not
// fit into one part.
func (s *splitter) last(data []byte) (n int, partial bool) {
	if s.fits(data) {
		s.cut = false
		return len(data), false
	}
	s.cut = true
	return fit(data, s.part), true
}

// held returns how many bytes of an incomplete line, which is not longer than the limit, are sent off as a part because it has
// waited for its end: no more than fit, and without an incomplete UTF-8 sequence at the end, unless there is nothing else.
func (s *splitter) held(line []byte) int {
	s.cut = true
	if n := completeRunes(line); n > 0 {
		line = line[:n]
	}
	if s.json {
		return fit(line, s.part)
	}
	if room := s.whole - len(heldMark); len(line) > room {
		return completeRunes(line[:room])
	}
	return len(line)
}

// completeRunes returns the length of s without an incomplete UTF-8 sequence at its end, if there is one.
func completeRunes(s []byte) int {
	for i := len(s) - 1; i >= max(0, len(s)-utf8.UTFMax+1); i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRune(s[i:]) {
				return i
			}
			break
		}
	}
	return len(s)
}
