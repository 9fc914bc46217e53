package log

import (
	"bytes"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/jsontext"
)

// stamp is RFC 3339 with exactly nine digits: time.RFC3339Nano drops trailing zeros, and columns would not line up.
const stamp = "2006-01-02T15:04:05.000000000Z"

// stdStream tells stdout from stderr where they do not share a pipe.
type stdStream uint8

const (
	stdoutStream stdStream = iota + 1
	stderrStream
)

func (s stdStream) String() string { return [...]string{"", "stdout", "stderr"}[s] }

// A frame puts what belongs around a line. What is the same for all lines of a chunk is made once, as its header.
type frame struct {
	json  bool
	time  bool
	fixed string
	max   int // Options.MaxLine
}

// An ending says how a line that is written ends.
type ending uint8

const (
	whole ending = iota // with its newline
	cut                 // it goes on, because it was too long
	held                // it goes on, because it has waited for its end
)

// endingOf is the ending of a line that may be a part of one that is too long.
func endingOf(partial bool) ending {
	if partial {
		return cut
	}
	return whole
}

// What tells in each format that a line goes on. In [Text] a part of a line that is too long has no mark: it is as it was
// written, so that the parts can be joined again by their length alone.
const (
	heldMark    = ` \`
	partialMark = `,"partial":true`
)

// newFrame returns the frame for lines of a daemon; stream is empty where both share a pipe.
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

// splitter returns a splitter for lines in this frame.
func (f *frame) splitter() splitter {
	overhead := len(f.header(nil, time.Time{}))
	if f.json {
		overhead += len(`""}`) + 1
	}
	return newSplitter(f.max-overhead, f.json)
}

// header appends what stands before each line.
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

// line appends a line, or a part of one.
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

// copyLines appends lines from the start of data, of which the first scanned bytes hold no newline, as long as they
// are whole, at most limit bytes long, and fit into one write. It returns how many bytes of data and lines that was. In
// Text this is the way of nearly all lines; line and splitter.next together take twice as long for short ones.
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
