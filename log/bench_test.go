package log

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPump carries 100-byte lines from processes that write as fast as they can to one that reads as fast as
// it can, in three ways that take turns. It reports the medians of the ratios of each turn, because the speed itself
// depends on what else the machine does.
func BenchmarkPump(b *testing.B) {
	for _, daemons := range []int{1, 5} {
		b.Run(fmt.Sprintf("daemons=%d", daemons), func(b *testing.B) {
			const total = 64 << 20
			ways := [3]struct {
				size int
				run  func(b *testing.B, daemons, size int, out *os.File)
			}{
				{total, viaLog},
				{total, viaCopy},
				{total / 16, viaLines},
			}
			var speeds, costs [3][]float64
			for b.Loop() {
				for i, way := range ways {
					before := cpu()
					took := carry(b, daemons, way.size, way.run)
					speeds[i] = append(speeds[i], float64(way.size)/1e6/took.Seconds())
					costs[i] = append(costs[i], (cpu()-before).Seconds()/float64(way.size)*1e9)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(speeds[0], nil), "MB/s")
			b.ReportMetric(median(speeds[0], speeds[1]), "ratio_vs_copy")
			b.ReportMetric(median(speeds[0], speeds[2]), "ratio_vs_writeperline")
			b.ReportMetric(median(costs[0], nil), "cpu-s/GB")
			b.ReportMetric(median(costs[0], costs[1]), "cpu_vs_copy")
		})
	}
}

// median returns the median of a, or of the quotients of a and b.
func median(a, b []float64) float64 {
	a = slices.Clone(a)
	for i := range b {
		a[i] /= b[i]
	}
	slices.Sort(a)
	return a[len(a)/2]
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
	if st := l.Close(soon()); st.Lines != uint64(daemons*(size/100)) || st.Dropped != 0 {
		b.Fatalf("got %d lines, %d dropped, want %d", st.Lines, st.Dropped, daemons*(size/100))
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

// BenchmarkLatency is the way of one line alone, from the write of the daemon to the read of the consumer, and the
// same through a plain copy.
func BenchmarkLatency(b *testing.B) {
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	for _, way := range []string{"pump", "copy"} {
		b.Run(way, func(b *testing.B) {
			c := newConsumer(b)
			var in *os.File
			if way == "pump" {
				l := New(c.w, Options{})
				defer l.Close(soon())
				in = open(b, l.Stream("web", StreamOptions{})).stdout
			} else {
				r, w, err := os.Pipe()
				if err != nil {
					b.Fatal(err)
				}
				defer r.Close()
				in = w
				go io.Copy(struct{ io.Writer }{c.w}, struct{ io.Reader }{r})
			}
			var took []float64
			for b.Loop() {
				begin := time.Now()
				in.Write(line)
				c.line()
				took = append(took, float64(time.Since(begin).Nanoseconds())/1e3)
			}
			in.Close()
			b.ReportMetric(median(took, nil), "p50-us")
		})
	}
}

// BenchmarkPrintf is what a line of the supervisor's own costs whoever says it, with and without a consumer.
func BenchmarkPrintf(b *testing.B) {
	for _, stuck := range []bool{false, true} {
		b.Run(fmt.Sprintf("stuck=%t", stuck), func(b *testing.B) {
			c := newConsumer(b)
			if stuck {
				c.stopped()
			} else {
				c.rest()
			}
			l := New(c.w, Options{})
			for b.Loop() {
				l.Printf("%s exited with code %d; restarting in %s (attempt %d)", "web", 1, time.Second, 3)
			}
			c.r.Close()
			l.Close(soon())
		})
	}
}

// BenchmarkLines is the part of it that is not system calls: from a chunk that has been read to /dev/null.
func BenchmarkLines(b *testing.B) {
	for _, o := range []Options{{Format: Text}, {Format: Text, Timestamps: true}, {Format: JSON}} {
		for _, size := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/timestamps=%t/%d", o.Format, o.Timestamps, size), func(b *testing.B) {
				null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer null.Close()
				l := New(null, o)
				p := newPump(l.Stream("web", StreamOptions{}), nil, stdoutStream)
				buf := l.block.get()
				line := append(bytes.Repeat([]byte("x"), size-1), '\n')
				data := buf.in[:copy(buf.in, bytes.Repeat(line, readSize/size))]
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					p.lines(buf, data, 0, 0, false)
				}
			})
		}
	}
}
