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
	Partial bool      // the next Line of this Stream continues it: it was too long, or its end came late
}

// headSize is the size of the header of a record in a ring: time (8 bytes), length (4), flags (4).
const headSize = 16

// partialFlag is set in the flags of a record beside its stdStream.
const partialFlag = 1 << 8

// A ring keeps the last lines of a [Stream]. Lines that were read at once are one record, so the pump copies once per chunk, and
// only a reader looks for newlines. The oldest record is shortened line by line to make room.
type ring struct {
	mu     sync.Mutex
	max    int    // bytes to keep
	buf    []byte // circular; grows up to max
	head   int    // where the oldest record begins
	size   int    // bytes of all records
	end    uint64 // bytes of all records ever, and of the gaps between them
	lines  uint64 // all lines ever
	last   int64  // when the latest one was read, in Unix nanoseconds; 0 before any
	wake   chan struct{}
	closed bool
}

// init sets the capacity, as in StreamOptions.Ring. Any line of up to longest bytes fits.
func (r *ring) init(size, longest int) {
	if size == 0 {
		size = DefaultRing
	}
	if size > 0 {
		r.max = max(size, headSize+longest+1)
	}
}

// add keeps data, which is lines lines: each with its newline, except that the last one of a life and a part have none.
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
		r.size = 0 // lines before the gap would look as if these followed them
		r.end++    // so that who has read everything before the gap is before what is kept, too
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

// lineEnd returns where the line ends, newline included, that data[at-1] belongs to.
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

// put copies b to position at, which may be beyond the end of buf.
func (r *ring) put(at int, b []byte) {
	at %= len(r.buf)
	n := copy(r.buf[at:], b)
	copy(r.buf, b[n:])
}

// get appends the n bytes at position at to dst.
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

// shorten takes lines of at least over bytes from the oldest record, and returns how many bytes it became shorter.
func (r *ring) shorten(over int, nanos int64, flags uint32, n int) int {
	for i := over - 1; i < n-1; {
		// The data may go round the end of buf, so the newline is searched for in one straight piece after the other.
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

// start is the position of the oldest record. The caller holds the lock, as of all that follow.
func (r *ring) start() uint64 { return r.end - uint64(r.size) }

// pieces returns the n bytes at this position, which may go round the end of buf.
func (r *ring) pieces(pos uint64, n int) (first, second []byte) {
	at := (r.head + int(pos-r.start())) % max(1, len(r.buf))
	if more := at + n - len(r.buf); more > 0 {
		return r.buf[at:], r.buf[:more]
	}
	return r.buf[at : at+n], nil
}

// A cursor is a place between two lines of a ring. It remains valid when the ring changes; what it stands for may be gone
// then.
type cursor struct {
	pos   uint64 // of the next line, or of the head of its record
	left  int    // bytes of the record from pos on; 0: a head comes
	nanos int64  // from the head
	flags uint32
}

// gone reports whether the line that comes next is not kept any more.
func (c *cursor) gone(r *ring) bool {
	start := r.start()
	return c.pos < start || c.left > 0 && c.pos < start+headSize
}

// line returns the length of the next line, without its newline. There is none at the end. The line must not be gone.
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

// pass goes over the next line, which has n bytes.
func (c *cursor) pass(n int) {
	n = min(n+1, c.left) // the newline, if it has one
	c.pos += uint64(n)
	c.left -= n
}

// kept counts the lines that are kept.
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

// Tail returns the last n lines that were read, the oldest first; fewer if there are not as many, and all that are
// kept if n is less than 0. It makes no difference which life of the process they are from.
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

// Rate is how many lines a second were read in the time before now, or since the oldest that is kept, if that is later.
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
		if first && r.start() > 0 { // what was before it is gone
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
