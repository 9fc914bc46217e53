package control

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/events"
	"github.com/bot-bottle/sidecar-init/internal/jobs"
	"github.com/bot-bottle/sidecar-init/internal/proc"
	"github.com/bot-bottle/sidecar-init/internal/sampler"
	"github.com/bot-bottle/sidecar-init/log"
	"github.com/bot-bottle/sidecar-init/root"
)

// Options are what a Server speaks of, and speaks to.
type Options struct {
	// Paths are the places for the socket: the first one that can be made is used. client.DefaultSockets is the default.
	Paths []string
	// Spare is one more place, if it is not empty, for where the last one of Paths is taken by somebody else: not by a supervisor
	// of our user, to which commands would speak first. client.SpareSocket is the default.
	Spare string
	// Root is the bundle.
	Root actor.Ref[root.Msg]
	// Logs returns what a daemon writes, and what the steps before and beside it do.
	Logs func(*child.Status) []*log.Stream
	// Reloader reloads the bundle; nil means that it cannot be.
	Reloader Reloader
	// Jobs keeps the jobs; nil means that there are none.
	Jobs *jobs.Keeper
	// Transient reports whether a daemon is in no file, and when its time is over, if that is limited; nil means that there are none.
	Transient func(*child.Status) (transient bool, expires time.Time)
	// Wall reports whether a daemon has a wall, and how its private variables are kept from others; nil means that there are none.
	Wall func(*child.Status) (wall bool, private string)
	// Control says what the processes of a daemon may ask; nil means everything.
	Control func(*child.Status) bundle.Control
	// Has reports whether a process, which is a child of ours, was started for a daemon, and whether one is being started: until
	// it has been, the answer may be wrong (peer.Family). It comes with Control.
	Has func(s *child.Status, child proc.Stat) (has, starting bool)
	// Private reports whether what a daemon writes may have something in it that is private; nil means that it never has.
	Private func(*child.Status) bool
	// Absent returns the names of services that the bundle's file has and that do not run; nil means none.
	Absent func() []string
	// Events are the events; nil means that there are none.
	Events *events.Hub
	// Source is the source of events.
	Source string
	// Metrics writes the metrics; nil means that there are none. The statuses are those of all daemons.
	Metrics func(w io.Writer, all []child.Status)
	// Own is what the supervisor itself writes; nil where nobody is to read it.
	Own *log.Stream
	// Cgroup tells what a daemon uses that has a control group of its own; nil where none has.
	Cgroup func(*child.Status) (cgroup.Usage, bool)
	// Leaf is the daemon in whose control group a process is; "" if it is in none of them. Moves reports whether a daemon could move
	// processes into the group of another.
	Leaf  func(pid int) string
	Moves func(*child.Status) bool
	// Usage tells what daemons use; nil means a Sampler of its own.
	Usage *sampler.Sampler
	// Idle, unless nil, is called each time when the last connection has been closed. It must not block.
	Idle func()
	// Printf writes a line of the supervisor's log. It must not block.
	Printf func(format string, a ...any)

	writeTime time.Duration // for each piece of an answer; 0 means writeTime
}

// The limits. A client that needs more is no client of ours.
const (
	maxConns  = 400              // open connections
	maxLong   = 256              // requests that wait or stream
	maxHeader = 8 << 10          // bytes, to which net/http adds 4096
	maxBody   = 4 << 10          // bytes
	maxDaemon = 64 << 10         // bytes of a body that defines a daemon
	readTime  = 5 * time.Second  // for a whole request
	writeTime = 10 * time.Second // for each piece of an answer
	idleTime  = 30 * time.Second // between requests
	endTime   = 30 * time.Millisecond
)

// A Server answers at the control socket, or, if NewMetrics made it, at a TCP address. Its shape is that of oklog/run.
type Server struct {
	o        Options
	http     *http.Server
	listener net.Listener
	remove   func() // the socket file
	conns    *conns
	answers  pacer
	follows  pacer
	tails    pacer
	judges   pacer
	flight   flight
	news     *news

	closing chan struct{}
	once    sync.Once
	long    chan struct{} // has a token for each request that waits or streams
	streams streams
}

// New makes the control socket at the first of the paths where that is possible. The error says why it is not possible at
// the last one. Nobody is answered before Run.
func New(o Options) (*Server, error) {
	s := newServer(o)
	l, remove, err := listen(s.o.Paths, s.o.Spare)
	if err != nil {
		return nil, err
	}
	s.listener, s.remove = s.conns.listener(l, true), remove
	s.http.Handler = s.wrap(s.routes())
	return s, nil
}

// NewMetrics listens at a TCP address, to answer GET /metrics and nothing else.
func NewMetrics(addr string, o Options) (*Server, error) {
	s := newServer(o)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s.listener, s.remove = s.conns.listener(l, false), func() {}
	mux := http.NewServeMux()
	s.handle(mux, "GET /metrics", s.metrics)
	s.handle(mux, "/", s.notFound)
	s.http.Handler = s.wrap(mux)
	return s, nil
}

func newServer(o Options) *Server {
	if o.Usage == nil {
		o.Usage = &sampler.Sampler{}
	}
	if o.writeTime == 0 {
		o.writeTime = writeTime
	}
	if o.Printf == nil {
		o.Printf = func(string, ...any) {}
	}
	s := &Server{o: o, conns: newConns(), answers: newPacer(answerRest), follows: newPacer(followRest), tails: newPacer(tailRest), judges: newPacer(judgeRest), news: newNews(), closing: make(chan struct{}), long: make(chan struct{}, maxLong)}
	s.conns.idle = o.Idle
	s.streams.ended = make(chan struct{})
	s.http = &http.Server{
		ReadTimeout:    readTime,
		IdleTimeout:    idleTime,
		MaxHeaderBytes: maxHeader,
		ConnContext:    s.conns.context,
		ConnState:      s.conns.state,
		// What it would print are the mistakes of clients. Those of ours are printed by wrap.
		ErrorLog: stdlog.New(io.Discard, "", 0),
	}
	return s
}

// Addr is where the server listens: the path of the socket, or the TCP address.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run answers until Close.
func (s *Server) Run() error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }() // ends when the listener is closed
	select {
	case err := <-served:
		s.Close()
		s.finish()
		return err
	case <-s.closing:
	}
	s.finish()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// finish cuts all connections, after those that stream have had a moment to write what they have.
func (s *Server) finish() {
	s.remove()
	s.listener.Close()
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case <-s.streams.end():
	case <-timer.C:
	}
	s.http.Close()
	s.conns.close()
}

// Close makes Run return. It may be called more than once, and before Run.
func (s *Server) Close() { s.once.Do(func() { close(s.closing) }) }

// streams counts the answers that stream.
type streams struct {
	mu     sync.Mutex
	n      int
	ending bool
	ended  chan struct{} // closed when the last one has ended and no more begins
}

func (s *streams) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return errEnded
	}
	s.n++
	return nil
}

func (s *streams) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
	if s.ending && s.n == 0 {
		close(s.ended)
	}
}

// end lets no more begin. The channel is closed when the last one has ended. It is called once.
func (s *streams) end() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	if s.n == 0 {
		close(s.ended)
	}
	return s.ended
}

// statuses asks root for the status of all daemons.
func (s *Server) statuses(ctx context.Context) ([]child.Status, error) {
	return ask(ctx, s.o.Root, func(r actor.Reply[[]child.Status]) root.Msg { return root.List{Reply: r} })
}
