package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultDebounce = 300 * time.Millisecond
	defaultPoll     = 10 * time.Second
	longest         = 10 // debounces, for which events may put a look off
	atOnce          = 4  // looks: each holds a thread while the file system works
	patience        = time.Second
	overdue         = 10 * time.Second // a look that takes longer is told, and counts no more as one of atOnce
)

// Options of a Watcher.
type Options struct {
	// Printf writes one line. It must not block for long.
	Printf func(format string, args ...any)
}

// A Watch says what is to be watched. Name tells watches apart that are otherwise alike.
type Watch struct {
	Name string
	Path string // absolute
	Filter
	Debounce time.Duration // 0: 300ms
	Poll     time.Duration // 0: where changes are not reported, each 10s
	// Optional: that the path does not exist is worth no line.
	Optional bool
	// Changed is called on a goroutine of its own each time that the content differs from that of the look before. What changes
	// while it runs calls it once more. Calls of one watch do not overlap.
	Changed func(path string)
}

// A Watcher calls a function when the content of a path has changed.
type Watcher struct {
	printf  func(string, ...any)
	sets    chan set
	events  chan []event
	results chan result
	called  chan *entry
	closed  chan struct{} // by Close
	over    chan struct{} // by Run, when it returns
	once    sync.Once

	// What only Run's goroutine touches.
	entries []*entry
	places  map[int32]map[*entry]bool
	notify  *inotify // nil: not needed yet, or refused
	looking int      // looks that run and are not overdue
	running int      // goroutines that will post a result or a call

	// What a test replaces.
	open   func() (*inotify, error)
	add    func(*inotify, string) (int32, error)
	silent func(string) string
	scan   func(*Scanner, string, Filter) (Look, error)
}

// A set is a list that Set hands over. Run answers with the watches that have not been looked at.
type set struct {
	watches []Watch
	reply   chan []*entry
}

// A result is what a look found.
type result struct {
	e *entry
	Look
	err    error
	wds    map[int32]map[string]bool // the numbers of Look.Places
	missed bool                      // a place vanished before it was watched
	deaf   string                    // why a place cannot be watched
}

// New returns a Watcher that watches nothing.
func New(o Options) *Watcher {
	return &Watcher{
		printf:  o.Printf,
		sets:    make(chan set),
		events:  make(chan []event),
		results: make(chan result),
		called:  make(chan *entry),
		closed:  make(chan struct{}),
		over:    make(chan struct{}),
		places:  map[int32]map[*entry]bool{},
		open:    openInotify,
		add:     (*inotify).add,
		silent:  silent,
		scan:    (*Scanner).Look,
	}
}

// Set replaces the list of watches. One that was in the list before, with the same values, goes on as it is, and only its Changed
// is replaced. A new one is compared with what it finds first; Set waits for that, at most a second. Before that it waits for Run.
func (w *Watcher) Set(watches []Watch) {
	s := set{watches, make(chan []*entry, 1)}
	select {
	case w.sets <- s:
	case <-w.closed:
		return
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for _, e := range <-s.reply {
		select {
		case <-e.seen:
		case <-w.closed:
			return
		case <-timeout.C:
			return
		}
	}
}

// Close ends Run. It does not wait for it, and may be called more than once, and before Run.
func (w *Watcher) Close() { w.once.Do(func() { close(w.closed) }) }

// Run watches until Close. It then waits for what it began, at most a second: a call, or a look at a file system that hangs, is
// left behind.
func (w *Watcher) Run() error {
	defer close(w.over)
	defer w.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		w.begin(now)
		if next := w.next(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(next.Sub(now))
		}
		select {
		case <-w.closed:
			return nil
		case s := <-w.sets:
			s.reply <- w.set(s.watches)
		case events := <-w.events:
			for _, ev := range events {
				w.event(ev)
			}
		case r := <-w.results:
			w.running--
			w.found(r)
		case e := <-w.called:
			w.running--
			e.calling = false
			if e.again && !e.removed {
				w.call(e)
			}
		case <-timer.C:
		}
	}
}

func (w *Watcher) end() {
	if w.notify != nil {
		w.notify.file.Close()
		<-w.notify.done
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for ; w.running > 0; w.running-- {
		select {
		case <-w.results:
		case <-w.called:
		case <-timeout.C:
			return
		}
	}
}

func (w *Watcher) set(watches []Watch) (unseen []*entry) {
	old := map[string]*entry{}
	for _, e := range w.entries {
		old[e.key] = e
	}
	w.entries = nil
	kept := map[string]*entry{}
	for _, v := range watches {
		k := key(v)
		if e := kept[k]; e != nil { // said twice
			e.Changed = v.Changed
			continue
		}
		e := old[k]
		if e == nil {
			e = newEntry(k, v)
		}
		delete(old, k)
		e.Changed = v.Changed
		kept[k], w.entries = e, append(w.entries, e)
		if !e.looked {
			unseen = append(unseen, e)
		}
	}
	for _, e := range old {
		e.removed = true
		w.keep(e, nil)
		w.idle(e)
	}
	return unseen
}

// begin begins the looks that are due.
func (w *Watcher) begin(now time.Time) {
	for _, e := range w.entries {
		if e.looking && !e.late && now.Sub(e.began) >= overdue {
			w.idle(e)
			e.tell(w, "cannot look at %s: the file system does not answer", e.Path)
		}
		if e.looking || e.due.IsZero() || e.due.After(now) || w.looking >= atOnce {
			continue
		}
		if e.Poll == 0 && !e.polled && w.notify == nil {
			n, err := w.open()
			if err == nil {
				w.notify = n
				go n.read(w.events, w.closed)
			} else {
				w.poll(e, err.Error())
			}
		}
		e.due, e.first, e.began, e.looking, e.late = time.Time{}, time.Time{}, now, true, false
		w.looking++
		w.running++
		n := w.notify
		if e.polls() > 0 {
			n = nil
		}
		go w.look(e, n)
	}
}

// idle says that the look of e, if one runs, is none that others wait for.
func (w *Watcher) idle(e *entry) {
	if e.looking && !e.late {
		e.late = true
		w.looking--
	}
}

// next returns when something is due next, or zero.
func (w *Watcher) next() (next time.Time) {
	for _, e := range w.entries {
		t := e.due
		switch {
		case e.late:
			continue
		case e.looking:
			t = e.began.Add(overdue)
		case w.looking >= atOnce: // the end of a look is what it waits for
			continue
		}
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// look looks at e on a goroutine of its own, on which the file system may hang.
func (w *Watcher) look(e *entry, n *inotify) {
	r := result{e: e, wds: map[int32]map[string]bool{}}
	r.Look, r.err = w.scan(&e.scanner, e.Path, e.Filter)
	if n != nil {
		r.listen(w, n)
	}
	select {
	case w.results <- r:
	case <-w.over:
	}
}

// listen watches the places that the look found.
func (r *result) listen(w *Watcher, n *inotify) {
	for place, names := range r.Places {
		if fs := w.silent(place); fs != "" {
			r.deaf = fs + " does not report changes"
			return
		}
		wd, err := w.add(n, place)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			r.missed = true
			continue
		case err != nil:
			r.deaf = err.Error()
			return
		}
		// Two paths may lead to one inode.
		known, twice := r.wds[wd]
		switch {
		case !twice || names == nil:
			r.wds[wd] = names
		case known != nil:
			both := map[string]bool{}
			for _, m := range []map[string]bool{known, names} {
				for name := range m {
					both[name] = true
				}
			}
			r.wds[wd] = both
		}
	}
}

// event puts the looks off that it is a reason for.
func (w *Watcher) event(ev event) {
	now := time.Now()
	if ev.mask&unix.IN_Q_OVERFLOW != 0 {
		for _, e := range w.entries {
			if e.wds != nil {
				e.touched(now)
			}
		}
		return
	}
	for e := range w.places[ev.wd] {
		if names := e.wds[ev.wd]; ev.name == "" || names == nil || names[ev.name] {
			e.touched(now)
		}
		if ev.mask&unix.IN_IGNORED != 0 {
			delete(e.wds, ev.wd)
		}
	}
	if ev.mask&unix.IN_IGNORED != 0 {
		delete(w.places, ev.wd)
	}
}

// keep makes wds those of e, and says whether one is new. What nobody needs any more is removed.
func (w *Watcher) keep(e *entry, wds map[int32]map[string]bool) (fresh bool) {
	for wd := range wds {
		if w.places[wd] == nil {
			w.places[wd] = map[*entry]bool{}
		}
		fresh = fresh || !w.places[wd][e]
		w.places[wd][e] = true
	}
	for wd := range e.wds {
		if _, ok := wds[wd]; ok {
			continue
		}
		delete(w.places[wd], e)
		if len(w.places[wd]) == 0 {
			delete(w.places, wd)
			w.notify.remove(wd)
		}
	}
	e.wds = wds
	return fresh
}

// found takes the result of a look.
func (w *Watcher) found(r result) {
	e := r.e
	w.idle(e)
	e.looking, e.late = false, false
	fresh := w.keep(e, r.wds)
	if e.removed {
		w.keep(e, nil)
		return
	}
	if r.deaf != "" {
		w.keep(e, nil)
		w.poll(e, r.deaf)
	}
	changed, again := e.judge(w, r)
	now := time.Now()
	// What happened in a place between the look and its being watched was not reported, so that there is another look.
	if fresh || r.missed || again {
		e.at(now.Add(e.Debounce))
	}
	if d := e.polls(); d > 0 {
		e.at(now.Add(d))
	} else if r.err != nil { // a look that broke off has not found each place
		e.at(now.Add(defaultPoll))
	}
	if changed {
		w.call(e)
	}
}

func (w *Watcher) poll(e *entry, why string) {
	e.polled = true
	w.printf("%s: %s; it is looked at every %v", e.Path, why, defaultPoll)
}

// call calls Changed, or does so when the call that runs is over.
func (w *Watcher) call(e *entry) {
	if e.again = e.calling; e.again {
		return
	}
	e.calling = true
	w.running++
	changed := e.Changed
	go func() {
		changed(e.Path)
		select {
		case w.called <- e:
		case <-w.over:
		}
	}()
}

func key(v Watch) string {
	return fmt.Sprintf("%q %q %d %d %q %q %t", v.Name, v.Path, v.Debounce, v.Poll, v.Include, v.Ignore, v.Optional)
}
