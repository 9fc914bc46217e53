// Package root runs a bundle: it starts daemons in order, turns signals and commands into messages to them, stops them all
// within one deadline, and computes the exit code.
//
// Guarantees:
//
//  1. Run returns when all daemons have exited and none will be restarted, or after a shutdown, at the latest 150 ms after the
//     deadline, whatever the daemons do. Remaining members of the process groups of dead daemons are ended too. A daemon that
//     was stopped by hand can be started again, so it keeps the bundle alive.
//  2. A shutdown is possible at any moment and always wins. Nothing is started after it.
//  3. A daemon is started only when its dependencies hold. It is stopped after its dependents, but gets its stop signal at the
//     latest after half of the grace period.
//  4. Run returns only after every child actor has reported its end, unless a daemon outlives SIGKILL or root itself panics.
//     Root's copy of a daemon's state can be out of date. It decides about the end only once the child has handled every
//     message that root has sent.
//  5. Root has no effect on the whole process: it installs no signal handler and does not wait for children that are not its
//     own. Signals are messages, which the program sends for the signals that it receives (as cmd/sidecar-init does).
//
// A [Root] is an actor: send it messages through [Root.Ref] ([Signal], [Shutdown], [Do], [List], [Await], [Update]), or call its
// methods, which send a message and wait for the answer.
package root

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
)

// DefaultGrace is the default grace period: the time from the first shutdown signal to SIGKILL. It is 2 s less than docker stop
// allows.
const DefaultGrace = 8 * time.Second

// killWait is how long after the deadline Run waits for killed daemons to exit.
const killWait = 150 * time.Millisecond

// A Config describes a bundle.
type Config struct {
	// Daemons are the daemons, in the order in which they start.
	Daemons []Daemon
	// Specs lists more daemons, each like a [Daemon] with only Spec set. They come after Daemons.
	Specs []child.Spec
	// Spawner starts the processes; nil means [child.Exec]{}.
	Spawner child.Spawner
	// Grace is the time from the first shutdown signal to SIGKILL; 0 means [DefaultGrace].
	Grace time.Duration
	// Routes says what signals do, except SIGTERM, SIGINT and SIGQUIT, which always shut the bundle down.
	Routes map[syscall.Signal]Route
	// Reload, if not nil, is called for a [Route] with Reload. It must not block.
	Reload func()
	// ExitCodeFrom names the daemon, or service, whose exit code is the bundle's; empty means the largest of all daemons.
	ExitCodeFrom string
	// Observe, if not nil, is called for every event, on the goroutine of the actor concerned: concurrently for several daemons,
	// in order for one daemon. It must not block.
	Observe func(child.Event)
}

// A Route says what a signal to the supervisor does.
type Route struct {
	Forward []string // the daemons to which the signal is forwarded
	Restart []string // the daemons that are restarted in place
	Absent  []string // daemons that this bundle does not run although the file names them; each gives an EventIgnored
	// Reload calls Config.Reload.
	Reload bool
	// Shutdown ends the bundle as SIGTERM does, after the other fields have taken effect.
	Shutdown bool
}

// A Root is the actor of a bundle. Create one with [New] and call [Root.Run] once.
type Root struct {
	cfg   Config
	actor *actor.Actor[Msg]
	nodes []*node
	// waiting has all nodes that were not told to start yet, and possibly some that were.
	waiting []*node
	phase   phase

	turn     *node     // the daemon being started; the next one is started after it
	turnEnds time.Time // when the next one is started at the latest

	children errgroup.Group // waited for at the end
	updates  []Update       // delayed until a daemon of the same name has left
	held     bool           // no daemon has ended since an Update without MayEnd: the bundle stays although all are dead

	ran    atomic.Bool
	began  time.Time // when the shutdown began
	grace  time.Duration
	giveUp time.Time // when Run returns although a daemon has outlived SIGKILL
	code   *int      // the exit code, if a critical daemon or a panic has decided it
	soFar  atomic.Int32
	err    error
	awaits []Await
}

type phase int

const (
	serving  phase = iota
	stopping       // every child was or will be told to end
	killing        // every child was sent child.Kill
)

// New checks cfg and returns its bundle, which is not started yet. The error joins all mistakes in cfg, each as a *[ConfigError]: a
// daemon without a name or command, two daemons of the same name, a dependency, route or ExitCodeFrom that names no daemon, a
// cycle of dependencies, an unknown policy or condition, a negative time.
func New(cfg Config) (*Root, error) {
	if cfg.Spawner == nil {
		cfg.Spawner = child.Exec{}
	}
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Observe == nil {
		cfg.Observe = func(child.Event) {}
	}
	for _, spec := range cfg.Specs {
		cfg.Daemons = append(cfg.Daemons[:len(cfg.Daemons):len(cfg.Daemons)], Daemon{Spec: spec})
	}
	d := definition{grace: cfg.Grace, routes: cfg.Routes, exitCodeFrom: cfg.ExitCodeFrom}
	for i := range cfg.Daemons {
		d.specs = append(d.specs, &cfg.Daemons[i].Spec)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	r := &Root{cfg: cfg, actor: actor.New[Msg](queueLimit)}
	for _, d := range cfg.Daemons {
		r.nodes = append(r.nodes, r.add(d))
	}
	r.link()
	r.waiting = slices.Clone(r.nodes)
	return r, nil
}

// queueLimit is the number of queued messages from which Offer is refused. It is larger than the number of signals.
const queueLimit = 256

// Ref returns the reference through which messages are sent to the bundle.
func (r *Root) Ref() actor.Ref[Msg] { return r.actor.Ref() }

// Run starts the daemons, supervises them, and returns the exit code of the bundle when it has ended. The error is not nil if an
// actor panicked, daemons outlived SIGKILL, or Run was called twice ([ErrRun]).
func (r *Root) Run() (code int, err error) {
	if r.ran.Swap(true) {
		return internalError, ErrRun
	}
	// The errgroup only waits for the children. It has no context, because the end of one is no reason to cancel the others.
	for _, n := range r.nodes {
		r.run(n)
	}
	_ = r.actor.Ref().Tell(begin{})
	err = r.actor.Run((*handler)(r))
	var panicked *actor.PanicError
	if errors.As(err, &panicked) {
		for _, n := range r.nodes { // nothing supervises them any more, so kill them all
			_ = n.ref.Tell(child.Kill{})
		}
		joined := make(chan struct{})
		go func() {
			_ = r.children.Wait()
			close(joined)
		}()
		select {
		case <-joined:
		case <-time.After(killWait):
		}
		return internalError, err
	}
	if r.err == nil || errors.As(r.err, &panicked) {
		err = r.children.Wait() // all have reported their end
	}
	if r.err != nil {
		err = r.err
	}
	return r.exitCode(), err
}

// internalError is the exit code after an internal error: EX_SOFTWARE of sysexits.h.
const internalError = 70

// ExitCode returns, once the shutdown has begun, the exit code that Run would return if everything that is alive were killed now.
// Before, it returns 0. It is for a caller that cannot wait for Run any longer, and may be called from any goroutine.
func (r *Root) ExitCode() int { return int(r.soFar.Load()) }

// exitCode returns the largest result of all daemons, or that of the daemons of ExitCodeFrom. A daemon that is alive will be killed
// by the supervisor, which counts as 0.
func (r *Root) exitCode() int {
	if r.code != nil {
		return *r.code
	}
	nodes := slices.DeleteFunc(slices.Clone(r.nodes), func(n *node) bool { return n.leaving != stays || n.spec.Job != "" })
	if r.cfg.ExitCodeFrom != "" {
		nodes = r.find(r.cfg.ExitCodeFrom)
	}
	code := 0
	for _, n := range nodes {
		s := &n.status
		mainDead := s.State == child.StateStopping && s.PID == 0 && s.Step == "" // only other members of its process group are left
		if !s.State.Alive() || mainDead {
			code = max(code, n.status.Result)
		}
	}
	return code
}

// Statuses returns the last known status of each daemon, in the order in which they start. It must not be called during Run; use
// [Root.List] then.
func (r *Root) Statuses() []child.Status {
	all := make([]child.Status, len(r.nodes))
	for i, n := range r.nodes {
		all[i] = n.status
		all[i].Data = n.Data
		if n.status.State == child.StateWaiting {
			all[i].Reason = n.waits
		}
	}
	return all
}
