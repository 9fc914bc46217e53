package probe

import (
	"context"
	"sync"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/printable"
)

// A Life is one life of a daemon's process, from before the program is executed. Its methods may be called from any
// goroutine, and do not block.
type Life struct {
	tell    func(child.Fact)
	started chan struct{} // closed when the process was started, or the life is over
	readied chan struct{} // closed with ready

	mu      sync.Mutex
	plan    Plan
	ctx     context.Context // of the checks
	cancel  func()
	atEnd   []func()
	gen     uint64 // 0 before the start
	pid     int
	over    bool // nothing is told any more
	paused  bool // the daemon is frozen: no check runs
	silent  bool // neither ready nor unhealthy is
	ready   bool // the readiness check has succeeded, or Ready was called
	healthy bool // the health check has succeeded last, or none has failed too often since
	sick    [2]string
	told    verdict
}

// A verdict is what was last told about a life.
type verdict string

const (
	tellReady     verdict = "ready"
	tellUnhealthy verdict = "unhealthy"
)

// A source is somebody who may find a daemon unhealthy; it is an index of Life.sick.
type source int

const (
	byCheck source = iota
	byOther
)

// Ready says that the daemon is ready, or healthy again after Unhealthy.
func (l *Life) Ready() {
	l.set(func() {
		l.becomeReady()
		l.sick[byOther] = ""
	})
}

// Unhealthy says that something is wrong with the daemon.
func (l *Life) Unhealthy(reason string) {
	l.set(func() { l.sick[byOther] = reason })
}

// Stopping says that the daemon is about to end by itself: nobody wants to know any more whether it is well.
func (l *Life) Stopping() {
	l.mute()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gen != 0 && !l.over {
		l.tell(child.Stopping{Gen: l.gen})
	}
}

// mute ends the checks; the daemon's actor is not told any more that it is ready or unhealthy.
func (l *Life) mute() {
	l.set(func() {
		l.silent = true
		l.cancel()
	})
}

// Extend says that the daemon asks for this much more time to stop, counted from now.
func (l *Life) Extend(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gen != 0 && !l.over {
		l.tell(child.Extend{Gen: l.gen, By: by})
	}
}

// Note says what the daemon has said about itself.
func (l *Life) Note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gen != 0 && !l.over {
		l.tell(child.Note{Gen: l.gen, Text: text})
	}
}

// Started is closed when the program has been executed, and also when the life is over.
func (l *Life) Started() <-chan struct{} { return l.started }

// AtEnd has f called when the life is over, or at once if it is. It must not block.
func (l *Life) AtEnd(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		f()
		return
	}
	l.atEnd = append(l.atEnd, f)
}

// PID is the process ID of the daemon, or 0 while it does not run.
func (l *Life) PID() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return 0
	}
	return l.pid
}

// start: the program was executed.
func (l *Life) start(gen uint64, pid int) {
	l.set(func() {
		if l.gen != 0 {
			return
		}
		l.gen, l.pid = gen, pid
		close(l.started)
		if !l.silent {
			l.check()
		}
	})
}

// check begins the checks of the plan.
func (l *Life) check() {
	if l.paused {
		return
	}
	switch {
	case l.ready:
	case l.plan.Ready != nil:
		go l.poll(l.ctx, l.plan) // ends with the life, or when the check has succeeded
	case !l.plan.Told:
		l.becomeReady()
	}
	if l.plan.Health != nil {
		go l.watch(l.ctx, l.plan) // ends with the life
	} else {
		l.healthy = true
	}
}

// pause ends the checks while the daemon is frozen, or begins them anew. What was known of it stays.
func (l *Life) pause(on bool) {
	l.set(func() {
		if on == l.paused {
			return
		}
		l.paused = on
		l.cancel()
		l.ctx, l.cancel = context.WithCancel(context.Background())
		if l.gen != 0 && !l.silent {
			l.check()
		}
	})
}

// setPlan ends the checks of the plan so far, and begins those of another.
func (l *Life) setPlan(plan Plan) {
	l.set(func() {
		l.cancel()
		l.ctx, l.cancel = context.WithCancel(context.Background())
		l.plan = plan
		l.sick[byCheck] = ""
		if l.gen != 0 && !l.silent {
			l.check()
		}
	})
}

// end: the process has ended, or could not be started.
func (l *Life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	l.over = true
	if l.gen == 0 {
		close(l.started)
	}
	for _, f := range l.atEnd {
		f()
	}
}

func (l *Life) becomeReady() {
	if !l.ready {
		l.ready = true
		close(l.readied)
	}
}

// set changes something, and tells what follows from it.
func (l *Life) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	change()
	if l.gen == 0 || l.silent {
		return
	}
	reason := l.sick[byCheck]
	if reason == "" {
		reason = l.sick[byOther]
	}
	switch {
	case reason != "" && l.told != tellUnhealthy:
		l.told = tellUnhealthy
		l.tell(child.Unhealthy{Gen: l.gen, Reason: printable.Text(reason)})
	case reason == "" && l.ready && l.healthy && l.told != tellReady:
		l.told = tellReady
		l.tell(child.Ready{Gen: l.gen})
	}
}
