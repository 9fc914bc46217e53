package child

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
)

// A Msg is what a Child can be told. The imperatives are for its user; the facts about its process are its own.
type Msg interface{ childMsg() }

// Messages to a Child.
type (
	// Start starts a daemon that waits or is dead; one that is being stopped is started again after that.
	Start struct{}
	// Skip ends the waiting of a daemon that can never be started; Reason says why. It counts as exit code 1.
	Skip struct{ Reason string }
	// Terminate stops the daemon with its stop signal. Final means that the bundle ends, as with Retire; the only graces
	// are then Spec.StopGrace and the sender's own (it sends Kill).
	Terminate struct{ Final bool }
	// Retire says that the bundle ends: nothing starts any more, a restart that is due is called off, and the Child ends
	// when its process does. A live daemon is not stopped by it.
	Retire struct{}
	// Restart stops the daemon, if it is alive, and starts it anew. Restarts that come before the start coalesce.
	Restart struct{}
	// Signal forwards Sig to the main process, as soon as the daemon is ready; a dead daemon drops it.
	Signal struct{ Sig syscall.Signal }
	// Kill sends SIGKILL at once, and is final.
	Kill struct{}
	// Ready says that the process of generation Gen is ready, or healthy again. Generation counts the processes that
	// were tried to be started, from 1; it is Status.Gen.
	Ready struct{ Gen uint64 }
	// Unhealthy says that the process of generation Gen fails its health check; Reason says how.
	Unhealthy struct {
		Gen    uint64
		Reason string
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
		gen  uint64
		exit Exit
	}
)

func (Start) childMsg()     {}
func (Skip) childMsg()      {}
func (Terminate) childMsg() {}
func (Retire) childMsg()    {}
func (Restart) childMsg()   {}
func (Signal) childMsg()    {}
func (Kill) childMsg()      {}
func (Ready) childMsg()     {}
func (Unhealthy) childMsg() {}
func (spawned) childMsg()   {}
func (exited) childMsg()    {}

// command reports whether m is counted in Status.Seen.
func command(m Msg) bool {
	switch m.(type) {
	case Start, Skip, Terminate, Retire, Restart, Signal, Kill:
		return true
	}
	return false
}

// Hooks are what a Child calls, on its own goroutine. They must not block.
type Hooks struct {
	// Status gets the daemon's status after each message that was handled. It may be nil.
	Status func(Status)
	// Event gets each event as it happens, before the status that follows from it. It may be nil.
	Event func(Event)
}

// A Child is the actor that owns one daemon. Make one with New and call Run.
type Child struct {
	actor   *actor.Actor[Msg]
	m       *machine
	spawner Spawner
	hooks   Hooks
	proc    Process // the present life's, or the last one's until it is released
	dead    bool    // proc has been waited for
	seen    uint64
}

// queueLimit is how many messages may wait before Ref().Offer is refused.
const queueLimit = 64

// New returns the actor of the daemon that spec describes; it waits for Start.
func New(spec *Spec, spawner Spawner, hooks Hooks) *Child {
	if hooks.Status == nil {
		hooks.Status = func(Status) {}
	}
	if hooks.Event == nil {
		hooks.Event = func(Event) {}
	}
	return &Child{
		actor: actor.New[Msg](queueLimit), m: newMachine(spec, time.Now()), spawner: spawner, hooks: hooks,
	}
}

// Ref returns the reference by which the Child is told things.
func (c *Child) Ref() actor.Ref[Msg] { return c.actor.Ref() }

// Run supervises the daemon until, after Retire, Terminate{Final: true} or Kill, it is dead. Its error is an
// *actor.PanicError or nil.
func (c *Child) Run() error {
	err := c.actor.Run((*handler)(c))
	c.release(false)
	return err
}

// release lets go of the last life's process.
func (c *Child) release(kill bool) {
	if c.proc != nil && c.dead {
		c.proc.Release(kill)
		c.proc = nil
	}
}

// handler keeps the methods of actor.Handler off the exported type.
type handler Child

// Receive is one message.
func (h *handler) Receive(msg Msg) error {
	h.set()
	switch msg := msg.(type) {
	case Start:
		h.m.start()
	case Skip:
		h.m.skip(msg.Reason)
	case Terminate:
		h.m.terminate(msg.Final)
	case Retire:
		h.m.retire()
	case Restart:
		h.m.restart()
	case Signal:
		h.m.forward(msg.Sig)
	case Kill:
		h.m.kill()
	case Ready:
		h.m.ready(msg.Gen)
	case Unhealthy:
		h.m.unhealthy(msg.Gen, msg.Reason)
	case spawned:
		if msg.err != nil {
			h.m.failed(msg.gen, msg.err)
			break
		}
		h.proc, h.dead = msg.proc, false
		h.m.spawned(msg.gen, msg.proc.PID())
		go h.wait(msg.gen, msg.proc) // posts one message, then ends
	case exited:
		h.dead = true
		h.m.exited(msg.gen, msg.exit)
	}
	if command(msg) {
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

// Refuse is a message that came too late. A process that was spawned too late cannot be one: the actor does not end
// while a spawn is under way.
func (h *handler) Refuse(Msg) {}

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
			go h.spawn(h.m.gen, e.spec, h.take()) // posts one message, then ends
		case doSignal:
			// An error means that the process has just ended, which its exit will tell.
			_ = h.proc.Signal(e.sig, e.group)
		case doArm:
			h.actor.Arm(e.delay)
		case doDisarm:
			h.actor.Disarm()
		case doEmit:
			h.hooks.Event(e.event)
		case doEnd:
			ended = true
		}
	}
	clear(h.m.out)
	h.m.out = h.m.out[:0]
	s := h.m.status()
	s.Seen = h.seen
	h.hooks.Status(s)
	if ended {
		return actor.ErrStop
	}
	return nil
}

// take hands the dead process of the last life, if any, over to the caller.
func (h *handler) take() Process {
	p := h.proc
	h.proc = nil
	return p
}

// spawn starts the next life, after what is left of the last one is gone.
func (h *handler) spawn(gen uint64, spec *Spec, last Process) {
	fact := spawned{gen: gen}
	defer func() {
		if v := recover(); v != nil {
			fact.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		if h.actor.Ref().Tell(fact) != nil && fact.proc != nil { // the actor has panicked: nobody owns the process
			_ = fact.proc.Signal(syscall.SIGKILL, true)
		}
	}()
	if last != nil {
		last.Release(h.m.spec.KillMode != KillProcess)
	}
	fact.proc, fact.err = h.spawner.Spawn(spec)
}

func (h *handler) wait(gen uint64, p Process) {
	fact := exited{gen: gen}
	defer func() {
		if v := recover(); v != nil {
			fact.exit = Exit{Code: 70, Err: fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
		}
		_ = h.actor.Ref().Tell(fact)
	}()
	fact.exit = p.Wait()
}
