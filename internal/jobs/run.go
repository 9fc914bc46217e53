package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bot-bottle/sidecar-init/actor"
	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// A Result is what has become of a run, or of a fire.
type Result string

// The results. Skipped and Missed are fires of which no run came.
const (
	Waiting   Result = "waiting" // for its turn, or for what it depends on
	Running   Result = "running"
	Succeeded Result = "succeeded"
	Failed    Result = "failed"
	Cancelled Result = "cancelled"
	Skipped   Result = "skipped"
	Missed    Result = "missed"
)

// Results are those that runs and fires come to.
var Results = []Result{Succeeded, Failed, Cancelled, Skipped, Missed}

// Over reports whether it has come to an end.
func (r Result) Over() bool { return r != Waiting && r != Running }

// What the code of a run is where its process has none of its own to tell.
const (
	CodeCancelled = 130 // 128 + SIGINT, as of who is interrupted
	CodeOverdue   = 124 // that of timeout(1)
)

// A Run is one run of a job.
type Run struct {
	Job     string
	ID      int // counts the runs of the job, from 1
	Trigger child.Trigger
	Result  Result
	// Started and Ended are zero before that.
	Started, Ended time.Time
	// Code is the exit code, as a shell has it; that of CodeCancelled and CodeOverdue where the supervisor has ended it.
	Code int
	// Exit is how the process has ended; nil where there was none.
	Exit *child.Exit
	// Reason says in words what went wrong, where that helps.
	Reason string
}

// A run is a Run with those who wait for it.
type run struct {
	Run
	argv    []string
	prepare context.CancelFunc // ends the wait for what it depends on; nil if that is over
	stopped bool               // its process has ended, and was asked to: the rest of its group is being stopped
	begun   []actor.Reply[Run]
	over    []actor.Reply[Run]
}

// number gives the run its number.
func (j *job) number(r *run) {
	j.last++
	r.ID, r.Result = j.last, Waiting
}

func (k *Keeper) queue(j *job, r *run) {
	j.number(r)
	j.waiting = append(j.waiting, r)
}

// begin makes a run the one that is in progress: by hand, after what it depends on.
func (k *Keeper) begin(j *job, r *run) {
	if r.ID == 0 {
		j.number(r)
	}
	j.run = r
	if r.Trigger == child.TriggerSchedule || len(j.After) == 0 {
		k.enqueue(j)
		return
	}
	var ctx context.Context
	ctx, r.prepare = context.WithCancel(context.Background())
	var needs []need
	for _, d := range j.After {
		needs = append(needs, need{d, k.find(d.Name) != nil})
	}
	go func() { // posts one message, then ends
		_ = k.actor.Ref().Tell(prepared{j, r, k.fulfil(ctx, needs)})
	}()
}

// prepared: what a run by hand depends on holds, or cannot.
func (k *Keeper) prepared(p prepared) {
	if p.run.prepare == nil || p.job.run != p.run {
		return
	}
	stopped := p.run.Result.Over()
	p.run.prepare()
	p.run.prepare = nil
	switch {
	case stopped: // cancelled meanwhile
		k.release(p.job)
	case p.err != nil:
		k.failedToStart(p.job, p.run, p.err)
	default:
		k.enqueue(p.job)
	}
}

// failedToStart ends a run of which there was no process.
func (k *Keeper) failedToStart(j *job, r *run, err error) {
	now := k.o.Now()
	r.Result, r.Ended, r.Code, r.Reason = Failed, now, 1, err.Error()
	k.o.Printf("job %s failed: %s", j.Name, r.Reason)
	k.done(j, r)
	k.release(j)
}

// enqueue lets a job be executed when it is its turn.
func (k *Keeper) enqueue(j *job) {
	k.line = append(k.line, j)
	k.advance()
}

// advance executes the next in line.
func (k *Keeper) advance() {
	for k.turn == nil && len(k.line) > 0 {
		j := k.line[0]
		k.line = k.line[1:]
		r := j.run
		if r == nil || r.Result.Over() {
			continue // it was cancelled meanwhile
		}
		k.turn = j
		k.actor.Arm(turnTime)
		reply := actor.NewReply[root.Accepted]()
		err := k.o.Root.Tell(root.Do{Name: j.Name, Msg: child.Start{Trigger: r.Trigger, Argv: r.argv}, Reply: reply})
		go func() { // posts at most one message, then ends
			if err == nil {
				select {
				case accepted := <-reply.C():
					err = accepted.Err
				case <-k.o.Root.Done():
					err = root.ErrShuttingDown
				}
			}
			if err != nil {
				_ = k.actor.Ref().Tell(refused{j, r, err})
			}
		}()
	}
}

// turnOver lets the next one be executed.
func (k *Keeper) turnOver(j *job) {
	if k.turn == j {
		k.turn = nil
		k.actor.Disarm()
		k.advance()
	}
}

// event is one of the process of a job.
func (k *Keeper) event(e child.Event) {
	if e.Kind == root.EventShutdown {
		k.quiet = true
		k.arm()
		for _, j := range k.jobs {
			for _, r := range j.waiting {
				k.cancelled(j, r, root.ErrShuttingDown.Error())
			}
			j.waiting = nil
			if r := j.run; r != nil && r.prepare != nil && !r.Result.Over() { // for what it depends on
				k.cancelled(j, r, root.ErrShuttingDown.Error())
				r.prepare()
			}
		}
		return
	}
	i := slices.IndexFunc(k.jobs, func(j *job) bool { return j.Name == e.Daemon && j.run != nil })
	if i < 0 {
		return
	}
	j := k.jobs[i]
	r := j.run
	switch e.Kind {
	case child.EventStarting:
		r.Result, r.Started = Running, e.Time
		for _, reply := range r.begun {
			reply.Send(r.Run)
		}
		r.begun = nil
	case child.EventStarted:
		k.turnOver(j)
	case child.EventExited, child.EventFailed:
		k.turnOver(j)
		exit := e.Exit
		r.Ended, r.Exit, r.Code = e.Time, &exit, exit.Status()
		r.Result = Failed
		switch {
		case e.Overdue:
			r.Code, r.Reason = CodeOverdue, fmt.Sprintf("it took longer than %s", j.Timeout)
		case e.Requested:
			r.Result, r.Code = Cancelled, CodeCancelled
		case e.Success:
			r.Result = Succeeded
			j.success = e.Time
		case exit.Err != nil:
			r.Reason = e.Reason
		}
		k.done(j, r)
		if r.stopped = e.Requested && !k.quiet; !r.stopped {
			k.release(j)
		}
	case child.EventStopped:
		if r.stopped {
			k.release(j)
		}
	}
}

// done tells of the end of a run.
func (k *Keeper) done(j *job, r *run) {
	j.counts[r.Result]++
	j.history = append(j.history, r.Run)
	j.history = j.history[max(0, len(j.history)-historyLength):]
	for _, reply := range slices.Concat(r.begun, r.over) {
		reply.Send(r.Run)
	}
	r.begun, r.over = nil, nil
}

// release lets the next run of a job begin.
func (k *Keeper) release(j *job) {
	j.run = nil
	switch {
	case j.left:
		k.jobs = slices.DeleteFunc(k.jobs, func(o *job) bool { return o == j })
	case len(j.waiting) > 0 && !k.quiet:
		next := j.waiting[0]
		j.waiting = slices.Delete(j.waiting, 0, 1)
		k.begin(j, next)
	}
}

// cancelled ends a run of which there is no process.
func (k *Keeper) cancelled(j *job, r *run, reason string) {
	r.Result, r.Ended, r.Code, r.Reason = Cancelled, k.o.Now(), CodeCancelled, reason
	k.done(j, r)
}

// cancel ends the run of that number, or all.
func (k *Keeper) cancel(j *job, id int) (ended int) {
	j.waiting = slices.DeleteFunc(j.waiting, func(r *run) bool {
		if id != 0 && r.ID != id {
			return false
		}
		ended++
		k.cancelled(j, r, "it was cancelled before its turn")
		return true
	})
	r := j.run
	if r == nil || id != 0 && r.ID != id || r.Result.Over() {
		return ended
	}
	ended++
	switch {
	case r.prepare != nil: // prepared comes soon, and releases the job
		k.cancelled(j, r, "it was cancelled before it began")
		r.prepare()
	case slices.Contains(k.line, j):
		k.cancelled(j, r, "it was cancelled before it began")
		k.line = slices.DeleteFunc(k.line, func(o *job) bool { return o == j })
		k.release(j)
	default:
		_ = k.o.Root.Tell(root.Do{Name: j.Name, Msg: child.Terminate{}})
	}
	return ended
}

// find returns a run of that number.
func (j *job) find(id int) (live *run, past Run, ok bool) {
	for _, r := range append(slices.Clone(j.waiting), j.run) {
		if r != nil && r.ID == id && !r.Result.Over() {
			return r, r.Run, true
		}
	}
	i := slices.IndexFunc(j.history, func(r Run) bool { return r.ID == id })
	if i < 0 {
		return nil, past, false
	}
	return nil, j.history[i], true
}

// status is what is told of a job.
func (j *job) status() Status {
	s := Status{Definition: j.Definition, Paused: j.paused, Next: j.next(), LastSuccess: j.success, Counts: map[Result]uint64{}}
	for _, r := range Results {
		s.Counts[r] = j.counts[r]
	}
	if j.run != nil && !j.run.Result.Over() {
		current := j.run.Run
		s.Current = &current
	}
	if len(j.history) > 0 {
		last := j.history[len(j.history)-1]
		s.Last = &last
	}
	s.Waiting = len(j.waiting)
	return s
}

// A Status is what is known of a job.
type Status struct {
	Definition
	Paused  bool
	Current *Run // waiting for what it depends on, or running; nil if there is none
	Waiting int  // how many runs wait for the end of that
	Last    *Run // the latest that is over; nil before any
	// Next is when it fires next by itself; zero if it does not.
	Next time.Time
	// LastSuccess is the end of the latest run that has succeeded; zero before any.
	LastSuccess time.Time
	Counts      map[Result]uint64
}

// State is what the job does, in one word.
func (s *Status) State() string {
	switch {
	case s.Current != nil:
		return string(s.Current.Result)
	case s.Paused:
		return "paused"
	}
	return string(child.StateScheduled)
}

// reasonOf is why a job cannot be run by hand now, or empty.
func (j *job) reasonOf(k *Keeper) string {
	switch {
	case k.quiet:
		return root.ErrShuttingDown.Error()
	case !j.Manual:
		return j.Name + " cannot be run by hand: its triggers say manual: false"
	case j.paused:
		return fmt.Sprintf("%s is paused: 'sidecar-init job resume %s' first", j.Name, j.Name)
	case j.run == nil:
		return ""
	case !j.queues():
		return j.Name + " is running"
	case slices.ContainsFunc(j.waiting, func(r *run) bool { return r.Trigger == child.TriggerManual }):
		return j.Name + " is running, and another run by hand waits for its turn"
	}
	return ""
}

// argvOf is the command of a run by hand that brings its own arguments.
func (j *job) argvOf(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	return slices.Concat(j.Entrypoint, args)
}
