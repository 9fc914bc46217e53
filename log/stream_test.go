package log

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMatch: the function sees each line of the newest life, until it is taken away.
func TestMatch(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	var seen []string
	s := l.Stream("web", StreamOptions{})
	s.SetMatch(func(line []byte) bool {
		seen = append(seen, string(line))
		return false
	})
	first := open(t, s)
	heir := first.grandchild()
	first.say("a\nb\r\nunfinished")
	first.end()
	c.want("[web] a", "[web] b\r", "[web] unfinished")

	second := open(t, s)
	heir.WriteString("of an earlier life\n")
	c.want("[web] of an earlier life")
	second.say("c\n")
	c.want("[web] c")
	second.end()
	s.SetMatch(nil)
	third := open(t, s)
	third.say("not seen\n")
	third.end()
	l.Close(time.Now())
	if got, want := strings.Join(seen, "|"), "a|b\r|unfinished|c"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMatchShared: where two lives share a pipe, what the first has written is not matched for the second.
func TestMatchShared(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	held := c.stopped()
	first := open(t, s)
	first.say("read at once\n")
	for s.Stats().Bytes == 0 {
		runtime.Gosched()
	}
	first.say("ready\nready")
	first.end()
	second := open(t, s)
	seen := make(chan string, 10)
	s.SetMatch(func(line []byte) bool {
		seen <- string(line)
		return false
	})
	second.say("ready indeed\n")
	c.resume(held)
	c.want("[web] read at once", "[web] ready", "[web] ready", "[web] ready indeed")
	second.end()
	l.Close(soon())
	if got, want := <-seen, "ready indeed"; got != want || len(seen) > 0 {
		t.Errorf("got %q, and %d more, want %q", got, len(seen), want)
	}
}

// TestMatchOnce: a function that has found its line is not called again, and takes no other away.
func TestMatchOnce(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	calls, others := 0, 0
	other := func([]byte) bool {
		others++
		return false
	}
	s.SetMatch(func(line []byte) bool {
		calls++
		return string(line) == "b"
	})
	web.say("a\nb\nc\n")
	c.want("[web] a", "[web] b", "[web] c")
	s.SetMatch(func([]byte) bool {
		s.SetMatch(other)
		return true
	})
	web.say("d\ne\nf\n")
	web.end()
	l.Close(soon())
	if calls != 2 || others != 2 {
		t.Errorf("got %d calls and %d of the other function, want 2 and 2", calls, others)
	}
}

// TestMatchPanics: a match function that fails is not the end of PID 1.
func TestMatchPanics(t *testing.T) {
	got, _ := collect(t, Options{}, func(l *Log) {
		s := l.Stream("web", StreamOptions{})
		s.SetMatch(func([]byte) bool { panic("no good") })
		web := open(t, s)
		web.say("a\nb\n")
		web.end()
	})
	if want := "sidecar-init: web: match function failed: no good\n[web] a\n[web] b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMatchWhileStuck: readiness by log line does not depend on who reads the log.
func TestMatchWhileStuck(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	held := c.stopped()
	ready := make(chan bool, 1)
	s := l.Stream("web", StreamOptions{})
	s.SetMatch(func(line []byte) bool {
		found := string(line) == "ready"
		if found {
			ready <- true
		}
		return found
	})
	web := open(t, s)
	web.say("ready\n")
	<-ready
	c.resume(held)
	web.end()
	l.Close(soon())
}

// TestQuiet: the lines are kept but not written, and are read even if nobody reads the output.
func TestQuiet(t *testing.T) {
	const lines = 100_000
	c := newConsumer(t)
	l := New(c.w, Options{})
	held := c.stopped()
	for i := range 4 { // more than there are buffers, to hang
		open(t, l.Stream(fmt.Sprintf("other%d", i), StreamOptions{})).say("other\n")
	}
	s := l.Stream("web", StreamOptions{Quiet: true, Overflow: Drop})
	web := open(t, s)
	web.say(strings.Repeat("x\n", lines)) // a test that hangs here fails
	web.end()
	if got, want := texts(s.Tail(2)), "x|x|"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.Stats(); got.Lines != lines || got.Dropped != 0 {
		t.Errorf("stats: got %+v, want %d lines, none dropped", got, lines)
	}
	c.resume(held)
	for range 4 {
		if got := c.line(); !strings.HasSuffix(got, " other") {
			t.Errorf("got %q", got)
		}
	}
	l.Close(time.Now())
}

// TestManyDrop: a consumer that has stopped costs daemons with overflow drop next to nothing, however many they are.
func TestManyDrop(t *testing.T) {
	const daemons = 50
	c := newConsumer(t)
	l := New(c.w, Options{})
	c.stopped()
	l.Printf("this one hangs")
	begin := time.Now()
	for i := range daemons {
		web := open(t, l.Stream(fmt.Sprintf("web%d", i), StreamOptions{Overflow: Drop}))
		web.say(strings.Repeat("x\n", 50_000))
		web.stdout.Close()
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	c.r.Close()
	if st := l.Close(soon()); st.Lines != daemons*50_000 || st.Dropped != st.Lines {
		t.Errorf("got %d lines, %d dropped", st.Lines, st.Dropped)
	}
}

// TestModeUnchanged: an output that is, or becomes, non-blocking is written to all the same, and stays as it is.
func TestModeUnchanged(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after bool // non-blocking when the Log is made, and later
	}{
		{"blocking", false, false},
		{"inherited non-blocking", true, true},
		{"made non-blocking by another", false, true},
		{"made blocking by another", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const lines = 200_000
			c := newConsumer(t)
			fd, err := syscall.Dup(int(c.w.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			syscall.SetNonblock(fd, tt.before)
			out := os.NewFile(uintptr(fd), "stdout")
			defer out.Close()
			c.w.Close()
			c.w = out
			l := New(out, Options{})
			l.Printf("begin")
			c.want("sidecar-init: begin")
			syscall.SetNonblock(fd, tt.after)

			web := open(t, l.Stream("web", StreamOptions{}))
			go func() {
				web.say(strings.Repeat("x\n", lines))
				web.end()
			}()
			for range lines {
				c.want("[web] x")
			}
			if st := l.Close(soon()); st.Dropped != 0 {
				t.Errorf("stats: got %+v, want none dropped", st)
			}
			if got := nonblocking(t, out); got != tt.after {
				t.Errorf("got non-blocking %t, want %t", got, tt.after)
			}
		})
	}
}

func nonblocking(t *testing.T, f *os.File) bool {
	t.Helper()
	conn, err := f.SyscallConn() // Fd would change what is to be looked at
	if err != nil {
		t.Fatal(err)
	}
	var flags uintptr
	conn.Control(func(fd uintptr) { flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0) })
	return flags&syscall.O_NONBLOCK != 0
}

// TestWriteEnds: what the daemon gets is blocking, and is its user's.
func TestWriteEnds(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{Format: JSON})
	stdout, stderr, exited, err := l.Stream("web", StreamOptions{}).Open(os.Getuid(), os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{stdout, stderr} {
		if nonblocking(t, f) {
			t.Errorf("%s is non-blocking", f.Name())
		}
	}
	stdout.Close()
	stderr.Close()
	exited()

	if os.Getuid() == 0 {
		const uid, gid = 1234, 2345
		stdout, stderr, exited, err := l.Stream("db", StreamOptions{}).Open(uid, gid)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*os.File{stdout, stderr} {
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
				t.Errorf("got owner %d:%d, want %d:%d", st.Uid, st.Gid, uid, gid)
			}
		}
		stdout.Close()
		stderr.Close()
		exited()
	}
	l.Close(soon())
}

// TestOpenStdout: a process that became another user by itself can open /dev/stdout for writing, whoever owns the pipe.
func TestOpenStdout(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	for _, owner := range []int{-1, 1234} {
		t.Run(strconv.Itoa(owner), func(t *testing.T) {
			got, _ := collect(t, Options{}, func(l *Log) {
				stdout, _, exited, err := l.Stream("web", StreamOptions{}).Open(owner, owner)
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("/bin/sh", "-c", "echo by name >/dev/stdout; (cat </dev/stdout) 2>/dev/null || echo not to read")
				cmd.Stdout, cmd.Stderr = stdout, stdout
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				if err := cmd.Run(); err != nil {
					t.Error(err)
				}
				stdout.Close()
				exited()
			})
			if want := "[web] by name\n[web] not to read\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestMarkBehindTheEnd: a mark that is farther away than there are bytes, as where their number is not known, is
// reached when the pipe is empty.
func TestMarkBehindTheEnd(t *testing.T) {
	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	web := open(t, s)
	web.say("unfinished")
	p := s.last.pumps[0]
	through := make(chan struct{})
	p.mu.Lock()
	p.marks = append(p.marks, mark{at: 100, life: 1, through: through})
	p.r.SetReadDeadline(time.Unix(0, 1))
	p.mu.Unlock()
	<-through // a test that hangs here fails
	c.want("[web] unfinished")
	web.end()
	l.Close(soon())
}

// TestLeaks: lives leave neither descriptors nor goroutines behind, nor do Logs.
func TestLeaks(t *testing.T) {
	c := newConsumer(t)
	rest := c.rest()
	round := func() {
		l := New(c.w, Options{Format: JSON})
		s := l.Stream("web", StreamOptions{Overflow: Drop})
		for range 50 {
			web := open(t, s)
			heir := web.grandchild()
			web.say("a\nb")
			web.end()
			heir.Close()
			l.Printf("exited")
		}
		l.Close(soon())
		if _, _, _, err := s.Open(-1, -1); err == nil {
			t.Error("Open after Close succeeded")
		}
	}
	round() // makes what is made once
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	round()
	if got := descriptors(t); got > fds {
		t.Errorf("got %d descriptors, want %d", got, fds)
	}
	for range 1000 { // goroutines need a moment between their last message and their end
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("got %d goroutines, want %d", got, goroutines)
	}
	rest()
}

// TestEndOfPipe: a pump ends by itself at the end of its pipe, however close upon the last line that comes.
func TestEndOfPipe(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	for i := range 2000 {
		web := open(t, s)
		go func() {
			web.say("a\n")
			for range i % 100 {
				runtime.Gosched()
			}
			web.stdout.Close()
		}()
		<-s.last.pumps[0].done // a test that hangs here fails
	}
	if st := l.Close(soon()); st.Lines != 2000 {
		t.Errorf("got %d lines, want 2000", st.Lines)
	}
}

// TestManyLivesWhileStuck: restarts while the consumer has stopped take neither ever more descriptors nor ever more
// goroutines; each life's output still comes out apart from the next one's.
func TestManyLivesWhileStuck(t *testing.T) {
	const lives = 100
	for _, format := range []Format{Text, JSON} {
		t.Run(string(format), func(t *testing.T) {
			c := newConsumer(t)
			l := New(c.w, Options{Format: format})
			s := l.Stream("web", StreamOptions{})
			held := c.stopped()
			fds := descriptors(t)
			for i := range lives {
				web := open(t, s)
				web.say(fmt.Sprintf("%d begins\n%d ends", i, i))
				web.stdout.Close()
				web.stderr.Close()
				s.last.end() // as exited does, but does not wait
			}
			if got := descriptors(t); got > fds+6 {
				t.Errorf("got %d descriptors, want at most %d", got, fds+6)
			}
			l.mu.Lock()
			pumps := len(l.pumps)
			l.mu.Unlock()
			if pumps > 4 {
				t.Errorf("got %d pumps, want at most 4", pumps)
			}
			c.resume(held)
			for i := range lives {
				for _, what := range []string{"begins", "ends"} {
					text := fmt.Sprintf("%d %s", i, what)
					got := c.line()
					if format == Text && got != "[web] "+text || !strings.Contains(got, text) {
						t.Fatalf("got %q, want %q", got, text)
					}
				}
			}
			if st := l.Close(soon()); st.Lines != 2*lives || st.Dropped != 0 {
				t.Errorf("stats: got %+v", st)
			}
		})
	}
}

// TestOpenFails: without descriptors it fails, leaves none behind, and works again.
func TestOpenFails(t *testing.T) {
	c := newConsumer(t)
	c.rest()
	l := New(c.w, Options{Format: JSON})
	s := l.Stream("web", StreamOptions{})
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	low := syscall.Rlimit{Cur: uint64(before + 1), Max: limit.Max} // one pipe, not two
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	_, _, _, err := s.Open(-1, -1)
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil || !strings.HasPrefix(err.Error(), "cannot open the log pipe of web: ") {
		t.Errorf("got error %v", err)
	}
	if got := descriptors(t); got != before {
		t.Errorf("got %d descriptors, want %d", got, before)
	}
	web := open(t, s)
	web.say("a\n")
	web.end()
	if got, want := texts(s.Tail(-1)), "stdouta|"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l.Close(soon())
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestEndlessLine: a daemon that never writes a newline does not fill the memory.
func TestEndlessLine(t *testing.T) {
	for _, format := range []Format{Text, JSON} {
		size := 1 << 30
		if raceEnabled || testing.Short() || format == JSON {
			size = 64 << 20
		}
		c := newConsumer(t)
		go func() { // reads without keeping
			b := make([]byte, 256<<10)
			for {
				if _, err := c.r.Read(b); err != nil {
					return
				}
			}
		}()
		before := memory()
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		l := New(c.w, Options{Format: format})
		s := l.Stream("web", StreamOptions{})
		web := open(t, s)
		chunk := bytes.Repeat([]byte{'x'}, 1<<20)
		for range size / len(chunk) {
			web.stdout.Write(chunk)
		}
		web.end()
		runtime.ReadMemStats(&end)
		if got := end.TotalAlloc - start.TotalAlloc; got > 4<<20 {
			t.Errorf("%s: got %d bytes allocated, want at most 4 MiB", format, got)
		}
		if got := int64(memory()) - int64(before); got > 1<<20 {
			t.Errorf("%s: got %d bytes kept, want at most 1 MiB", format, got)
		}
		if got := s.Stats(); got.Bytes != uint64(size) {
			t.Errorf("%s: got %d bytes counted, want %d", format, got.Bytes, size)
		}
		l.Close(soon())
	}
}

// TestIdle: what a daemon costs that writes nothing, the stack of its goroutine included.
func TestIdle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes the sizes")
	}
	const daemons = 1000
	for _, wrote := range []bool{false, true} {
		c := newConsumer(t)
		rest := c.rest()
		l := New(c.w, Options{})
		var lives []*process
		before := memory()
		for i := range daemons {
			s := l.Stream(fmt.Sprintf("web%d", i), StreamOptions{})
			stdout, _, exited, err := s.Open(-1, -1)
			if err != nil {
				t.Fatal(err)
			}
			lives = append(lives, &process{t: t, stdout: stdout, stderr: stdout, exited: exited})
			if wrote {
				stdout.WriteString("listening\n")
			}
		}
		for wrote && l.Stats().Lines < daemons {
			runtime.Gosched()
		}
		got := int(memory()-before) / daemons
		t.Logf("wrote %t: %d bytes for each", wrote, got)
		if limit := map[bool]int{false: 6 << 10, true: 8 << 10}[wrote]; got > limit {
			t.Errorf("wrote %t: got %d bytes for each idle daemon, want at most %d", wrote, got, limit)
		}
		for _, life := range lives {
			life.stdout.Close()
		}
		l.Close(soon())
		rest()
	}
}

// TestSetOptions: what comes after a change is treated by the new options, of a process that writes already too, and no line
// overtakes another.
func TestSetOptions(t *testing.T) {
	const each = 3000
	ways := []StreamOptions{{}, {Overflow: Drop}, {}, {Overflow: Drop}, {}}
	out, st := collect(t, Options{}, func(l *Log) {
		s := l.Stream("web", StreamOptions{})
		p := open(t, s)
		for i, o := range ways {
			s.SetOptions(o)
			for j := range each / 100 {
				var b []byte
				for k := range 100 {
					b = fmt.Appendf(b, "%d\n", i*each+j*100+k)
				}
				p.say(string(b))
			}
		}
		p.end()
	})
	next := 0
	for line := range strings.Lines(out) {
		if want := fmt.Sprintf("[web] %d\n", next); line != want {
			if strings.Contains(line, "dropped") || st.Dropped > 0 {
				t.Skip("the consumer was too slow for overflow drop")
			}
			t.Fatalf("got %q, want %q", line, want)
		}
		next++
	}
	if next != len(ways)*each {
		t.Errorf("got %d lines, want %d", next, len(ways)*each)
	}

	c := newConsumer(t)
	l := New(c.w, Options{})
	s := l.Stream("web", StreamOptions{})
	p := open(t, s)
	p.say("one\n")
	c.want("[web] one")
	s.SetOptions(StreamOptions{Quiet: true})
	p.say("two\n")
	for texts(s.Tail(1)) != "two|" { // a test that hangs here fails
		time.Sleep(time.Millisecond)
	}
	s.SetOptions(StreamOptions{})
	p.say("three\n")
	c.want("[web] three")
	p.end()
	l.Close(soon())
}

// TestStreamClose: a closed stream is in the sums alone.
func TestStreamClose(t *testing.T) {
	_, st := collect(t, Options{}, func(l *Log) {
		for i := range 3 {
			s := l.Stream("web", StreamOptions{Overflow: []Overflow{Block, Drop, Block}[i]})
			p := open(t, s)
			p.say("a line\n")
			p.end()
			if i < 2 {
				s.Close()
			}
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the pipes end by themselves
			other := l.Stream("other", StreamOptions{})
			other.Close()
			l.mu.Lock()
			n := len(l.streams)
			l.mu.Unlock()
			if n == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d streams are kept, want 1", n)
			}
		}
	})
	if st.Lines != 3 || len(st.Streams) != 1 {
		t.Errorf("got %+v, want 3 lines and 1 stream", st)
	}
}
