package control

import (
	"container/heap"
	"context"
	"encoding/base64"
	"strconv"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/jsontext"
	"github.com/bot-bottle/sidecar-init/log"
)

// A follow is a request that gets the lines of logs. It has one goroutine, that of its handler, however many daemons it
// follows: it waits for news, and then looks at all of them.
type follow struct {
	stream *stream
	all    []follower
	next   int // which is looked at first, so that none is always the last

	ended *jobs.Run // the run whose output it is, when that is over
}

// A follower reads one stream of a daemon.
type follower struct {
	daemon string
	*log.Follower
	until time.Time // what comes after it is of no interest; zero means that all is
}

// append appends what comes next, if there is something.
func (f *follower) append(p *piece) bool {
	line, lost, ok := f.Take(p.line)
	switch {
	case !ok:
	case lost > 0:
		p.out = appendLost(p.out, f.daemon, lost)
	default:
		p.line = line.Text
		if f.until.IsZero() || !line.Time.After(f.until) {
			p.out = appendLine(p.out, f.daemon, &line)
		}
	}
	return ok
}

// A merge puts the lines of several followers into one order. It is a heap of those that have one, by its time; the lines
// themselves stay where they are until it is their turn.
type merge []merged

type merged struct {
	*follower
	time time.Time
}

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merge) Less(i, j int) bool {
	if c := m[i].time.Compare(m[j].time); c != 0 {
		return c < 0
	}
	return m[i].daemon < m[j].daemon
}
func (m *merge) Push(x any) { *m = append(*m, x.(merged)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// last writes the last lines of all, in one order: those that there were when the request came.
func (f *follow) last() error {
	var all merge
	for i := range f.all {
		if t, ok := f.all[i].Old(); ok {
			all = append(all, merged{&f.all[i], t})
		}
	}
	heap.Init(&all)
	for len(all) > 0 {
		if err := f.stream.send(f.stream.s.tails, func(p *piece) {
			for len(all) > 0 && len(p.out) < pieceSize {
				first := &all[0]
				first.append(p)
				var ok bool
				if first.time, ok = first.Old(); ok {
					heap.Fix(&all, 0)
				} else {
					heap.Pop(&all)
				}
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// run writes lines as they come, until ctx or the server ends, or all logs do; or the run does whose output it is. It then has written
// what there was. The error is that of the connection, or ctx's.
func (f *follow) run(ctx context.Context, run <-chan jobs.Run) error {
	s := f.stream.s
	for {
		// In this order, so that nothing is overlooked that comes meanwhile.
		news := s.news.wait()
		closing := f.ended != nil
		select {
		case <-s.closing:
			closing = true
		default:
		}
		more, over := f.ready()
		if over && run == nil || closing && !more {
			return nil
		}
		if more {
			if err := f.stream.send(s.follows, f.take); err != nil {
				return err
			}
			continue
		}
		select {
		case <-news:
		case r, ok := <-run:
			if !ok { // nobody will tell
				return errEnded
			}
			f.ended = &r
			for i := range f.all {
				f.all[i].until = r.Ended
			}
		case <-s.closing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ready reports whether something has come, and whether all logs have ended.
func (f *follow) ready() (more, over bool) {
	over = true
	for i := range f.all {
		ready, ended := f.all[i].Ready()
		if ready {
			return true, false
		}
		over = over && ended
	}
	return false, over
}

// take appends what has come, up to about a piece.
func (f *follow) take(p *piece) {
	for range f.all {
		one := &f.all[f.next]
		f.next = (f.next + 1) % len(f.all)
		for one.append(p) {
			if len(p.out) >= pieceSize {
				return
			}
		}
	}
}

// news tells those who follow that there may be new lines. Something runs for that only while there is somebody: for each
// log a goroutine that waits for lines, and one that wakes all followers, though not more often than every newsTime.
type news struct {
	mu    sync.Mutex
	n     int // who follows
	end   func()
	logs  map[*log.Stream]*watched
	wake  chan struct{}
	fresh chan struct{} // capacity 1: a token means that there are new lines
}

// watched is a log that somebody follows.
type watched struct {
	n   int // who follows it
	end func()
}

// newsTime is how long lines wait, at most, to be told together with others.
const newsTime = 20 * time.Millisecond

func newNews() *news {
	return &news{logs: map[*log.Stream]*watched{}, wake: make(chan struct{}), fresh: make(chan struct{}, 1)}
}

// wait returns the channel that is closed when there are new lines.
func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wake
}

// join is called by who begins to follow these logs.
func (n *news) join(logs []*log.Stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.n++; n.n == 1 {
		var ctx context.Context
		ctx, n.end = context.WithCancel(context.Background())
		go n.tell(ctx) // ends when the last one leaves
	}
	for _, l := range logs {
		w := n.logs[l]
		if w == nil {
			ctx, cancel := context.WithCancel(context.Background())
			w = &watched{end: cancel}
			n.logs[l] = w
			go n.watch(ctx, l.Follow(0)) // ends when the last one leaves it
		}
		w.n++
	}
}

// leave is called by who does not follow them any more.
func (n *news) leave(logs []*log.Stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range logs {
		if w := n.logs[l]; w != nil {
			if w.n--; w.n == 0 {
				w.end()
				delete(n.logs, l)
			}
		}
	}
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
	b, valid := jsontext.Append(append(b, `,"line":`...), l.Text)
	if !valid {
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
	b, _ = jsontext.Append(append(b, `","daemon":`...), []byte(daemon))
	return b
}
