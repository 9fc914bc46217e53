package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const long = 20 * time.Second // nothing takes that long, unless it never comes

// A lines collects what is printed.
type lines struct {
	mu   sync.Mutex
	text []string
	more chan struct{}
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1000)} }

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, fmt.Sprintf(format, args...))
	l.more <- struct{}{}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.text, "\n")
}

func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(long):
		t.Fatalf("no %s after %v", what, long)
	}
	return v
}

// run runs w; what it returns ends it, and waits for it.
func run(t testing.TB, w *Watcher) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.Run() }()
	stop = sync.OnceFunc(func() {
		w.Close()
		if err := await(t, done, "end of Run"); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// counted makes w tell when a look begins.
func counted(w *Watcher) <-chan struct{} {
	c, scan := make(chan struct{}, 10_000), w.scan
	w.scan = func(s *Scanner, path string, f Filter) (Look, error) {
		c <- struct{}{}
		return scan(s, path, f)
	}
	return c
}

// TestWatch: each change leads to one call, or none, told by events and by the clock alike.
func TestWatch(t *testing.T) {
	for _, poll := range []time.Duration{0, 20 * time.Millisecond} {
		for _, tt := range changesOf() {
			t.Run(fmt.Sprintf("poll %v/%s", poll, tt.name), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				write(t, dir+"/f", "1")
				if tt.setup != nil {
					tt.setup(t, dir)
				}
				l := newLines()
				w := New(Options{Printf: l.printf})
				looks, calls, n := counted(w), make(chan string, 100), 0
				stop := run(t, w)
				path := filepath.Join(dir, tt.path)
				w.Set([]Watch{{Path: path, Filter: tt.f, Debounce: 200 * time.Millisecond, Poll: poll, Changed: func(p string) { calls <- p }}})
				tt.do(t, dir)
				if !tt.same && !tt.gone {
					n++
					if got := await(t, calls, "call"); got != path {
						t.Errorf("got a call for %s, want %s", got, path)
					}
				}
				for len(looks) > 0 {
					<-looks
				}
				for range 2 { // when the second look from now on begins, the first has been judged
					must(t, os.Chtimes(dir, time.Now(), time.Now()))
					await(t, looks, "look")
				}
				if tt.gone {
					await(t, l.more, "line")
					if got, want := l.String(), path+" does not exist; it is waited for"; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
					write(t, dir+"/f", "2")
					await(t, calls, "call for its return")
				}
				stop()
				if len(calls) > 0 {
					t.Errorf("%d calls, want %d", n+len(calls), n)
				}
			})
		}
	}
}

// TestWatchSwaps: one call for each swap of a ConfigMap, for its directory and for a file in it.
func TestWatchSwaps(t *testing.T) {
	dir := t.TempDir()
	swap(t, dir, "..0", "0")
	l := newLines()
	w := New(Options{Printf: l.printf})
	stop := run(t, w)
	var n atomic.Int32
	calls := make(chan string, 1000)
	changed := func(string) {
		n.Add(1)
		calls <- ""
	}
	d := 5 * time.Millisecond
	w.Set([]Watch{{Path: dir, Debounce: d, Changed: changed}, {Path: dir + "/app", Debounce: d, Changed: changed}})
	for i := 1; i <= 100; i++ {
		swap(t, dir, fmt.Sprint("..", i), fmt.Sprint(i))
		await(t, calls, fmt.Sprint("call for the first of swap ", i))
		await(t, calls, fmt.Sprint("call for the second of swap ", i))
	}
	stop()
	if got := n.Load(); got != 200 {
		t.Errorf("%d calls, want 200", got)
	}
	if got := l.String(); got != "" {
		t.Errorf("printed %s", got)
	}
}

func TestWatchBurst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "")
	w := New(Options{Printf: t.Logf})
	stop := run(t, w)
	calls, n := make(chan string, 1000), 1
	w.Set([]Watch{{Path: path, Changed: func(p string) {
		b, _ := os.ReadFile(p)
		calls <- string(b)
	}}})
	for i := range 1000 {
		write(t, path, fmt.Sprint(i))
	}
	for ; await(t, calls, "call") != "999"; n++ {
	}
	stop()
	if n += len(calls); n > 2 {
		t.Errorf("%d calls, want at most 2", n)
	}
}

// TestWatchSiblings: what happens beside a watched path is no reason for a look.
func TestWatchSiblings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/f", "")
	w := New(Options{Printf: t.Logf})
	looks, calls := counted(w), make(chan string, 10)
	stop := run(t, w)
	w.Set([]Watch{{Path: dir + "/f", Debounce: time.Millisecond, Changed: func(p string) { calls <- p }}})
	await(t, looks, "first look")
	await(t, looks, "look after the places were watched")
	for i := range 100 {
		write(t, dir+"/log", fmt.Sprint(i))
	}
	write(t, dir+"/f", "1")
	await(t, calls, "call")
	stop()
	if got := len(looks); got > 3 { // of an open that empties, and a write; and of a look in between
		t.Errorf("%d looks, want at most 3", got)
	}
}

// TestWatchTwoPaths: two paths that lead to one inode are both told, also when one of them is no longer watched.
func TestWatchTwoPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/d/f", "1")
	must(t, os.Symlink("d", dir+"/e"), os.Link(dir+"/d/f", dir+"/g"))
	w := New(Options{Printf: t.Logf})
	run(t, w)
	calls := make(chan string, 10)
	watch := func(name string) Watch {
		return Watch{Path: dir + name, Debounce: 50 * time.Millisecond, Changed: func(p string) { calls <- p }}
	}
	w.Set([]Watch{watch("/d"), watch("/e"), watch("/g")})
	write(t, dir+"/g", "2")
	got := map[string]bool{}
	for len(got) < 3 {
		got[await(t, calls, "call")] = true
	}
	w.Set([]Watch{watch("/e")})
	write(t, dir+"/g", "3")
	for await(t, calls, "call") != dir+"/e" {
	}
}

// TestWatchSet: an unchanged watch goes on as it is, with its new Changed.
func TestWatchSet(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/f", "1")
	w := New(Options{Printf: t.Logf})
	looks := counted(w)
	run(t, w)
	calls := make(chan string, 10)
	set := func(name string) {
		w.Set([]Watch{{Path: dir + "/f", Debounce: time.Millisecond, Changed: func(string) { calls <- name }}})
	}
	set("old")
	await(t, looks, "first look")
	await(t, looks, "second look")
	set("new")
	if len(looks) > 0 {
		t.Error("there was another look")
	}
	write(t, dir+"/f", "2")
	if got := await(t, calls, "call"); got != "new" {
		t.Errorf("%s was called, want new", got)
	}
}

// TestWatchCalls: calls of one watch do not overlap, and what changes meanwhile gives one more.
func TestWatchCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "0")
	w := New(Options{Printf: t.Logf})
	stop := run(t, w)
	entered, leave := make(chan string, 10), make(chan struct{})
	looks := counted(w)
	w.Set([]Watch{{Path: path, Debounce: time.Millisecond, Changed: func(string) {
		entered <- ""
		<-leave
	}}})
	write(t, path, "1")
	await(t, entered, "call")
	for i := range 3 {
		for len(looks) > 0 {
			<-looks
		}
		write(t, path, fmt.Sprint(i+2))
		await(t, looks, "look")
	}
	if len(entered) > 0 {
		t.Error("there are two calls at a time")
	}
	leave <- struct{}{}
	await(t, entered, "second call")
	close(leave)
	stop()
}

// marks is how many inodes the process watches.
func marks(t testing.TB) (n int) {
	fds, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		b, _ := os.ReadFile("/proc/self/fdinfo/" + fd.Name())
		n += strings.Count(string(b), "inotify wd:")
	}
	return n
}

// TestWatchFlat: a thousand lists leave neither descriptors nor goroutines nor inotify's watches.
func TestWatchFlat(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		write(t, fmt.Sprintf("%s/%d/f", dir, i), "")
	}
	w := New(Options{Printf: t.Logf})
	stop := run(t, w)
	count := func() [3]int {
		fds, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return [3]int{len(fds), runtime.NumGoroutine(), marks(t)}
	}
	list := func(i int) []Watch {
		return []Watch{
			{Path: fmt.Sprintf("%s/%d/f", dir, i%10), Debounce: time.Millisecond},
			{Path: fmt.Sprintf("%s/%d", dir, (i+1)%10), Debounce: time.Millisecond},
		}
	}
	w.Set(list(0))
	w.Set(nil)
	before := count()
	for i := range 1000 {
		w.Set(list(i))
	}
	w.Set(nil)
	// The last looks end. When the count before was taken, one may have run.
	flat := func(after [3]int) bool { return after[0] <= before[0] && after[1] <= before[1] && after[2] == 0 }
	after, end := count(), time.Now().Add(long)
	for ; !flat(after) && time.Now().Before(end); after = count() {
		runtime.Gosched()
	}
	if !flat(after) {
		t.Errorf("%v descriptors, goroutines and watches, want at most %v", after, before)
	}
	stop()
	if len(w.places) > 0 {
		t.Errorf("%d places are left", len(w.places))
	}
}

// BenchmarkChange is one change among 1,000 watched files, from the write to the call, less the debounce.
func BenchmarkChange(b *testing.B) {
	dir := b.TempDir()
	calls := make(chan string, 1000)
	var list []Watch
	for i := range 1000 {
		path := fmt.Sprintf("%s/%d", dir, i)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			b.Fatal(err)
		}
		list = append(list, Watch{Path: path, Debounce: time.Microsecond, Changed: func(p string) { calls <- p }})
	}
	w := New(Options{Printf: b.Logf})
	run(b, w)
	w.Set(list)
	text, i := []byte("x"), 0
	for b.Loop() {
		f, err := os.OpenFile(list[i%1000].Path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			b.Fatal(err)
		}
		f.Write(text)
		f.Close()
		await(b, calls, "call")
		i++
	}
	b.ReportMetric(float64(marks(b)), "marks")
}
