package watch

import (
	"errors"
	"fmt"
	"time"
)

// An entry is a Watch and what is known of it.
type entry struct {
	Watch
	key     string
	scanner Scanner
	wds     map[int32]map[string]bool // its places, by inotify's numbers, with the names that decide
	removed bool                      // by Set
	polled  bool                      // because changes are not reported

	due, first time.Time // the next look, and the first event that it is for
	began      time.Time // the look that runs
	looking    bool
	late       bool // nothing waits for it any more

	seen     chan struct{} // closed after the first look
	looked   bool
	base     Look // what Changed was called for last
	next     Look // what it may be called for
	tries    int  // looks that found yet another content
	gone     bool // the last look found nothing
	replaced *ReplacedError
	told     string // the problem that was told last
	warned   bool   // of what was replaced

	calling, again bool
}

func newEntry(key string, v Watch) *entry {
	if v.Debounce == 0 {
		v.Debounce = defaultDebounce
	}
	return &entry{Watch: v, key: key, due: time.Now(), seen: make(chan struct{})}
}

// polls returns how often e is looked at by the clock, or zero.
func (e *entry) polls() time.Duration {
	if e.Poll == 0 && e.polled {
		return defaultPoll
	}
	return e.Poll
}

// at has a look at t, unless one is due earlier.
func (e *entry) at(t time.Time) {
	if e.due.IsZero() || t.Before(e.due) {
		e.due = t
	}
}

// touched has a look when nothing has happened for the debounce, or too much.
func (e *entry) touched(now time.Time) {
	if e.first.IsZero() {
		e.first = now
	}
	e.due = now.Add(e.Debounce)
	if last := e.first.Add(longest * e.Debounce); last.Before(e.due) {
		e.due = last
	}
}

// judge says whether the content has changed, and whether only another look tells. What the first look finds is what others are
// compared with: content that could not be read at first has changed when it can be.
func (e *entry) judge(w *Watcher, r result) (changed, again bool) {
	gone, replaced := e.gone, e.replaced
	e.gone, e.replaced = r.err == nil && r.Gone, r.Replaced
	if !e.looked {
		e.looked = true
		defer close(e.seen)
		if r.err == nil { // else no look is the same: the sum of nothing is not zero
			e.base = Look{Sum: r.Sum, Gone: r.Gone}
		}
	}
	switch {
	case errors.Is(r.err, ErrUnstable):
		return false, true
	case r.err != nil:
		e.tell(w, "cannot look at %s: %v", e.Path, r.err)
		return false, false
	case r.Gone && !gone:
		return false, true
	case r.Gone: // for longer than a replacement takes
		if !e.Optional {
			e.tell(w, "%s does not exist; it is waited for", e.Path)
		}
		return false, false
	}
	e.told = ""
	if r.Replaced.is(replaced) && !e.warned {
		e.warned = true
		w.printf("%v", r.Replaced)
	}
	again = r.Replaced != nil && !e.warned
	if r.Same(e.base) {
		e.tries = 0
		return false, again
	}
	// The clock does not know whether a writer is in the middle of it, as events do.
	if e.polls() > 0 && !r.Same(e.next) && e.tries < longest {
		e.next, e.tries = Look{Sum: r.Sum}, e.tries+1
		return false, true
	}
	e.base, e.next, e.tries = Look{Sum: r.Sum}, Look{}, 0
	return true, again
}

// tell tells a problem once.
func (e *entry) tell(w *Watcher, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != e.told {
		e.told = text
		w.printf("%s", text)
	}
}
