package control

import (
	"context"
	"sync"
)

// What clients are sent is made of little and can be a lot: a status of three hundred bytes for each of a thousand daemons, a
// line of sixteen kilobytes of which each byte is written as six. So it is not what is kept that must be bounded but what
// becomes of it, for all clients together: those that do not read take their time.
const (
	// pieceSize is about how many bytes are written to a client at once. As many times maxLong are maxFlight.
	pieceSize = 16 << 10
	// sendBuffer is what the kernel is to take for a client before it reads; it takes twice as much, and a piece fits where a
	// quarter of that is used.
	sendBuffer = 32 << 10
	// maxFlight is how many bytes are on their way to all clients together, besides what the kernel has.
	maxFlight = 4 << 20
	// freeSize is what counts as nothing: a status, an error. net/http has that much for each connection anyway.
	freeSize = 4 << 10
)

// A flight counts the bytes that are on their way to clients.
type flight struct {
	mu   sync.Mutex
	used int
	room chan struct{} // closed when there is more room; nil if nobody waits
}

// take waits until there is room for n bytes, or nothing else is on its way, and takes that until give.
func (f *flight) take(ctx context.Context, n int) error {
	if n <= freeSize {
		return nil
	}
	for {
		f.mu.Lock()
		if f.used == 0 || f.used+n <= maxFlight {
			f.used += n
			f.mu.Unlock()
			return nil
		}
		if f.room == nil {
			f.room = make(chan struct{})
		}
		room := f.room
		f.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give gives n bytes back.
func (f *flight) give(n int) {
	if n <= freeSize {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used -= n
	if f.room != nil {
		close(f.room)
		f.room = nil
	}
}

// A piece is what a stream writes at once.
type piece struct {
	out  []byte
	line []byte // a line of a daemon that is being encoded
}

// pieces are for those who have something to write. Followers are many, and most of them have nothing most of the time.
var pieces = sync.Pool{New: func() any { return new(piece) }}

// release lets others use the memory of a piece, unless it had to become large.
func (p *piece) release() {
	if cap(p.out) <= 4*pieceSize && cap(p.line) <= 4*pieceSize {
		p.out, p.line = p.out[:0], p.line[:0]
		pieces.Put(p)
	}
}
