package log

import (
	"bytes"
	"unicode/utf8"
)

// A splitter finds the lines of one pipe, and cuts those that are too long.
//
// A line is cut only once there is a byte more than fits, so a part that goes on is always followed by another.
type splitter struct {
	whole int  // the longest line that is not cut
	part  int  // the longest part of one that is
	json  bool // both are for what becomes of the line as JSON, and no UTF-8 sequence is cut
	cut   bool // data begins within a line that has been cut, or of which a part has left for another reason
}

// maxGrowth is what a byte becomes in [JSON] at most: six where it is escaped, and where the line is not valid UTF-8 four
// thirds more as base64. What that has around it is less than the rest for lines as long as are looked at.
const maxGrowth = 8

// newSplitter returns a splitter for lines that have so much room beside what is written around each.
func newSplitter(room int, json bool) splitter {
	// A prefix as long as the limit would leave no room; such a name gets lines that are longer.
	s := splitter{whole: max(room, MinMaxLine/4), json: json}
	s.part = s.whole - 1
	if json {
		s.part = s.whole - len(partialMark)
	}
	return s
}

// next finds the first line or part in data, of which the first scanned bytes are known to hold no newline. It is
// data[:n], and the next one begins at data[used:]; partial says that it goes on there. Without ok more data is
// needed; data is then at most whole bytes long.
func (s *splitter) next(data []byte, scanned int) (n, used int, partial, ok bool) {
	limit := s.whole
	if s.cut && !s.json {
		limit = s.part
	}
	// A newline beyond the limit is of no interest yet: without it the search for the parts of an endless line
	// would be quadratic.
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

// fits reports whether a line that is not longer than the limit need not be cut.
func (s *splitter) fits(line []byte) bool {
	return !s.json || len(line) <= s.whole/maxGrowth || fit(line, s.whole) == len(line)
}

// last finds the first part of the last line of data, which has no newline. It is data[:n], and partial says that it
// does not fit into one.
func (s *splitter) last(data []byte) (n int, partial bool) {
	if s.fits(data) {
		s.cut = false
		return len(data), false
	}
	s.cut = true
	return fit(data, s.part), true
}

// held returns how much of a line that has begun, and is not longer than the limit, leaves as a part because it has waited
// for its end: no more than has room, and no UTF-8 sequence that is incomplete, unless there is nothing else.
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

// completeRunes returns how many bytes of s come before a UTF-8 sequence at its end that is incomplete, if there is one.
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
