package childtest

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// AtOnce means immediately in [Life.ReadyAfter] and [Life.ExitAfter], where 0 means never.
const AtOnce time.Duration = -1

// releaseBound is the longest time that Release waits for killed processes to end.
const releaseBound = time.Second

// A Life says how one process of a daemon behaves. The process of the zero Life starts at once, never says that it is ready, and
// runs for ever. Like a program without signal handlers, it is ended by any signal whose default action is to terminate.
type Life struct {
	// StartDelay is how long Spawn takes.
	StartDelay time.Duration
	// StartError, if not nil, is the error of Spawn, after StartDelay.
	StartError error
	// ReadyAfter is the time from the end of Spawn to the call of [Fake.OnReady]; 0 means never.
	ReadyAfter time.Duration
	// ExitAfter is the time from the end of Spawn to when the process exits by itself with Exit; 0 means never. With [AtOnce] it
	// has ended before Spawn returns.
	ExitAfter time.Duration
	Exit      child.Exit
	// On says how the process reacts to signals. Other signals have their default action. Entries for SIGKILL and SIGSTOP are
	// ignored. While the process is stopped, other signals stay pending until SIGCONT.
	On Reactions
	// KillDelay is the time from SIGKILL to the end of the process.
	KillDelay time.Duration
	// Unkillable: the process hangs in the kernel (state D), and no signal reaches it, not even SIGKILL. It ends after ExitAfter or
	// by [Fake.End].
	Unkillable bool
	// Fork adds processes to the process group, such as grandchildren. They do not end with the main process. In their Life,
	// StartDelay, StartError, ReadyAfter and Fork are ignored.
	Fork []Life
}

// Reactions says how a process reacts to signals.
type Reactions map[syscall.Signal]Reaction

// A Reaction says how a process reacts to a signal: it ignores it, or ends with Exit after the time After.
type Reaction struct {
	Ignore bool
	After  time.Duration
	Exit   child.Exit
}

// What is the type of a [Record].
type What string

// What a [Fake] records.
const (
	Spawning  What = "spawning"  // Spawn was called
	Spawned   What = "spawned"   // Spawn is about to return a process
	Failed    What = "failed"    // Spawn is about to return an error, Exit.Err
	Ready     What = "ready"     // OnReady is about to be called
	Signalled What = "signalled" // Signal was called, with Signal and Group
	Missed    What = "missed"    // Signal was called, with Signal and Group, when there was no process any more
	Ended     What = "ended"     // the main process ended, with Exit
	Emptied   What = "emptied"   // the last other member of the process group ended, after the main process
	Waited    What = "waited"    // Wait is about to return Exit
	Released  What = "released"  // Release was called, with Kill
)

// A Record is something that was done to, or by, a process.
type Record struct {
	At     time.Time
	Daemon string
	Life   int // 1 for the first process of the daemon
	PID    int
	What   What
	Signal syscall.Signal
	Group  bool
	Kill   bool
	Exit   child.Exit
}

// String returns a string such as "web/2 SIGTERM group" or "web/2 ended code 3".
func (r Record) String() string {
	s := fmt.Sprintf("%s/%d ", r.Daemon, r.Life)
	switch r.What {
	case Signalled, Missed:
		s += child.SignalName(r.Signal)
		if r.Group {
			s += " group"
		}
		if r.What == Missed {
			s += " missed"
		}
	case Ended:
		s += "ended " + r.Exit.String()
	case Failed:
		s += "failed: " + r.Exit.Err.Error()
	case Released:
		s += "released"
		if r.Kill {
			s += " kill"
		}
	default:
		s += string(r.What)
	}
	return s
}

// A Fake is a [child.Spawner] of processes that exist only in memory. The zero Fake is ready to use. Its fields must be set
// before the first Spawn.
type Fake struct {
	// Lives maps the name of a daemon to the lives of its processes, one after the other. The last one is repeated. A daemon that
	// is not in the map has the zero [Life].
	Lives map[string][]Life
	// OnReady, if not nil, is called when a process becomes ready, on a goroutine of its own.
	OnReady func(daemon string, life, pid int)

	mu         sync.Mutex
	pid        int
	daemons    map[string]*history
	records    []Record
	violations []string
}

var _ child.Spawner = (*Fake)(nil)

// A history has the processes of one daemon.
type history struct {
	spawning bool
	lives    int
	procs    []*process
}

// process implements [child.Process]. All of its fields, and those of its members, are guarded by fake.mu.
type process struct {
	fake     *Fake
	daemon   string
	life     int
	pid      int
	group    bool      // its kill mode is not child.KillProcess
	members  []*member // the process group; the first is the main process
	ended    chan struct{}
	waiting  bool
	waited   bool
	released bool
}

// A member is a process of a process group.
type member struct {
	Life
	proc    *process
	gone    chan struct{}
	dead    bool
	exit    child.Exit
	stopped bool
	pending []syscall.Signal // the signals that were sent while it was stopped
	overdue *child.Exit      // if not nil, how it would have ended while it was stopped
}

// Spawn implements [child.Spawner].
func (f *Fake) Spawn(spec *child.Spec) (child.Process, error) {
	f.mu.Lock()
	h := f.history(spec.Name)
	h.lives++
	p := &process{fake: f, daemon: spec.Name, life: h.lives, group: spec.KillMode != child.KillProcess, ended: make(chan struct{})}
	f.record(p, Record{What: Spawning})
	if h.spawning {
		f.violate("%s/%d is spawned while another life is being spawned", p.daemon, p.life)
	}
	if n := len(h.procs); n > 0 {
		switch last := h.procs[n-1]; {
		case !last.members[0].dead:
			f.violate("%s/%d is spawned while life %d is alive", p.daemon, p.life, last.life)
		case !last.released:
			f.violate("%s/%d is spawned before life %d is released", p.daemon, p.life, last.life)
		case last.group && slices.ContainsFunc(last.members, func(m *member) bool { return !m.dead && !m.stubborn() }):
			f.violate("%s/%d is spawned while others of the group of life %d are alive", p.daemon, p.life, last.life)
		}
	}
	h.spawning = true
	var life Life
	if lives := f.Lives[spec.Name]; len(lives) > 0 {
		life = lives[min(p.life, len(lives))-1]
	}
	f.mu.Unlock()

	if life.StartDelay > 0 {
		<-time.After(life.StartDelay)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	h.spawning = false
	if life.StartError != nil {
		f.record(p, Record{What: Failed, Exit: child.Exit{Err: life.StartError}})
		return nil, life.StartError
	}
	f.pid++
	p.pid = 1000 + f.pid
	h.procs = append(h.procs, p)
	for _, l := range append([]Life{life}, life.Fork...) {
		p.members = append(p.members, &member{Life: l, proc: p, gone: make(chan struct{})})
	}
	f.record(p, Record{What: Spawned})
	if life.ReadyAfter != 0 {
		time.AfterFunc(max(life.ReadyAfter, 0), p.ready)
	}
	for _, m := range p.members {
		if m.ExitAfter != 0 {
			f.after(m.ExitAfter, func() { m.finish(m.Exit) })
		}
	}
	return p, nil
}

// End ends the daemon's main process, whatever its [Life] says, as if it had exited by itself. It reports whether there was one.
func (f *Fake) End(daemon string, exit child.Exit) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.history(daemon)
	if len(h.procs) == 0 {
		return false
	}
	m := h.procs[len(h.procs)-1].members[0]
	if m.dead {
		return false
	}
	m.die(exit)
	return true
}

// Alive returns the number of live processes of the daemon: main processes and other members of their process groups, also those of
// earlier lives.
func (f *Fake) Alive(daemon string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, p := range f.history(daemon).procs {
		for _, m := range p.members {
			if !m.dead {
				n++
			}
		}
	}
	return n
}

// Lived returns how often Spawn was called for the daemon, whether it succeeded or not.
func (f *Fake) Lived(daemon string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.history(daemon).lives
}

// Records returns the records so far, in order, of these daemons, or of all daemons if there are no names.
func (f *Fake) Records(daemons ...string) []Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(daemons) == 0 {
		return slices.Clone(f.records)
	}
	var rs []Record
	for _, r := range f.records {
		if slices.Contains(daemons, r.Daemon) {
			rs = append(rs, r)
		}
	}
	return rs
}

// Trace returns [Fake.Records] as strings.
func (f *Fake) Trace(daemons ...string) []string {
	var ss []string
	for _, r := range f.Records(daemons...) {
		ss = append(ss, r.String())
	}
	return ss
}

// Violations returns the violations of the contract of [child.Spawner] and [child.Process].
func (f *Fake) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.violations)
}

// Leftovers returns what should not be left once all users of the [Fake] have ended: main processes that are alive, not waited
// for or not released, and process groups that are not empty. It ignores process groups that must not be touched
// ([child.KillProcess]), and members for whose end nobody waits: those that are Unkillable or have a KillDelay of at least 1 s.
func (f *Fake) Leftovers() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ss []string
	for _, h := range f.daemons {
		for _, p := range h.procs {
			state := ""
			switch {
			case !p.members[0].dead:
				state = "alive"
			case !p.waited:
				state = "not waited for"
			case !p.released:
				state = "not released"
			case p.group && slices.ContainsFunc(p.members, func(m *member) bool { return !m.dead && !m.stubborn() }):
				state = "dead, and others of its group are alive"
			default:
				continue
			}
			ss = append(ss, fmt.Sprintf("%s/%d is %s", p.daemon, p.life, state))
		}
	}
	slices.Sort(ss)
	return ss
}

// TB is the part of testing.TB that [Fake.Check] needs. (Importing package testing would link it into cmd/testdaemon.)
type TB interface {
	// Helper is as in testing.TB.
	Helper()
	// Errorf is as in testing.TB.
	Errorf(format string, args ...any)
}

// Check reports each violation and each leftover as an error of the test. Call it at the end, when all users of the [Fake] have
// ended.
func (f *Fake) Check(t TB) {
	t.Helper()
	for _, s := range f.Violations() {
		t.Errorf("contract violated: %s", s)
	}
	for _, s := range f.Leftovers() {
		t.Errorf("at the end %s", s)
	}
}

func (f *Fake) history(daemon string) *history {
	h := f.daemons[daemon]
	if h == nil {
		if f.daemons == nil {
			f.daemons = make(map[string]*history)
		}
		h = new(history)
		f.daemons[daemon] = h
	}
	return h
}

func (f *Fake) record(p *process, r Record) {
	r.At, r.Daemon, r.Life, r.PID = time.Now(), p.daemon, p.life, p.pid
	f.records = append(f.records, r)
}

func (f *Fake) violate(format string, args ...any) {
	f.violations = append(f.violations, fmt.Sprintf(format, args...))
}

// after calls do, with the lock held, after d. If d is not positive, it calls do at once; the caller holds the lock.
func (f *Fake) after(d time.Duration, do func()) {
	if d <= 0 {
		do()
		return
	}
	time.AfterFunc(d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		do()
	})
}

func (p *process) PID() int { return p.pid }

func (p *process) Signal(sig syscall.Signal, group bool) error {
	p.fake.mu.Lock()
	defer p.fake.mu.Unlock()
	targets := p.members[:1]
	if group {
		targets = p.members
	}
	done := !slices.ContainsFunc(targets, func(m *member) bool { return !m.dead })
	switch {
	case sig == 0:
	case done:
		p.fake.record(p, Record{What: Missed, Signal: sig, Group: group})
	default:
		p.fake.record(p, Record{What: Signalled, Signal: sig, Group: group})
		for _, m := range targets {
			m.signal(sig)
		}
	}
	if done {
		return os.ErrProcessDone
	}
	return nil
}

func (p *process) Wait() child.Exit {
	p.fake.mu.Lock()
	if p.waiting {
		p.fake.violate("%s/%d is waited for twice", p.daemon, p.life)
	}
	p.waiting = true
	p.fake.mu.Unlock()

	<-p.ended

	p.fake.mu.Lock()
	defer p.fake.mu.Unlock()
	p.waited = true
	p.fake.record(p, Record{What: Waited, Exit: p.members[0].exit})
	return p.members[0].exit
}

func (p *process) Left() bool {
	p.fake.mu.Lock()
	defer p.fake.mu.Unlock()
	if !p.waited {
		p.fake.violate("%s/%d is asked what is left before Wait has returned", p.daemon, p.life)
	}
	return p.group && p.left()
}

// Strays reports whether other processes that the main process has started are alive.
func (p *process) Strays() bool {
	p.fake.mu.Lock()
	defer p.fake.mu.Unlock()
	return p.left()
}

// left reports whether members other than the main process are alive.
func (p *process) left() bool {
	return slices.ContainsFunc(p.members[1:], func(m *member) bool { return !m.dead })
}

func (p *process) Release(kill bool) {
	p.fake.mu.Lock()
	if p.released {
		p.fake.violate("%s/%d is released twice", p.daemon, p.life)
	}
	if !p.waited {
		p.fake.violate("%s/%d is released before Wait has returned", p.daemon, p.life)
	}
	p.released = true
	p.fake.record(p, Record{What: Released, Kill: kill})
	var dying []*member
	if kill {
		for _, m := range p.members[1:] {
			m.signal(syscall.SIGKILL)
			if !m.dead {
				dying = append(dying, m)
			}
		}
	}
	p.fake.mu.Unlock()

	if len(dying) == 0 {
		return
	}
	bound := time.NewTimer(releaseBound)
	defer bound.Stop()
	for _, m := range dying {
		select {
		case <-m.gone:
		case <-bound.C:
			return
		}
	}
}

// ready reports that the process is ready, unless it has ended.
func (p *process) ready() {
	p.fake.mu.Lock()
	ok := !p.members[0].dead
	if ok {
		p.fake.record(p, Record{What: Ready})
	}
	p.fake.mu.Unlock()
	if ok && p.fake.OnReady != nil {
		p.fake.OnReady(p.daemon, p.life, p.pid)
	}
}

// signal does what the kernel does when sig is sent to the process.
func (m *member) signal(sig syscall.Signal) {
	if m.dead || m.Unkillable {
		return
	}
	switch sig {
	case syscall.SIGKILL:
		m.proc.fake.after(m.KillDelay, func() { m.die(child.Exit{Signal: syscall.SIGKILL}) })
		return
	case syscall.SIGSTOP:
		m.stopped = true
		return
	case syscall.SIGCONT:
		m.resume()
	}
	if m.stopped {
		if !slices.Contains(m.pending, sig) { // a signal that is pending already is lost
			m.pending = append(m.pending, sig)
		}
		return
	}
	r, ok := m.On[sig]
	if !ok {
		switch sig {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH:
			r.Ignore = true
		case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			m.stopped = true
			return
		default:
			r.Exit = child.Exit{Signal: sig}
		}
	}
	if !r.Ignore {
		m.proc.fake.after(r.After, func() { m.finish(r.Exit) })
	}
}

// resume continues a stopped process.
func (m *member) resume() {
	if !m.stopped {
		return
	}
	m.stopped = false
	if m.overdue != nil {
		m.die(*m.overdue)
		return
	}
	pending := m.pending
	m.pending = nil
	for _, sig := range pending {
		m.signal(sig)
	}
}

// finish lets the process exit by itself. While it is stopped it cannot, and exits when it is continued.
func (m *member) finish(exit child.Exit) {
	if m.stopped {
		m.overdue = &exit
		return
	}
	m.die(exit)
}

func (m *member) die(exit child.Exit) {
	if m.dead {
		return
	}
	m.dead, m.exit = true, exit
	close(m.gone)
	switch p := m.proc; {
	case m == p.members[0]:
		p.fake.record(p, Record{What: Ended, Exit: exit})
		close(p.ended)
	case p.group && p.members[0].dead && !p.left():
		p.fake.record(p, Record{What: Emptied})
	}
}

// stubborn reports whether a killed process takes so long to end that nobody waits for it.
func (m *member) stubborn() bool { return m.Unkillable || m.KillDelay >= releaseBound }
