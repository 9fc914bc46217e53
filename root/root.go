// Package root runs a bundle: it starts daemons in order, turns signals and commands into messages to them, stops them
// within one deadline, and computes the exit code.
//
// Guarantees:
//
//  1. Run returns when every daemon is dead with none to be restarted, or after a shutdown; at the latest 150 ms after the
//     deadline, whatever the daemons do. What is left of the process groups of dead daemons is ended too.
//  2. A shutdown can come at any moment and always wins; nothing is started after it.
//  3. A daemon starts only when its dependencies hold. It is stopped after its dependents, but has had its stop signal by
//     half of the grace period in any case.
//  4. The end is decided from facts: every child actor has said that it is gone. What root knows of a daemon's state is a
//     projection, and counts only once the child has seen all that root has told it.
//  5. Nothing process-global happens: no signal handler, no wait for children. Signals are messages; whoever wants those
//     of the process sends them (cmd/sidecar-init does).
//
// A [Root] is an actor: talk to it through Ref, by [Signal], [Shutdown], [Do], [List], [Await] and [Update]; or by its methods, which do that and
// wait for the answer.
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

// DefaultGrace is the time from the first shutdown signal to SIGKILL: 2 s less than Docker gives a container.
const DefaultGrace = 8 * time.Second

// killWait is how long after the deadline Run waits for killed daemons to be gone.
const killWait = 150 * time.Millisecond

// A Config describes a bundle.
type Config struct {
	// Daemons are the daemons, in the order in which they start.
	Daemons []Daemon
	// Specs are further daemons, of which there is nothing but the Spec.
	Specs []child.Spec
	// Spawner starts their processes; nil means child.Exec{}.
	Spawner child.Spawner
	// Grace is the time from the first shutdown signal to SIGKILL; 0 means DefaultGrace.
	Grace time.Duration
	// Routes says what a signal does, besides SIGTERM, SIGINT and SIGQUIT, which always end the bundle.
	Routes map[syscall.Signal]Route
	// Reload is called for a route with Reload. It must not block. It may be nil.
	Reload func()
	// ExitCodeFrom names the daemon whose exit code is that of the bundle; empty means the largest of all.
	ExitCodeFrom string
	// Observe is told every event, on the goroutine of the actor that it happens to: several at the same time, those of
	// one daemon in order. It must not block. It may be nil.
	Observe func(child.Event)
}

// A Route is what a signal to the supervisor does.
type Route struct {
	Forward []string // the daemons that get the signal too
	Restart []string // the daemons that are restarted in place
	Absent  []string // daemons that the route names and that do not run in this bundle; told in a line
	// Reload calls Config.Reload.
	Reload bool
	// Shutdown ends the bundle, as SIGTERM does, after what the other fields say.
	Shutdown bool
}

// A Root is the actor of a bundle. Make one with [New] and call Run once.
type Root struct {
	cfg   Config
	actor *actor.Actor[Msg]
	nodes []*node
	// waiting are those that have not been told to start, and a few that have.
	waiting []*node
	phase   phase

	turn     *node     // is being started; the next one has its turn after it
	turnEnds time.Time // at the latest

	children errgroup.Group // joined at the end
	updates  []Update       // wait until a daemon that they name has left
	held     bool           // an Update has changed the set, and nothing has ended since: all dead is no end of the bundle

	ran    atomic.Bool
	began  time.Time // of the shutdown
	grace  time.Duration
	giveUp time.Time // on who outlives SIGKILL
	code   *int      // the exit code, where a critical daemon or a panic decides it
	soFar  atomic.Int32
	err    error
	awaits []Await
}

type phase int

const (
	up       phase = iota
	stopping       // every child has been, or will be, told to end
	killing        // every child has been told to die
)

// New checks cfg and returns its bundle, not yet started. The error has all that is wrong with cfg, each a *[ConfigError]: a
// daemon without a name or command, two with one name, a dependency, route or ExitCodeFrom that names none, a cycle of
// dependencies, an unknown policy or condition, a negative time.
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

// queueLimit is how many messages of outsiders may wait: more than there are signals.
const queueLimit = 256

// Ref returns the reference by which the bundle is spoken to.
func (r *Root) Ref() actor.Ref[Msg] { return r.actor.Ref() }

// Run starts the daemons, supervises them, and returns the exit code of the bundle when it has ended. The error is not
// nil where something else went wrong: an actor panicked, or daemons outlived SIGKILL; or it is [ErrRun], of a second call.
func (r *Root) Run() (code int, err error) {
	if r.ran.Swap(true) {
		return internalError, ErrRun
	}
	// errgroup is the join of the children only: without a context, since the end of one is no reason to cancel others.
	for _, n := range r.nodes {
		r.run(n)
	}
	_ = r.actor.Ref().Tell(begin{})
	err = r.actor.Run((*handler)(r))
	var panicked *actor.PanicError
	if errors.As(err, &panicked) {
		for _, n := range r.nodes { // nobody decides any more: end them all
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
		err = r.children.Wait() // all have said that they are gone
	}
	if r.err != nil {
		err = r.err
	}
	return r.exitCode(), err
}

// internalError is EX_SOFTWARE of sysexits.h.
const internalError = 70

// ExitCode returns, once the shutdown has begun, the exit code as it would be if all that lives were killed now: for a caller that
// cannot wait for Run any longer. It may be called at any time.
func (r *Root) ExitCode() int { return int(r.soFar.Load()) }

// exitCode is the largest result of all daemons, or that of the one that was chosen. What is alive we kill, which counts 0.
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
		mainDead := s.State == child.StateStopping && s.PID == 0 && s.Step == "" // others of its group are left
		if !s.State.Alive() || mainDead {
			code = max(code, n.status.Result)
		}
	}
	return code
}

// Statuses returns the last known status of each daemon, in the order of their start. It must not be called while Run
// runs: ask by [List] then.
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
