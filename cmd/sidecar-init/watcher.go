package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/printable"
	"github.com/bot-bottle/sidecar-init/internal/watch"
	"github.com/bot-bottle/sidecar-init/root"
)

const (
	// A watch that restarts its daemon more often than that is suspended: probably the daemon writes what is watched.
	maxWatched    = 5
	watchedWindow = time.Minute
	// watchExecTime is how long the program of a watch may take.
	watchExecTime = 30 * time.Second
	// watchEnds is how long the end waits for what the watcher has begun.
	watchEnds = 100 * time.Millisecond
)

// A watcher is the component that acts when what is watched has changed: the paths of services, and with reload: auto the files
// of the bundle itself. It counts on nothing but root's list, and holds none.
type watcher struct {
	*reloader
	watch  *watch.Watcher
	ctx    context.Context // of the programs of watches
	cancel context.CancelFunc
	mu     sync.Mutex // held by set, so that the newest bundle wins
}

func newWatcher(r *reloader) *watcher {
	w := &watcher{reloader: r}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.watch = watch.New(watch.Options{Printf: func(format string, args ...any) {
		r.w.logger.Printf("%s", printable.Text(fmt.Sprintf(format, args...)))
	}})
	return w
}

// run watches until close.
func (w *watcher) run() error {
	ended := make(chan struct{})
	go func() {
		_ = w.watch.Run() // there is none
		close(ended)
	}()
	w.set()
	if w.now.Load().AutoReload && w.drifted() { // between the start and now
		w.ask()
	}
	<-w.ctx.Done()
	select {
	case <-ended:
	case <-time.After(watchEnds): // a file system hangs
	}
	return nil
}

func (w *watcher) close() {
	w.cancel()
	w.watch.Close()
}

// set watches what the bundle that runs now says. A watch that was suspended begins anew.
func (w *watcher) set() {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.now.Load()
	var all []watch.Watch
	if b.AutoReload {
		for i, name := range inputs(b) {
			if path, err := filepath.Abs(name); err == nil && name != "-" {
				all = append(all, watch.Watch{Name: "bundle", Path: path, Optional: i >= len(b.Files), Changed: func(string) { w.ask() }})
			}
		}
	}
	for i := range b.Daemons {
		for _, v := range b.Daemons[i].Watch {
			all = append(all, w.service(b.Daemons[i].Spec.Name, v))
		}
	}
	w.watch.Set(all)
}

// service is a watch of a daemon. Its name keeps those of one path, which do different things, apart.
func (w *watcher) service(name string, v bundle.Watch) watch.Watch {
	var last []time.Time // when the daemon was restarted
	suspended := false
	return watch.Watch{
		Name: fmt.Sprint(name, v.Action, v.Signal, v.Exec), Path: v.Path,
		Filter:   watch.Filter{Include: v.Include, Ignore: v.Ignore},
		Debounce: v.Debounce, Poll: v.Poll,
		Changed: func(path string) {
			path = printable.Text(path)
			if suspended {
				return
			}
			now := time.Now()
			last = slices.DeleteFunc(last, func(t time.Time) bool { return now.Sub(t) >= watchedWindow })
			if suspended = len(last) >= maxWatched; suspended {
				w.w.logger.Printf("%s: %s has changed more than %d times in %v; its watch is suspended until the next reload",
					name, path, maxWatched, watchedWindow)
				return
			}
			if w.changed(name, path, v) && v.Action == bundle.WatchRestart {
				last = append(last, now)
			}
		},
	}
}

// changed does what a watch says, and reports whether there was something to be done it to. A daemon that does not run is not
// started: who has stopped it meant it, and one that has ended finds the new content when it is started.
func (w *watcher) changed(name, path string, v bundle.Watch) bool {
	if v.Action == bundle.WatchReload {
		w.w.logger.Printf("%s: %s changed; reloading", name, path)
		w.ask()
		return true
	}
	all, err := w.statuses(w.ctx)
	if err != nil {
		return false // the bundle ends
	}
	i := slices.IndexFunc(all, func(s child.Status) bool { return s.Name == name })
	if i < 0 {
		return false // it has just left
	}
	s := &all[i]
	lives := s.State.Alive() && s.State != child.StateStopping
	if !lives && (s.State != child.StateBackoff || v.Action != bundle.WatchRestart) {
		w.w.logger.Printf("%s: %s changed; nothing to do, since it is %s", name, path, s.State)
		return false
	}
	switch v.Action {
	case bundle.WatchSignal:
		w.w.logger.Printf("%s: %s changed; sending %s", name, path, unix.SignalName(v.Signal))
		_ = w.to.Tell(root.Do{Name: name, Msg: child.Signal{Sig: v.Signal}})
	case bundle.WatchExec:
		command := printable.Text(strings.Join(v.Exec, " "))
		w.w.logger.Printf("%s: %s changed; executing %s", name, path, command)
		w.execute(name, command, s.Data.(*unit), v.Exec)
	default:
		w.w.logger.Printf("%s: %s changed; restarting", name, path)
		_ = w.to.Tell(root.Do{Name: name, Msg: child.Restart{}})
	}
	return true
}

// execute executes the program of a watch, and tells of a failure.
func (w *watcher) execute(name, command string, d *unit, argv []string) {
	ctx, cancel := context.WithTimeout(w.ctx, watchExecTime)
	defer cancel()
	d.mu.Lock()
	def := d.def
	d.mu.Unlock()
	switch err := d.helper(def, argv)(ctx); {
	case err == nil, w.ctx.Err() != nil:
	case ctx.Err() != nil:
		w.w.logger.Printf("%s: %s has taken longer than %v, and was killed", name, command, watchExecTime)
	default:
		w.w.logger.Printf("%s: %s failed: %s", name, command, printable.Text(err.Error()))
	}
}
