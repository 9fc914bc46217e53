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
	runes bool // do not cut inside a UTF-8 sequence
	cut   bool // data begins within a line that has been cut
}

// newSplitter returns a splitter for lines in front of which overhead bytes are written.
func newSplitter(overhead int, runes bool) splitter {
	// A prefix as long as the limit would leave no room; such a name gets lines that are longer than MaxLine.
	whole := max(MaxLine-overhead, 1024)
	return splitter{whole: whole, part: whole - 1, runes: runes}
}

// next finds the first line or part in data, of which the first scanned bytes are known to hold no newline. It is
// data[:n], and the next one begins at data[used:]; partial says that it goes on there. Without ok more data is
// needed; data is then at most whole bytes long.
func (s *splitter) next(data []byte, scanned int) (n, used int, partial, ok bool) {
	limit := s.whole
	if s.cut {
		limit = s.part
	}
	// A newline beyond the limit is of no interest yet: without it the search for the parts of an endless line
	// would be quadratic.
	if i := bytes.IndexByte(data[scanned:min(len(data), limit+1)], '\n'); i >= 0 {
		s.cut = false
		return scanned + i, scanned + i + 1, false, true
	}
	if len(data) <= limit {
		return 0, 0, false, false
	}
	n = s.part
	if s.runes {
		n = runeCut(data, n)
	}
	s.cut = true
	return n, n, true, true
}

// runeCut returns the largest cut <= n that does not divide a UTF-8 sequence of data, or n where there is none.
func runeCut(data []byte, n int) int {
	for i := n; i > n-utf8.UTFMax; i-- {
		if !utf8.RuneStart(data[i]) {
			continue
		}
		if _, size := utf8.DecodeRune(data[i:]); i+size > n || !utf8.FullRune(data[i:]) {
			return i
		}
		break
	}
	return n
}
