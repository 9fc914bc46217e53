package child

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
)

// A Msg is a message to a [Child]: a [Command], a [Fact], or one of its own about its process.
type Msg interface{ childMsg() }

// Messages to a [Child].
type (
	// Start starts a daemon that waits or is dead. One that is being stopped is started again afterwards. A job runs once, unless a
	// run is in progress; Trigger says what started it, and Argv, if not nil, replaces [Program.Argv]. For a daemon both are empty.
	Start struct {
		Trigger Trigger
		Argv    []string
	}
	// Skip ends the wait of a daemon that can never be started; Reason says why. It counts as exit code 1.
	Skip struct{ Reason string }
	// Terminate stops the daemon with its stop signal. Final means that the bundle ends, as with [Retire]. The daemon is then killed
	// only after its [Spec.StopGrace], if it has one, or when the sender sends [Kill]; Half is the time that [Spec.PreStop] may take.
	Terminate struct {
		Final bool
		Half  time.Duration
	}
	// Retire says that the bundle ends: nothing is started any more, a restart that is due is cancelled, and the [Child] ends
	// when its process does. It stops neither a live daemon nor the remaining process group of a dead one; while any process is left,
	// the Child waits for [Terminate] or [Kill].
	Retire struct{}
	// Restart stops the daemon, if it is alive, and starts it again. Restarts that arrive before the start are one.
	Restart struct{}
	// Signal sends Sig to the main process; without one it is dropped. With Wait, a daemon that is not ready yet gets it when it is.
	// Reply, which may be the zero Reply, is answered with nil if the signal was sent or waits, else with the reason why not.
	Signal struct {
		Sig   syscall.Signal
		Wait  bool
		Reply actor.Reply[error]
	}
	// Kill sends SIGKILL at once. The daemon is not started again.
	Kill struct{}
	// Pause freezes the process and everything that it has started, if it is in a control group of its own ([Freezer]); Unpause thaws
	// them. Reply, which may be the zero Reply, is answered with nil, or with the reason why it was not possible.
	Pause   struct{ Reply actor.Reply[error] }
	Unpause struct{ Reply actor.Reply[error] }
	// Revise gives the daemon a new definition. The process keeps running, under the rules of Spec. With Restart it is stopped by the
	// rules of the old definition and the program of Spec is started; a daemon that has exited by itself is started too. One that was
	// stopped by hand stays stopped, unless Start is also set.
	Revise struct {
		Spec           *Spec
		Restart, Start bool
	}
	// Ready says that the process of generation Gen is ready, or healthy again. The generation counts the attempts to start a
	// process, from 1; it is [Status.Gen].
	Ready struct{ Gen uint64 }
	// Unhealthy says that the process of generation Gen fails its health check; Reason says how.
	Unhealthy struct {
		Gen    uint64
		Reason string
	}
	// Stopping says that the process of generation Gen is about to exit by itself. If it has not by the end of its grace period, it
	// is killed.
	Stopping struct{ Gen uint64 }
	// Extend says that the process of generation Gen, which is being stopped, asks for By from now before SIGKILL, within
	// [MaxExtended]. It does not delay [Kill].
	Extend struct {
		Gen uint64
		By  time.Duration
	}
	// Note says that the process of generation Gen has described itself by Text, which is [Status.Reason] if there is no better
	// one.
	Note struct {
		Gen  uint64
		Text string
	}
)

// Facts that the helper goroutines post.
type (
	spawned struct {
		gen  uint64
		proc Process
		err  error
	}
	exited struct {
		gen    uint64
		exit   Exit
		left   bool // others of its process group live
		strays bool // others that it has started live, wherever
	}
	emptied   struct{ gen uint64 } // the process group
	stepsDone struct {
		gen  uint64
		step StepKind
		err  error
	}
)

func (Start) childMsg()     {}
func (Skip) childMsg()      {}
func (Terminate) childMsg() {}
func (Retire) childMsg()    {}
func (Restart) childMsg()   {}
func (Signal) childMsg()    {}
func (Kill) childMsg()      {}
func (Pause) childMsg()     {}
func (Unpause) childMsg()   {}
func (Revise) childMsg()    {}
func (Ready) childMsg()     {}
func (Unhealthy) childMsg() {}
func (Stopping) childMsg()  {}
func (Extend) childMsg()    {}
func (Note) childMsg()      {}
func (spawned) childMsg()   {}
func (exited) childMsg()    {}
func (emptied) childMsg()   {}
func (stepsDone) childMsg() {}

// counts reports whether m is counted in Status.Seen.
func counts(m Msg) bool {
	switch m.(type) {
	case Start, Skip, Terminate, Retire, Restart, Signal, Pause, Unpause, Kill, Revise:
		return true
	}
	return false
}

// Hooks are what a [Child] calls, on its own goroutine. They must not block.
type Hooks struct {
	// Status gets the daemon's status after each message that was handled. It may be nil.
	Status func(Status)
	// Event gets each event as it happens, before the status that follows from it. It may be nil.
	Event func(Event)
}

// A Child is the actor that owns one daemon. Make one with [New] and call Run.
type Child struct {
	actor   *actor.Actor[Msg]
	m       *machine
	spawner Spawner
	hooks   Hooks
	proc    Process         // the present life's, or the last one's until it is released
	dead    bool            // proc has been waited for
	ignore  func()          // ends the watch of its process group
	cease   func()          // ends the steps that run
	steps   <-chan struct{} // closed when the last ones are gone; nil before there were any
	seen    uint64
	reply   actor.Reply[error] // to the message that is being handled
	unsent  error              // why the first signal that it caused was not sent
}

// queueLimit is how many messages may wait before Ref().Offer is refused.
const queueLimit = 64

// New returns the actor of the daemon that spec describes; it waits for [Start].
func New(spec *Spec, spawner Spawner, hooks Hooks) *Child {
	if hooks.Status == nil {
		hooks.Status = func(Status) {}
	}
	if hooks.Event == nil {
		hooks.Event = func(Event) {}
	}
	return &Child{
		actor: actor.New[Msg](queueLimit), m: newMachine(spec, time.Now()), spawner: spawner, hooks: hooks,
		ignore: func() {}, cease: func() {},
	}
}

// Ref returns the reference by which the [Child] is told things.
func (c *Child) Ref() actor.Ref[Msg] { return c.actor.Ref() }

// Run supervises the daemon until, after [Retire], Terminate{Final: true} or [Kill], it is dead. Its error is an
// *[actor.PanicError] or nil. After a panic the process has no owner any more: it is killed, with its process group.
func (c *Child) Run() error {
	err := c.actor.Run((*handler)(c))
	c.cease()
	c.ignore()
	switch {
	case c.proc == nil:
	case c.dead:
		c.proc.Release(err != nil)
	default: // wait releases it
		_ = c.proc.Signal(syscall.SIGKILL, true)
	}
	await(c.steps)
	return err
}

// handler keeps the methods of [actor.Handler] off the exported type.
type handler Child

// Receive handles one message.
func (h *handler) Receive(msg Msg) error {
	h.set()
	switch msg := msg.(type) {
	case Start:
		h.m.start(msg)
	case Skip:
		h.m.skip(msg.Reason)
	case Terminate:
		h.m.terminate(msg.Final, msg.Half)
	case Retire:
		h.m.retire()
	case Restart:
		h.m.restart()
	case Signal:
		h.reply = msg.Reply
		h.unsent = h.m.forward(msg.Sig, msg.Wait)
	case Kill:
		h.m.kill()
	case Pause:
		h.reply, h.unsent = msg.Reply, h.pause(true)
	case Unpause:
		h.reply, h.unsent = msg.Reply, h.pause(false)
	case Revise:
		h.m.revise(msg)
	case Ready:
		h.m.ready(msg.Gen)
	case Unhealthy:
		h.m.unhealthy(msg.Gen, msg.Reason)
	case Stopping:
		h.m.leave(msg.Gen)
	case Extend:
		h.m.extend(msg.Gen, msg.By)
	case Note:
		h.m.note(msg.Gen, msg.Text)
	case spawned:
		if msg.err != nil {
			h.m.failed(msg.gen, msg.err)
			break
		}
		h.own(msg)
		h.m.spawned(msg.gen, msg.proc.PID())
	case exited:
		h.dead = true
		h.m.exited(msg.gen, msg.exit, msg.left, msg.strays)
	case emptied:
		h.m.emptied(msg.gen)
	case stepsDone:
		h.m.stepsDone(msg.gen, msg.step, msg.err)
	}
	if counts(msg) {
		h.seen++
	}
	return h.perform()
}

// Timeout is the one timer.
func (h *handler) Timeout() error {
	h.set()
	h.m.timeout()
	return h.perform()
}

// Refuse is a message that came too late. Only after a panic can a fact be one: the actor does not end by itself while a
// spawn is under way or a process lives.
func (h *handler) Refuse(msg Msg) {
	switch msg := msg.(type) {
	case spawned:
		if msg.proc != nil {
			h.own(msg)
		}
	case exited:
		h.dead = true
	}
}

// own takes over the process that was spawned.
func (h *handler) own(s spawned) {
	h.proc, h.dead = s.proc, false
	go h.wait(s.gen, s.proc) // posts one message, then ends
}

func (h *handler) set() {
	h.m.now = time.Now()
	h.m.roll = 2*rand.Float64() - 1
}

// perform does what the machine has decided.
func (h *handler) perform() error {
	ended := false
	for _, e := range h.m.out {
		switch e.kind {
		case doSpawn:
			go h.spawn(h.m.gen, e.spec, e.group, h.take(), h.steps) // posts one message, then ends
		case doSignal:
			h.signal(e)
		case doThaw:
			_ = h.freeze(false) // who cannot be thawed can be killed
		case doArm:
			h.actor.Grant(e.delay) // a frozen daemon has not had its grace
		case doDisarm:
			h.actor.Disarm()
		case doSteps:
			ceased, gone := make(chan struct{}), make(chan struct{})
			go h.runSteps(h.m.gen, e.step, e.steps, h.steps, ceased, gone) // posts one message, then ends
			h.cease, h.steps = sync.OnceFunc(func() { close(ceased) }), gone
		case doCease:
			h.cease()
		case doWatch:
			h.ignore()
			ctx, cancel := context.WithCancel(context.Background())
			h.ignore = cancel
			go h.watch(ctx, h.m.gen, h.proc) // posts one message, unless it is ended before, then ends
		case doIgnore:
			h.ignore()
		case doEmit:
			if e.event.Kind != EventForwarded || h.unsent == nil {
				h.hooks.Event(e.event)
			}
		case doEnd:
			ended = true
		}
	}
	h.m.out = nil // a daemon is idle nearly always, and there may be a thousand
	h.reply.Send(h.unsent)
	h.reply, h.unsent = actor.Reply[error]{}, nil
	s := h.m.status()
	s.Seen = h.seen
	h.hooks.Status(s)
	if ended {
		return actor.ErrStop
	}
	return nil
}

// signal sends a signal. That the process has just ended is no error: its exit will tell. Another one is told once, not
// for the SIGCONT after a stop signal too.
func (h *handler) signal(e effect) {
	err := h.proc.Signal(e.sig, e.group)
	if err == nil || errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) || h.unsent != nil {
		return
	}
	h.unsent = err
	h.hooks.Event(Event{
		Time: h.m.now, Kind: EventUnsent, Daemon: h.m.spec.Name, Gen: h.m.gen, PID: h.m.pid, Signal: e.sig, Reason: err.Error(),
	})
}

// pause freezes the process, or lets it go on.
func (h *handler) pause(on bool) error {
	err := h.m.mayPause(on)
	if err == nil {
		err = h.freeze(on)
	}
	if err == nil {
		h.m.pause(on)
	}
	return err
}

func (h *handler) freeze(on bool) error {
	f, ok := h.proc.(Freezer)
	if !ok {
		return ErrNoFreezer
	}
	return f.Freeze(on)
}

// take hands the dead process of the last life, if any, over to the caller.
func (h *handler) take() Process {
	p := h.proc
	h.proc = nil
	return p
}

// stepsWait bounds how long steps that were killed, and are perhaps stuck in the kernel, hold up what comes after them.
const stepsWait = 50 * time.Millisecond

// await waits until the steps are gone whose channel that is; nil stands for none.
func await(gone <-chan struct{}) {
	if gone == nil {
		return
	}
	bound := time.NewTimer(stepsWait)
	defer bound.Stop()
	select {
	case <-gone:
	case <-bound.C:
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// spawn starts the next life, after what is left of the last one, with kill its process group too, and of its steps, is gone.
func (h *handler) spawn(gen uint64, spec *Spec, kill bool, last Process, steps <-chan struct{}) {
	fact := spawned{gen: gen}
	defer func() {
		if v := recover(); v != nil {
			fact.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		if h.actor.Ref().Tell(fact) != nil && fact.proc != nil { // the actor has panicked: nobody owns the process
			_ = fact.proc.Signal(syscall.SIGKILL, true)
			h.wait(gen, fact.proc)
		}
	}()
	await(steps)
	if last != nil {
		last.Release(kill)
	}
	fact.proc, fact.err = h.spawner.Spawn(spec)
}

func (h *handler) wait(gen uint64, p Process) {
	fact := exited{gen: gen}
	defer func() {
		if v := recover(); v != nil {
			fact.exit = Exit{Code: 70, Err: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
		if h.actor.Ref().Tell(fact) != nil { // the actor has panicked
			p.Release(true)
		}
	}()
	fact.exit = p.Wait()
	fact.left = p.Left()
	fact.strays = !fact.exit.Failed() && p.Strays()
}

func (h *handler) watch(ctx context.Context, gen uint64, p Process) {
	defer func() {
		if v := recover(); v != nil || ctx.Err() == nil {
			_ = h.actor.Ref().Tell(emptied{gen})
		}
	}()
	awaitEmpty(ctx, p)
}

// runSteps runs steps one after the other until one fails or they are to cease. It begins when those that ran last are
// gone, and closes gone at its end.
func (h *handler) runSteps(gen uint64, kind StepKind, steps []Step, last, ceased <-chan struct{}, gone chan<- struct{}) {
	fact := stepsDone{gen: gen, step: kind}
	defer func() {
		close(gone)
		if v := recover(); v != nil {
			fact.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		_ = h.actor.Ref().Tell(fact)
	}()
	await(last)
	for i := range steps {
		if isClosed(ceased) {
			return
		}
		exit := h.runStep(steps[i].spec(kind), ceased)
		switch {
		case isClosed(ceased):
			return
		case exit.Err != nil:
			fact.err = fmt.Errorf("%s cannot be started: %w", fact.step, exit.Err)
		case exit.Failed():
			fact.err = fmt.Errorf("%s (%s) ended with %s", fact.step, steps[i].Argv[0], exit)
		default:
			continue
		}
		return
	}
}

// runStep runs one step to its end, which comes at once when it is to cease.
func (h *handler) runStep(step *Spec, ceased <-chan struct{}) Exit {
	proc, err := h.spawner.Spawn(step)
	if err != nil {
		return Exit{Code: 126, Err: err}
	}
	ended := make(chan Exit, 1)
	go func() { ended <- proc.Wait() }()
	defer proc.Release(true)
	select {
	case exit := <-ended:
		return exit
	case <-ceased:
		_ = proc.Signal(syscall.SIGKILL, true) // it may have just ended
		return <-ended
	}
}
