package log

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// BenchmarkPump carries 100-byte lines from processes that write as fast as they can to one that reads as fast as
// it can, in three ways that take turns, so that the ratios do not depend on what else the machine does.
func BenchmarkPump(b *testing.B) {
	for _, daemons := range []int{1, 5} {
		b.Run(fmt.Sprintf("daemons=%d", daemons), func(b *testing.B) {
			const total = 192 << 20
			ways := []struct {
				name string
				size int
				run  func(b *testing.B, daemons, size int, out *os.File)
				took time.Duration
			}{
				{name: "pump", size: total, run: viaLog},
				{name: "copy", size: total, run: viaCopy},
				{name: "writeperline", size: total / 8, run: viaLines},
			}
			for b.Loop() {
				for i := range ways {
					ways[i].took += carry(b, daemons, ways[i].size, ways[i].run)
				}
			}
			speed := func(i int) float64 {
				return float64(ways[i].size) * float64(b.N) / ways[i].took.Seconds() / 1e6
			}
			b.ReportMetric(speed(0), "MB/s")
			b.ReportMetric(speed(0)/speed(1), "ratio_vs_copy")
			b.ReportMetric(speed(0)/speed(2), "ratio_vs_writeperline")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// carry measures one run to the point where the reader has read everything.
func carry(b *testing.B, daemons, size int, run func(b *testing.B, daemons, size int, out *os.File)) time.Duration {
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	w.Fd() // blocking, as stdout is
	reader := child("discard", 0)
	reader.Stdin = r
	if err := reader.Start(); err != nil {
		b.Fatal(err)
	}
	r.Close()
	begin := time.Now()
	run(b, daemons, size/daemons, w)
	w.Close()
	if err := reader.Wait(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

func child(what string, size int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOG_TEST_CHILD="+what, "LOG_TEST_BYTES="+strconv.Itoa(size))
	cmd.Stderr = os.Stderr
	return cmd
}

func viaLog(b *testing.B, daemons, size int, out *os.File) {
	l := New(out, Options{})
	var all sync.WaitGroup
	for i := range daemons {
		stdout, _, exited, err := l.Stream("web"+strconv.Itoa(i), StreamOptions{}).Open(-1, -1)
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() { generate(b, size, stdout); exited() })
	}
	all.Wait()
	if st := l.Close(time.Now().Add(10 * time.Second)); st.Lines != uint64(daemons*size)/100 || st.Dropped != 0 {
		b.Errorf("stats %+v", st)
	}
}

func generate(b *testing.B, size int, stdout *os.File) {
	cmd := child("generate", size/100*100)
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		b.Error(err)
	}
	stdout.Close()
	cmd.Wait()
}

// via carries each daemon's output with f.
func via(b *testing.B, daemons, size int, out *os.File, f func(out *os.File, in *os.File)) {
	var all sync.WaitGroup
	for range daemons {
		r, w, err := os.Pipe()
		if err != nil {
			b.Fatal(err)
		}
		w.Fd()
		all.Go(func() { generate(b, size, w) })
		all.Go(func() { f(out, r); r.Close() })
	}
	all.Wait()
}

// viaCopy is the least that anything between the pipes must do; it knows nothing of lines.
func viaCopy(b *testing.B, daemons, size int, out *os.File) {
	via(b, daemons, size, out, func(out, in *os.File) {
		buf := make([]byte, 64<<10)
		for {
			n, err := in.Read(buf)
			if err == io.EOF {
				return
			}
			if _, err := out.Write(buf[:n]); err != nil {
				b.Error(err)
			}
		}
	})
}

// viaLines is the obvious way.
func viaLines(b *testing.B, daemons, size int, out *os.File) {
	var mu sync.Mutex
	via(b, daemons, size, out, func(out, in *os.File) {
		lines := bufio.NewScanner(in)
		var line []byte
		for lines.Scan() {
			line = append(append(append(line[:0], "[web] "...), lines.Bytes()...), '\n')
			mu.Lock()
			out.Write(line)
			mu.Unlock()
		}
	})
}
