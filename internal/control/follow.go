package control

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"sort"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/log"
)

// A follow is a request that gets the lines of logs. It has one goroutine, that of its handler, however many daemons it
// follows: it waits for news, and then looks at all of them.
type follow struct {
	stream *stream
	all    []follower
	next   int // which is looked at first, so that none is always the last
}

// A follower reads one stream of a daemon.
type follower struct {
	daemon string
	*log.Follower
}

// ended is a context that has ended: with it Follower.Next does not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// last takes the last lines of all, and puts them into one order.
func (f *follow) last() []byte {
	type line struct {
		log.Line
		daemon string
	}
	var all []line
	for _, one := range f.all {
		lines, _, _ := one.Next(ended) // an error means that there are none
		for _, l := range lines {
			all = append(all, line{l, one.daemon})
		}
	}
	// Package slices would make 20 KB of code for this type.
	sort.SliceStable(all, func(i, j int) bool {
		if c := all[i].Time.Compare(all[j].Time); c != 0 {
			return c < 0
		}
		return all[i].daemon < all[j].daemon
	})
	var b []byte
	for i := range all {
		b = appendLine(b, all[i].daemon, &all[i].Line)
	}
	return b
}

// run writes lines as they come, until ctx or the server ends, or all logs do.
func (f *follow) run(ctx context.Context) {
	s := f.stream.s
	for {
		// In this order, so that nothing is overlooked that comes meanwhile.
		news := s.news.wait()
		closing := false
		select {
		case <-s.closing:
			closing = true
		default:
		}
		more, over, err := f.look(ctx)
		switch {
		case err != nil || over || closing && !more:
			return
		case more:
			continue
		}
		select {
		case <-news:
		case <-s.closing:
		case <-ctx.Done():
			return
		}
	}
}

// batch is about how many bytes are written at once. A client that does not read them occupies that much memory.
const batch = 64 << 10

// buffers are for batches. Followers are many, and most of them have nothing to write most of the time.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// look writes what has come, up to about a batch. It reports whether there was something, and whether all logs have ended.
func (f *follow) look(ctx context.Context) (more, over bool, err error) {
	var buf *[]byte
	if err := f.stream.s.follows.do(ctx, func() int {
		// Not before its turn: many wait for that at the same time, and each would hold a buffer meanwhile.
		buf = buffers.Get().(*[]byte)
		over = f.take(buf)
		return len(*buf)
	}); err != nil {
		return false, false, err
	}
	defer func() {
		*buf = (*buf)[:0]
		buffers.Put(buf)
	}()
	if len(*buf) == 0 {
		return false, over, nil
	}
	return true, false, f.stream.write(*buf)
}

// take appends what has come, up to about a batch. It reports whether all logs have ended.
func (f *follow) take(buf *[]byte) (over bool) {
	b := *buf
	defer func() { *buf = b }()
	over = true
	for range f.all {
		one := f.all[f.next]
		f.next = (f.next + 1) % len(f.all)
		lines, lost, err := one.Next(ended)
		over = over && errors.Is(err, io.EOF)
		if lost > 0 {
			b = appendLost(b, one.daemon, lost)
		}
		for i := range lines {
			b = appendLine(b, one.daemon, &lines[i])
		}
		if len(b) > batch {
			return false
		}
	}
	return over
}

// news tells those who follow that there may be new lines. Something runs for that only while there is somebody: for each
// log a goroutine that waits for lines, and one that wakes all followers, though not more often than every newsTime.
type news struct {
	mu    sync.Mutex
	n     int // who follows
	end   func()
	wake  chan struct{}
	fresh chan struct{} // capacity 1: a token means that there are new lines
}

// newsTime is how long lines wait, at most, to be told together with others.
const newsTime = 20 * time.Millisecond

func newNews() *news { return &news{wake: make(chan struct{}), fresh: make(chan struct{}, 1)} }

// wait returns the channel that is closed when there are new lines.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wake
}

// join is called by who begins to follow.
func (n *news) join(daemons map[string]Daemon) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.n++; n.n > 1 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.end = cancel
	go n.tell(ctx) // ends when the last one leaves, as those below
	for _, d := range daemons {
		for _, l := range d.Logs {
			go n.watch(ctx, l.Follow(0))
		}
	}
}

// leave is called by who does not follow any more.
func (n *news) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.n--; n.n == 0 {
		n.end()
	}
}

// watch notes that there are new lines of one log.
func (n *news) watch(ctx context.Context, f *log.Follower) {
	for {
		err := f.Skip(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case n.fresh <- struct{}{}:
		default:
		}
		if err != nil || pause(ctx, newsTime) != nil { // the log has ended
			return
		}
	}
}

// tell wakes those who follow.
func (n *news) tell(ctx context.Context) {
	for {
		select {
		case <-n.fresh:
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		close(n.wake)
		n.wake = make(chan struct{})
		n.mu.Unlock()
		if pause(ctx, newsTime) != nil {
			return
		}
	}
}

// appendLine appends a line as a client.LogLine. encoding/json would make several times as much work and garbage of it,
// and here is where that counts.
func appendLine(b []byte, daemon string, l *log.Line) []byte {
	b = appendHead(b, l.Time, daemon)
	if l.Stream != "" {
		b = append(append(append(b, `,"stream":"`...), l.Stream...), '"')
	}
	b = appendQuoted(append(b, `,"line":`...), l.Text)
	if !utf8.Valid(l.Text) {
		b = append(b, `,"bytes":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, l.Text), '"')
	}
	if l.Partial {
		b = append(b, `,"partial":true`...)
	}
	return append(b, '}', '\n')
}

// appendLost appends the client.LogLine that says how many lines are missing.
func appendLost(b []byte, daemon string, lost int) []byte {
	b = appendHead(b, time.Now(), daemon)
	b = append(b, `,"line":"","lost":`...)
	return append(append(b, strconv.Itoa(lost)...), '}', '\n')
}

func appendHead(b []byte, t time.Time, daemon string) []byte {
	b = t.UTC().AppendFormat(append(b, `{"time":"`...), time.RFC3339Nano)
	return appendQuoted(append(b, `","daemon":`...), []byte(daemon))
}

// appendQuoted appends a JSON string, with U+FFFD for what is not UTF-8.
func appendQuoted(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for len(s) > 0 {
		n := 0
		for n < len(s) && s[n] >= ' ' && s[n] != '"' && s[n] != '\\' && s[n] < utf8.RuneSelf {
			n++
		}
		b, s = append(b, s[:n]...), s[n:]
		if len(s) == 0 {
			break
		}
		c := s[0]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s)
			b, s = utf8.AppendRune(b, r), s[size:]
			continue
		}
		switch s = s[1:]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(b, '"')
}
