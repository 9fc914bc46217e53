package jobs

import (
	"errors"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/schedule"
	"github.com/bot-bottle/sidecar-init/root"
)

// The events of jobs that are none of a process.
const (
	EventSkipped child.Kind = "job-skipped" // a fire, during a run
	EventMissed  child.Kind = "job-missed"  // Attempt fires could not be acted on in time; Reason says what follows
)

// A Definition is what the bundle says of a job.
type Definition struct {
	bundle.Job
	Name  string
	After []child.Dependency
}

// A Timer wakes when a moment of the wall clock has come, and when the clock is set: *schedule.Timer.
type Timer interface {
	// Set makes it wake then, in place of what was set before; the zero Time is never. The error can be schedule.ErrClockSet.
	Set(time.Time) error
	// Run calls wake each time, until Close.
	Run(wake func()) error
	// Close ends Run.
	Close() error
}

// Options are what a Keeper speaks to.
type Options struct {
	// Root starts and stops the processes.
	Root actor.Ref[root.Msg]
	// Observe is told EventSkipped and EventMissed. It must not block.
	Observe func(child.Event)
	// Printf writes a line of the supervisor's log. It must not block.
	Printf func(format string, a ...any)
	// NewTimer makes the timer, when there is a schedule; nil means schedule.NewTimer.
	NewTimer func() (Timer, error)
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// A Keeper keeps the jobs of a bundle. Make one with New. The methods may be called from any goroutine; its shape is that of oklog/run.
type Keeper struct {
	o     Options
	actor *actor.Actor[message]
	jobs  []*job // in the order of the file
	timer Timer
	ended chan error // of the timer
	quiet bool       // the bundle ends: nothing fires any more
	line  []*job     // wait to be executed
	turn  *job       // is being executed
}

// A job is what is known of one.
type job struct {
	Definition
	settled []time.Time // for each trigger: what was due up to then is done with
	paused  bool
	left    bool   // the bundle has it no more
	run     *run   // in progress, or about to be
	waiting []*run // for its end
	history []Run  // the last ones, the latest last
	last    int    // the number of the latest
	counts  map[Result]uint64
	success time.Time // the end of the latest run that has succeeded
}

// historyLength is how many runs are remembered.
const historyLength = 10

// turnTime bounds how long a job that is being executed holds up the next.
const turnTime = 100 * time.Millisecond

// queueLimit is how many questions may wait.
const queueLimit = 256

// New returns a Keeper without jobs.
func New(o Options) *Keeper {
	if o.NewTimer == nil {
		o.NewTimer = func() (Timer, error) { return schedule.NewTimer() }
	}
	if o.Now == nil {
		o.Now = func() time.Time { return time.Now().Round(0) } // the wall clock alone: the monotonic one is never set
	}
	return &Keeper{o: o, actor: actor.New[message](queueLimit), ended: make(chan error, 1)}
}

// Run keeps the jobs until Close.
func (k *Keeper) Run() error {
	err := k.actor.Run((*handler)(k))
	if k.timer != nil {
		err = errors.Join(err, k.timer.Close(), <-k.ended)
	}
	return err
}

// Close makes Run return.
func (k *Keeper) Close() { _ = k.actor.Ref().Tell(closing{}) }

// Set makes these the jobs of the bundle. A job of the same name goes on; a trigger that it had before has lost nothing by it, and
// one that is new fires from now on.
func (k *Keeper) Set(definitions []Definition) { _ = k.actor.Ref().Tell(set{definitions}) }

// Observe is to be told the events of all jobs, and root.EventShutdown.
func (k *Keeper) Observe(e child.Event) { _ = k.actor.Ref().Tell(event{e}) }

// find returns the job of that name.
func (k *Keeper) find(name string) *job {
	i := slices.IndexFunc(k.jobs, func(j *job) bool { return j.Name == name && !j.left })
	if i < 0 {
		return nil
	}
	return k.jobs[i]
}

// set takes the jobs of a new definition of the bundle.
func (k *Keeper) set(definitions []Definition) {
	now := k.o.Now()
	k.wake(now) // what is due under the old ones
	var jobs []*job
	for _, d := range definitions {
		i := slices.IndexFunc(k.jobs, func(j *job) bool { return j.Name == d.Name })
		j := &job{counts: map[Result]uint64{}}
		if i >= 0 {
			j = k.jobs[i]
			k.jobs = slices.Delete(k.jobs, i, i+1)
		}
		settled := make([]time.Time, len(d.Triggers))
		for n, t := range d.Triggers {
			settled[n] = now
			if old := slices.IndexFunc(j.Triggers, func(o bundle.Trigger) bool { return o.Cron == t.Cron && o.Timezone == t.Timezone }); old >= 0 {
				settled[n] = j.settled[old]
			}
		}
		j.Definition, j.settled, j.left = d, settled, false
		jobs = append(jobs, j)
	}
	for _, j := range k.jobs { // root ends their runs
		j.left = true
		for _, r := range j.waiting {
			k.cancelled(j, r, "the job has left the bundle")
		}
		j.waiting = nil
		if j.run != nil {
			if j.run.prepare != nil {
				j.run.prepare()
			}
			jobs = append(jobs, j)
		}
	}
	k.jobs = jobs
	k.arm()
}

// wake does what is due.
func (k *Keeper) wake(now time.Time) {
	for _, j := range k.jobs {
		if !j.left && !k.quiet {
			k.due(j, now)
		}
	}
}

// due fires a job if something is due.
func (k *Keeper) due(j *job, now time.Time) {
	fires, missed, makeUp := false, 0, false
	for i, t := range j.Triggers {
		onTime, late := t.When.Due(j.settled[i], now)
		if now.After(j.settled[i]) { // a clock that was set back shows what it has shown before
			j.settled[i] = now
		}
		fires = fires || onTime
		missed += late
		makeUp = makeUp || late > 0 && !t.SkipMissed
	}
	if j.paused {
		return
	}
	if missed > 0 {
		why := "nothing runs for them"
		if fires || makeUp {
			why = "one run stands for all"
		}
		k.o.Observe(child.Event{Time: now, Kind: EventMissed, Daemon: j.Name, Trigger: child.TriggerSchedule, Attempt: missed, Reason: why})
		j.counts[Missed] += uint64(missed)
	}
	if fires || makeUp {
		k.fire(j, now)
	}
}

// fire starts a run, lets it wait, or skips it.
func (k *Keeper) fire(j *job, now time.Time) {
	r := &run{Run: Run{Job: j.Name, Trigger: child.TriggerSchedule}}
	byTrigger := func(r *run) bool { return r.Trigger == child.TriggerSchedule }
	switch {
	case j.run == nil:
		k.begin(j, r)
	case j.queues() && !slices.ContainsFunc(j.waiting, byTrigger):
		k.queue(j, r)
	default:
		j.counts[Skipped]++
		k.o.Observe(child.Event{Time: now, Kind: EventSkipped, Daemon: j.Name, Trigger: child.TriggerSchedule})
	}
}

// queues reports whether what comes during a run waits for its turn.
func (j *job) queues() bool {
	return slices.ContainsFunc(j.Triggers, func(t bundle.Trigger) bool { return t.Queue })
}

// next is when the job fires next by itself; the zero Time if it does not.
func (j *job) next() (next time.Time) {
	if j.paused || j.left {
		return next
	}
	for i, t := range j.Triggers {
		if at := t.When.Next(j.settled[i]); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// arm sets the timer to the next fire.
func (k *Keeper) arm() {
	for {
		var next time.Time
		for _, j := range k.jobs {
			if at := j.next(); !k.quiet && !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if k.timer == nil {
			if next.IsZero() || !k.makeTimer() {
				return
			}
		}
		err := k.timer.Set(next)
		if err == nil {
			return
		}
		if !errors.Is(err, schedule.ErrClockSet) {
			k.o.Printf("jobs: no schedule can be kept: %v", err)
			return
		}
		k.wake(k.o.Now()) // the clock was set before the timer was
	}
}

func (k *Keeper) makeTimer() bool {
	timer, err := k.o.NewTimer()
	if err != nil {
		k.o.Printf("jobs: no schedule can be kept: %v", err)
		return false
	}
	k.timer = timer
	go func() { k.ended <- timer.Run(func() { _ = k.actor.Ref().Tell(tick{}) }) }() // until it is closed
	return true
}
