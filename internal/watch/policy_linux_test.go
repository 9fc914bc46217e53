package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fake returns a Watcher whose inotify watches each path under number 1, whose events the test sends, and whose looks find what
// found holds.
func fake(l *lines, found *atomic.Pointer[result]) *Watcher {
	w := New(Options{Printf: l.printf})
	w.open = func() (*inotify, error) {
		n, err := openInotify()
		if err == nil {
			n.file.Close()
		}
		return n, err
	}
	w.add = func(*inotify, string) (int32, error) { return 1, nil }
	w.silent = func(string) string { return "" }
	w.scan = func(*Scanner, string, Filter) (Look, error) {
		r := found.Load()
		return Look{Sum: r.Sum, Gone: r.Gone, Replaced: r.Replaced, Places: map[string]map[string]bool{"/d": nil}}, r.err
	}
	return w
}

func content(c byte) *result { return &result{Look: Look{Sum: [32]byte{c}}} }

// TestPolicy: what is told of, and called for, as looks find one thing after the other, an event before each.
func TestPolicy(t *testing.T) {
	gone, broken, half := &result{Look: Look{Gone: true}}, &result{err: fs.ErrPermission}, &result{err: ErrUnstable}
	old := func(ino uint64) *result {
		return &result{Look: Look{Sum: [32]byte{1}, Replaced: &ReplacedError{"/d/f", 1, ino}}}
	}
	const (
		missing  = "/d does not exist; it is waited for"
		refused  = "cannot look at /d: permission denied"
		replaced = "/d/f was replaced outside of the container; mount its directory"
	)
	for _, tt := range []struct {
		name  string
		looks []*result
		calls int32
		lines []string
	}{
		{"the same", []*result{content(1), content(1), content(1)}, 0, nil},
		{"other content, each time", []*result{content(1), content(2), content(1)}, 2, nil},
		{"missing at first", []*result{gone, gone, content(1)}, 1, []string{missing}},
		{"missing, and back", []*result{content(1), gone, gone, content(1)}, 0, []string{missing}},
		{"missing, and back with other content", []*result{content(1), gone, content(2)}, 1, []string{missing}},
		{"missing twice", []*result{content(1), gone, content(1), gone}, 0, []string{missing, missing}},
		{"unreadable", []*result{content(1), broken, broken, content(1)}, 0, []string{refused}},
		{"unreadable, and back with other content", []*result{content(1), broken, content(2)}, 1, []string{refused}},
		{"unreadable at first", []*result{broken, content(1), content(1)}, 1, []string{refused}},
		{"unreadable twice", []*result{content(1), broken, content(1), broken}, 0, []string{refused, refused}},
		{"in the middle of a write", []*result{content(1), half, content(2)}, 1, nil},
		{"replaced outside", []*result{content(1), old(1), old(1), content(1), old(2)}, 0, []string{replaced}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLines()
				var found atomic.Pointer[result]
				var calls atomic.Int32
				w := fake(l, &found)
				found.Store(tt.looks[0])
				stop := run(t, w)
				w.Set([]Watch{{Path: "/d", Changed: func(string) { calls.Add(1) }}})
				for _, r := range tt.looks[1:] {
					time.Sleep(25 * time.Second)
					found.Store(r)
					w.events <- []event{{wd: 1, name: "f"}}
				}
				time.Sleep(25 * time.Second)
				stop()
				if got := calls.Load(); got != tt.calls {
					t.Errorf("%d calls, want %d", got, tt.calls)
				}
				if got, want := l.String(), strings.Join(tt.lines, "\n"); got != want {
					t.Errorf("printed\n%s\nwant\n%s", got, want)
				}
			})
		})
	}
}

// TestOneLookAtWhatVanishes: a moment without the file, and a moment in which it has no link, are told to nobody.
func TestOneLookAtWhatVanishes(t *testing.T) {
	for _, moment := range []*result{{Look: Look{Gone: true}}, {Look: Look{Sum: [32]byte{1}, Replaced: &ReplacedError{"/d/f", 1, 1}}}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLines()
			var found atomic.Pointer[result]
			w := fake(l, &found)
			found.Store(content(1))
			stop := run(t, w)
			w.Set([]Watch{{Path: "/d"}})
			time.Sleep(time.Minute)
			found.Store(moment)
			w.events <- []event{{wd: 1, name: "f"}}
			time.Sleep(defaultDebounce + time.Millisecond)
			found.Store(content(1))
			time.Sleep(time.Minute)
			stop()
			if got := l.String(); got != "" {
				t.Errorf("printed %s", got)
			}
		})
	}
}

// TestDebounce: a look is when nothing has happened for the debounce, and at last after ten.
func TestDebounce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []event
		n      int
		want   time.Duration
	}{
		{"one", []event{{wd: 1}}, 1, 300 * time.Millisecond},
		{"three", []event{{wd: 1}}, 3, 500 * time.Millisecond},
		{"a hundred", []event{{wd: 1}}, 100, 3 * time.Second},
		{"some were lost", []event{{wd: -1, mask: unix.IN_Q_OVERFLOW}}, 1, 300 * time.Millisecond},
		{"of another place", []event{{wd: 2}}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var found atomic.Pointer[result]
				w := fake(newLines(), &found)
				found.Store(content(1))
				var called atomic.Int64
				stop := run(t, w)
				var start time.Time
				w.Set([]Watch{{Path: "/d", Changed: func(string) { called.Store(int64(time.Since(start))) }}})
				time.Sleep(time.Minute)
				found.Store(content(2))
				start = time.Now()
				for range tt.n {
					w.events <- tt.events
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				stop()
				if got := time.Duration(called.Load()); got != tt.want {
					t.Errorf("called after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestFallback: where inotify is refused, or of no use, the clock does, and one line says so.
func TestFallback(t *testing.T) {
	refuse := func(err error) func(*Watcher) {
		return func(w *Watcher) { w.open = func() (*inotify, error) { return nil, err } }
	}
	for _, tt := range []struct {
		name string
		set  func(*Watcher)
		poll time.Duration
		want string // printed
		took time.Duration
	}{
		{"no descriptor", refuse(unix.EMFILE), 0, "/d: too many open files; it is looked at every 10s", 10 * time.Second},
		{"no call", refuse(unix.ENOSYS), 0, "/d: function not implemented; it is looked at every 10s", 10 * time.Second},
		{"a profile", refuse(unix.EPERM), 0, "/d: operation not permitted; it is looked at every 10s", 10 * time.Second},
		{"no watch", func(w *Watcher) {
			w.add = func(*inotify, string) (int32, error) { return 0, unix.ENOSPC }
		}, 0, "/d: no space left on device; it is looked at every 10s", 10 * time.Second},
		{"NFS", func(w *Watcher) {
			w.silent = func(string) string { return silentType(unix.NFS_SUPER_MAGIC) }
		}, 0, "/d: NFS does not report changes; it is looked at every 10s", 10 * time.Second},
		{"wanted", func(w *Watcher) {
			w.open = func() (*inotify, error) { return nil, errors.New("not needed") }
		}, time.Second, "", time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLines()
				var found atomic.Pointer[result]
				w := fake(l, &found)
				tt.set(w)
				found.Store(content(1))
				var called atomic.Int64
				stop := run(t, w)
				var start time.Time
				w.Set([]Watch{{Path: "/d", Poll: tt.poll, Changed: func(string) { called.Store(int64(time.Since(start))) }}})
				time.Sleep(defaultDebounce) // until the look after the first
				start = time.Now()
				found.Store(content(2))
				time.Sleep(time.Minute)
				stop()
				if got := l.String(); got != tt.want {
					t.Errorf("printed %s, want %s", got, tt.want)
				}
				// What is new is looked at again after the debounce: it may be half written.
				if got := time.Duration(called.Load()); got > tt.took+defaultDebounce || got == 0 {
					t.Errorf("called after %v, want at most %v", got, tt.took+defaultDebounce)
				}
			})
		})
	}
}

// TestPollHalfWritten: content that the clock finds in the middle of a write is not called for.
func TestPollHalfWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found atomic.Pointer[result]
		var calls atomic.Int32
		w := fake(newLines(), &found)
		found.Store(content(1))
		stop := run(t, w)
		w.Set([]Watch{{Path: "/d", Poll: time.Second, Changed: func(string) { calls.Add(1) }}})
		for i := range 5 {
			found.Store(content(byte(i + 2)))
			time.Sleep(defaultDebounce)
		}
		time.Sleep(time.Minute)
		stop()
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
	})
}

// TestIdle: a Watcher that polls nothing has no timer.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found atomic.Pointer[result]
		w := fake(newLines(), &found)
		found.Store(content(1))
		looks := counted(w)
		stop := run(t, w)
		w.Set([]Watch{{Path: "/d"}})
		time.Sleep(time.Hour)
		stop()
		if got := len(looks); got != 2 { // the second is of the time before it was watched
			t.Errorf("%d looks in an hour, want 2", got)
		}
		if got := w.next(); !got.IsZero() {
			t.Errorf("something is due at %v", got)
		}
	})
}

// TestHungFileSystem: looks that hang hold up Set and Close for a second, and other watches for ten.
func TestHungFileSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLines()
		var found atomic.Pointer[result]
		w := fake(l, &found)
		found.Store(content(1))
		hang, scan := make(chan struct{}), w.scan
		defer close(hang)
		w.scan = func(s *Scanner, path string, f Filter) (Look, error) {
			if strings.HasPrefix(path, "/nfs") {
				<-hang
			}
			return scan(s, path, f)
		}
		done := make(chan error)
		go func() { done <- w.Run() }()
		took := func(what string, want time.Duration, f func()) {
			start := time.Now()
			f()
			if got := time.Since(start); got != want {
				t.Errorf("%s took %v, want %v", what, got, want)
			}
		}
		list := []Watch{{Path: "/nfs/1"}, {Path: "/nfs/2"}, {Path: "/nfs/3"}, {Path: "/nfs/4"}, {Path: "/d"}}
		took("Set", patience, func() { w.Set(list) })
		time.Sleep(overdue)
		if got, want := l.String(), "cannot look at /nfs/1: the file system does not answer\n"; !strings.HasPrefix(got+"\n", want) || strings.Count(got, "\n") != 3 {
			t.Errorf("printed\n%s\nwant 4 lines, and first\n%s", got, want)
		}
		took("Set of what is known", patience, func() { w.Set(list) })
		took("Set of what answers", 0, func() { w.Set(list[4:]) })
		took("Close", patience, func() {
			w.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		took("Set after Close", 0, func() { w.Set(list) })
	})
}

// TestHungCall: a call that does not end holds up Close for a second.
func TestHungCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var found atomic.Pointer[result]
		w := fake(newLines(), &found)
		found.Store(content(1))
		hang := make(chan struct{})
		defer close(hang)
		done := make(chan error)
		go func() { done <- w.Run() }()
		w.Set([]Watch{{Path: "/d", Poll: time.Second, Changed: func(string) { <-hang }}})
		found.Store(content(2))
		time.Sleep(time.Minute)
		start := time.Now()
		w.Close()
		<-done
		if got := time.Since(start); got != patience {
			t.Errorf("Close took %v, want %v", got, patience)
		}
	})
}

func TestCloseFirst(t *testing.T) {
	w := New(Options{Printf: t.Logf})
	w.Close()
	w.Close()
	w.Set([]Watch{{Path: "/d"}})
	if err := w.Run(); err != nil {
		t.Error(err)
	}
}

// TestSilent: the file systems of this machine's /proc and temporary files report, as far as the type tells.
func TestSilent(t *testing.T) {
	if got := silent(filepath.Join(os.TempDir(), "nowhere")); got != "" {
		t.Errorf("what is not there is on %s", got)
	}
	for magic, want := range map[uint32]string{
		0x6969: "NFS", 0x01021997: "9p", 0x65735546: "FUSE", 0xff534d42: "SMB", 0xfe534d42: "SMB", 0x00c36400: "Ceph",
		unix.OVERLAYFS_SUPER_MAGIC: "", unix.EXT4_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "",
	} {
		if got := silentType(magic); got != want {
			t.Errorf("%#x is %q, want %q", magic, got, want)
		}
	}
}
