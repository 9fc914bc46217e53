package log

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"
)

// A Line is a line that a daemon wrote.
type Line struct {
	Time    time.Time // when it was read, in UTC
	Stream  string    // "stdout" or "stderr"; empty if both share a pipe
	Text    []byte    // the bytes as they were written, without newline
	Partial bool      // the next Line of the same pipe continues it, because it was too long or its end came late
}

// headSize is the size in bytes of the header of a record in a ring: time (8 bytes), length (4), flags (4).
const headSize = 16

// partialFlag is a flag of a record that is a part of a line. The low bits of the flags are its stdStream.
const partialFlag = 1 << 8

// A ring is a ring buffer with the last lines of a [Stream]. Lines that were read at once are one record, so the pump copies once
// per chunk, and only readers search for newlines. To make room, the oldest record is shortened by whole lines.
type ring struct {
	mu     sync.Mutex
	max    int    // the largest size of buf
	buf    []byte // circular; grows up to max
	head   int    // where the oldest record begins
	size   int    // bytes of all records in buf
	end    uint64 // the position after the last record: bytes of all records ever, and of the gaps between them
	lines  uint64 // the number of lines ever added
	last   int64  // when the latest line was read, in Unix nanoseconds; 0 if none was
	wake   chan struct{}
	closed bool
}

// init sets the capacity as StreamOptions.Ring says, but such that any line of up to longest bytes fits.
func (r *ring) init(size, longest int) {
	if size == 0 {
		size = DefaultRing
	}
	if size > 0 {
		r.max = max(size, headSize+longest+1)
	}
}

// add adds data, which has this number of lines, as a record. Each line has its newline, except a part and the last line of a life.
func (r *ring) add(now time.Time, kind stdStream, partial bool, data []byte, lines int) {
	if lines == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines, r.last = r.lines+uint64(lines), now.UnixNano()
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
	if r.max == 0 {
		return
	}
	if over := headSize + len(data) - r.max; over > 0 {
		data = data[lineEnd(data, over):]
		r.size = 0 // the lines before the gap would seem to be directly followed by these
		r.end++    // so that a reader that has read everything before the gap notices the gap
	}
	r.reserve(headSize + len(data))
	flags := uint32(kind)
	if partial {
		flags |= partialFlag
	}
	r.put(r.head+r.size, head(now.UnixNano(), flags, len(data)))
	r.put(r.head+r.size+headSize, data)
	r.size += headSize + len(data)
	r.end += uint64(headSize + len(data))
}

// lineEnd returns the end of the line to which data[at-1] belongs, including its newline.
func lineEnd(data []byte, at int) int {
	i := bytes.IndexByte(data[at-1:], '\n')
	if i < 0 {
		return len(data)
	}
	return at + i
}

func head(nanos int64, flags uint32, n int) []byte {
	b := make([]byte, 0, headSize)
	b = binary.LittleEndian.AppendUint64(b, uint64(nanos))
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return binary.LittleEndian.AppendUint32(b, flags)
}

func parseHead(b []byte) (nanos int64, flags uint32, n int) {
	return int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint32(b[12:]), int(binary.LittleEndian.Uint32(b[8:]))
}

// put copies b into buf at position at, modulo the length of buf.
func (r *ring) put(at int, b []byte) {
	at %= len(r.buf)
	n := copy(r.buf[at:], b)
	copy(r.buf, b[n:])
}

// get appends the n bytes of buf at position at, modulo the length of buf, to dst.
func (r *ring) get(dst []byte, at, n int) []byte {
	at %= len(r.buf)
	if first := len(r.buf) - at; n > first {
		return append(append(dst, r.buf[at:]...), r.buf[:n-first]...)
	}
	return append(dst, r.buf[at:at+n]...)
}

// reserve makes room for need bytes.
func (r *ring) reserve(need int) {
	if total := r.size + need; total > len(r.buf) && len(r.buf) < r.max {
		grown := make([]byte, min(r.max, max(total, 2*len(r.buf), 512)))
		if r.size > 0 {
			r.get(grown[:0], r.head, r.size)
		}
		r.buf, r.head = grown, 0
	}
	for {
		over := r.size + need - len(r.buf)
		if over <= 0 {
			return
		}
		var space [headSize]byte
		nanos, flags, n := parseHead(r.get(space[:0], r.head, headSize))
		gone := headSize + n
		if over < n {
			gone = r.shorten(over, nanos, flags, n)
		}
		r.head = (r.head + gone) % len(r.buf)
		r.size -= gone
	}
}

// shorten removes lines of at least over bytes from the oldest record, or all of it, and returns how many bytes it has removed.
func (r *ring) shorten(over int, nanos int64, flags uint32, n int) int {
	for i := over - 1; i < n-1; {
		// The data may wrap around the end of buf, so the newline is searched for in one contiguous piece after the other.
		at := (r.head + headSize + i) % len(r.buf)
		piece := r.buf[at:min(len(r.buf), at+n-1-i)]
		j := bytes.IndexByte(piece, '\n')
		if j < 0 {
			i += len(piece)
			continue
		}
		gone := i + j + 1
		r.put(r.head+gone, head(nanos, flags, n-gone))
		return gone
	}
	return headSize + n
}

// start returns the position of the oldest record. The caller holds the lock, as for pieces, kept and the methods of cursor.
func (r *ring) start() uint64 { return r.end - uint64(r.size) }

// pieces returns the n bytes at this position, in two pieces if they wrap around the end of buf.
func (r *ring) pieces(pos uint64, n int) (first, second []byte) {
	at := (r.head + int(pos-r.start())) % max(1, len(r.buf))
	if more := at + n - len(r.buf); more > 0 {
		return r.buf[at:], r.buf[:more]
	}
	return r.buf[at : at+n], nil
}

// A cursor is a position between two lines of a ring. It remains valid when the ring changes, but the next line may no longer be
// kept then.
type cursor struct {
	pos   uint64 // the position of the next line, or of the header of its record
	left  int    // the bytes of the record from pos on; 0 if a header follows
	nanos int64  // from the header
	flags uint32
}

// gone reports whether the next line is no longer kept.
func (c *cursor) gone(r *ring) bool {
	start := r.start()
	return c.pos < start || c.left > 0 && c.pos < start+headSize
}

// line returns the length of the next line, without its newline. At the end of the ring ok is false. The line must not be gone.
func (c *cursor) line(r *ring) (n int, ok bool) {
	for c.left == 0 {
		if c.pos == r.end {
			return 0, false
		}
		var space [headSize]byte
		first, second := r.pieces(c.pos, headSize)
		c.nanos, c.flags, c.left = parseHead(append(append(space[:0], first...), second...))
		c.pos += headSize
	}
	first, second := r.pieces(c.pos, c.left)
	if i := bytes.IndexByte(first, '\n'); i >= 0 {
		return i, true
	}
	if i := bytes.IndexByte(second, '\n'); i >= 0 {
		return len(first) + i, true
	}
	return c.left, true
}

// pass advances the cursor past the next line, which has n bytes without its newline.
func (c *cursor) pass(n int) {
	n = min(n+1, c.left) // the newline, if it has one
	c.pos += uint64(n)
	c.left -= n
}

// kept returns the number of lines that are kept.
func (r *ring) kept() (lines int) {
	c := cursor{pos: r.start()}
	for {
		if _, ok := c.line(r); !ok {
			return lines
		}
		first, second := r.pieces(c.pos, c.left)
		lines += bytes.Count(first, newline) + bytes.Count(second, newline)
		if len(second) > 0 {
			first = second
		}
		if first[len(first)-1] != '\n' {
			lines++
		}
		c.pos, c.left = c.pos+uint64(c.left), 0
	}
}

// Tail returns the last n lines that were read, the oldest first: fewer if fewer are kept, and all that are kept if n is
// negative. They can be from several processes of the daemon.
func (s *Stream) Tail(n int) []Line {
	f := s.Follow(n)
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	var lines []Line
	for {
		line, _, ok := f.take(nil)
		if !ok {
			return lines
		}
		lines = append(lines, line)
	}
}

// Rate returns the number of lines per second that were read in the period of length within before now. If older lines of the
// period are no longer kept, it begins with the oldest line that is kept.
func (s *Stream) Rate(now time.Time, within time.Duration) float64 {
	r := &s.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	from, lines := now.Add(-within).UnixNano(), 0
	var space [headSize]byte
	for at, first := 0, true; at+headSize <= r.size; first = false {
		nanos, flags, n := parseHead(r.get(space[:0], r.head+at, headSize))
		body := at + headSize
		at = body + n
		if nanos < from {
			continue
		}
		if first && r.start() > 0 { // earlier lines are gone, so the period begins here
			from = nanos
		}
		a, b := r.pieces(r.start()+uint64(body), n)
		lines += bytes.Count(a, newline) + bytes.Count(b, newline)
		if flags&partialFlag != 0 {
			lines++
		}
	}
	return float64(lines) / max(time.Duration(now.UnixNano()-from).Seconds(), 0.001)
}
