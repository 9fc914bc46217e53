package log

import (
	"bytes"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/jsontext"
)

// stamp is RFC 3339 with exactly nine digits for the fraction of a second: time.RFC3339Nano drops trailing zeros, and columns would
// not line up.
const stamp = "2006-01-02T15:04:05.000000000Z"

// A stdStream is stdout or stderr, or 0 if they share a pipe.
type stdStream uint8

const (
	stdoutStream stdStream = iota + 1
	stderrStream
)

func (s stdStream) String() string { return [...]string{"", "stdout", "stderr"}[s] }

// A frame formats lines. The header, which is the same for all lines of a chunk, is made once per chunk.
type frame struct {
	json  bool
	time  bool
	fixed string
	max   int // Options.MaxLine
}

// An ending says how an output line ends.
type ending uint8

const (
	whole ending = iota // it is complete
	cut                 // it will be continued, because the line was too long
	held                // it will be continued, because the line has waited for its end
)

// endingOf returns the ending of a line, or of a part of a line that is too long.
func endingOf(partial bool) ending {
	if partial {
		return cut
	}
	return whole
}

// The marks of a line that is continued, in [Text] and in [JSON]. In [Text] only a held line has a mark. A part of a line that is
// too long has the bytes as they were written, so the parts can be recognized by their length alone and joined again.
const (
	heldMark    = ` \`
	partialMark = `,"partial":true`
)

// newFrame returns the frame for lines of a daemon; stream is 0 if stdout and stderr share a pipe.
func newFrame(o Options, daemon string, stream stdStream) frame {
	if o.Format != JSON {
		return frame{time: o.Timestamps, fixed: "[" + daemon + "] ", max: o.MaxLine}
	}
	fixed, _ := jsontext.Append([]byte(`,"daemon":`), []byte(daemon))
	if stream != 0 {
		fixed = append(fixed, `,"stream":"`+stream.String()+`"`...)
	}
	return frame{json: true, time: true, fixed: string(fixed) + `,"line":`, max: o.MaxLine}
}

// newOwnFrame returns the frame for the supervisor's own lines.
func newOwnFrame(o Options) frame {
	if o.Format != JSON {
		return frame{time: o.Timestamps, fixed: o.Source + ": ", max: o.MaxLine}
	}
	return frame{json: true, time: true, fixed: `,"msg":`, max: o.MaxLine}
}

// splitter returns a splitter for lines that this frame formats.
func (f *frame) splitter() splitter {
	overhead := len(f.header(nil, time.Time{}))
	if f.json {
		overhead += len(`""}`) + 1
	}
	return newSplitter(f.max-overhead, f.json)
}

// header appends the header of a line.
func (f *frame) header(dst []byte, now time.Time) []byte {
	if f.json {
		dst = append(dst, `{"time":"`...)
	}
	if f.time {
		dst = now.UTC().AppendFormat(dst, stamp)
	}
	switch {
	case f.json:
		dst = append(dst, '"')
	case f.time:
		dst = append(dst, ' ')
	}
	return append(dst, f.fixed...)
}

// line appends an output line: header and line, which may be a part, as the format requires.
func (f *frame) line(dst, header, line []byte, end ending) []byte {
	dst = append(dst, header...)
	if f.json {
		return appendRest(dst, line, end != whole)
	}
	dst = append(dst, line...)
	if end == held {
		dst = append(dst, heldMark...)
	}
	return append(dst, '\n')
}

// copyLines appends lines from the start of data, as long as they are complete, at most limit bytes long with their newline, and
// fit into one write. The first scanned bytes of data have no newline. It returns dst, and the numbers of bytes and lines that it
// has taken from data. In Text nearly all lines take this path; line and splitter.next together take twice as long for short
// lines.
func (f *frame) copyLines(dst, header, data []byte, scanned, limit int) (b []byte, used, lines int) {
	for {
		i := bytes.IndexByte(data[used+scanned:], '\n')
		n := scanned + i + 1
		if i < 0 || n > limit || len(dst)+len(header)+n > writeSize {
			return dst, used, lines
		}
		at := len(dst)
		dst = dst[:at+len(header)+n]
		copy(dst[at:], header)
		copy(dst[at+len(header):], data[used:used+n])
		used += n
		lines++
		scanned = 0
	}
}
