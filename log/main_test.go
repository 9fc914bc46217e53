package log

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary, executed again with LOG_TEST_CHILD, is one of these programs.
func TestMain(m *testing.M) {
	switch os.Getenv("LOG_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "generate": // writes $LOG_TEST_BYTES of 100-byte lines
		total, _ := strconv.Atoi(os.Getenv("LOG_TEST_BYTES"))
		chunk := bytes.Repeat(append(bytes.Repeat([]byte("x"), 99), '\n'), 640)
		for total > 0 {
			n, err := syscall.Write(1, chunk[:min(len(chunk), total)])
			if err != nil {
				os.Exit(1)
			}
			total -= n
		}
	case "discard": // reads to the end, as cat >/dev/null does
		b := make([]byte, 128<<10)
		for {
			if _, err := os.Stdin.Read(b); err == io.EOF {
				break
			}
		}
	case "gone": // writes to stdout, which is a pipe without a reader, and says on stderr that it has survived
		l := New(os.Stdout, Options{})
		for range 3 {
			l.Printf("nobody hears this")
			l.w.own.empty(nil)
		}
		st := l.Close(time.Now().Add(10 * time.Second))
		fmt.Fprintf(os.Stderr, "own %d, dropped %d", st.Own, st.OwnDropped)
	case "torn": // writes a line that the limit for the size of files cuts
		signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ) // else it would end the process
		l := New(os.Stdout, Options{})
		l.Printf("one")
		l.w.own.empty(nil)
		var limit syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit)
		syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(len("sidecar-init: one\nsidecar-")), Max: limit.Max})
		l.Printf("two")
		l.w.own.empty(nil)
		syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
		l.Printf("three")
		l.Close(soon())
	}
	os.Exit(0)
}

// A consumer is the far end of a Log's output. It reads when it is told to.
type consumer struct {
	t testing.TB
	r *os.File
	w *os.File // what the Log writes to
	b *bufio.Reader
}

func newConsumer(t testing.TB) *consumer {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Fd() // makes it blocking, as stdout is
	t.Cleanup(func() { r.Close(); w.Close() })
	return &consumer{t: t, r: r, w: w, b: bufio.NewReader(r)}
}

// line reads a line. A line that never comes is a test that times out.
func (c *consumer) line() string {
	c.t.Helper()
	s, err := c.b.ReadString('\n')
	if err != nil {
		c.t.Fatalf("got %q and %v, want a line", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// want reads lines and compares them.
func (c *consumer) want(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("got line %.100q, want %.100q", got, want)
		}
	}
}

// rest begins to read everything that is still written, on a goroutine; the function it returns closes the writing
// end and returns it.
func (c *consumer) rest() func() string {
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(c.b)
		got <- string(b)
	}()
	return func() string {
		c.w.Close()
		return <-got
	}
}

// soon is a deadline that is not reached unless something hangs.
func soon() time.Time { return time.Now().Add(20 * time.Second) }

// A process is what has been started with the write ends of one Open.
type process struct {
	t              testing.TB
	stdout, stderr *os.File
	exited         func()
}

func open(t testing.TB, s *Stream) *process {
	t.Helper()
	stdout, stderr, exited, err := s.Open(-1, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdout.Close(); stderr.Close() })
	return &process{t: t, stdout: stdout, stderr: stderr, exited: exited}
}

// say writes as the daemon does.
func (p *process) say(text string) {
	p.t.Helper()
	if _, err := p.stdout.WriteString(text); err != nil {
		p.t.Error(err)
	}
}

// end is the death of the process, when nobody else holds its pipes.
func (p *process) end() {
	p.stdout.Close()
	p.stderr.Close()
	p.exited()
}

// grandchild returns another holder of the write end.
func (p *process) grandchild() *os.File {
	p.t.Helper()
	fd, err := syscall.Dup(int(p.stdout.Fd()))
	if err != nil {
		p.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "grandchild")
	p.t.Cleanup(func() { f.Close() })
	return f
}

// stopped fills the output, so that the next write of the Log hangs until the consumer reads. It returns how
// many bytes that took.
func (c *consumer) stopped() int {
	c.t.Helper()
	total := 0
	conn, err := c.w.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	conn.Control(func(fd uintptr) {
		syscall.SetNonblock(int(fd), true)
		defer syscall.SetNonblock(int(fd), false)
		for size := 4096; size > 0; {
			n, err := syscall.Write(int(fd), bytes.Repeat(newline, size))
			if err != nil {
				size /= 2
				continue
			}
			total += n
		}
	})
	return total
}

// resume reads what stopped has written.
func (c *consumer) resume(n int) {
	c.t.Helper()
	if _, err := io.CopyN(io.Discard, c.b, int64(n)); err != nil {
		c.t.Fatal(err)
	}
}

// collect returns everything that a Log writes while f runs, and what Close counts.
func collect(t testing.TB, o Options, f func(l *Log)) (string, Stats) {
	t.Helper()
	c := newConsumer(t)
	rest := c.rest()
	l := New(c.w, o)
	f(l)
	st := l.Close(soon())
	return rest(), st
}
