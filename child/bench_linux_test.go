package child_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// tiny writes the smallest program there is to measure with: it writes one byte to stdout and waits for a signal. What a
// larger one does before main would hide what is measured.
func tiny(b *testing.B) string {
	b.Helper()
	if runtime.GOARCH != "amd64" {
		b.Skip("the program to measure with is for amd64")
	}
	code := []byte{
		0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
		0xbf, 1, 0, 0, 0, // mov edi, 1
		0x48, 0x8d, 0x35, 0xef, 0xff, 0xff, 0xff, // lea rsi, [the code]
		0xba, 1, 0, 0, 0, // mov edx, 1
		0x0f, 0x05, // syscall
		0xb8, 34, 0, 0, 0, // mov eax, 34 (pause)
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // again
	}
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	var elf bytes.Buffer
	for _, field := range []any{
		[]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), uint16(2), uint16(62), uint32(1), // executable, x86-64
		uint64(base + headers), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(4096), // load it all, read and execute
		code,
	} {
		if err := binary.Write(&elf, binary.LittleEndian, field); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "tiny")
	if err := os.WriteFile(path, elf.Bytes(), 0o755); err != nil {
		b.Fatal(err)
	}
	return path
}

// pipe is where the programs write their byte to.
func pipe(b *testing.B) (r, w *os.File) {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// hear waits for the byte.
func hear(b *testing.B, r *os.File) {
	b.Helper()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}

// forkExec starts the program without anything of ours.
func forkExec(b *testing.B, path string, w *os.File) int {
	b.Helper()
	pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{
		Files: []uintptr{0, w.Fd(), w.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		b.Fatal(err)
	}
	return pid
}

// killWait ends it, and waits for that.
func killWait(b *testing.B, pid int) {
	b.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	for {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		if err == nil {
			return
		}
		if err != syscall.EINTR {
			b.Fatal(err)
		}
	}
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2]) / float64(time.Microsecond)
}

// compare reports the medians of what was measured in turns, since two runs of a machine are not alike.
func compare(b *testing.B, ours, bare []time.Duration) {
	o, r := median(ours), median(bare)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(o, "µs/ours")
	b.ReportMetric(r, "µs/bare")
	b.ReportMetric(o/r, "ratio")
}

// BenchmarkSpawn is the time from the wish for a process to its first instruction, against that of a bare fork and exec.
func BenchmarkSpawn(b *testing.B) {
	path := tiny(b)
	r, w := pipe(b)
	spawner := child.Exec{Output: func(*child.Spec) (child.Output, error) { return child.Output{Stdout: w, Stderr: w}, nil }}
	spec := &child.Spec{Name: "tiny", Program: child.Program{Argv: []string{path}}}
	var ours, bare []time.Duration
	for b.Loop() {
		begin := time.Now()
		p, err := spawner.Spawn(spec)
		if err != nil {
			b.Fatal(err)
		}
		hear(b, r)
		ours = append(ours, time.Since(begin))
		if err := p.Signal(syscall.SIGKILL, true); err != nil {
			b.Fatal(err)
		}
		p.Wait()
		p.Release(true)

		begin = time.Now()
		pid := forkExec(b, path, w)
		hear(b, r)
		bare = append(bare, time.Since(begin))
		killWait(b, pid)
	}
	compare(b, ours, bare)
}

// BenchmarkRestart is the time from the SIGKILL that a daemon gets to the first instruction of its successor, against the
// least that has to be done: wait, fork, exec.
func BenchmarkRestart(b *testing.B) {
	path := tiny(b)
	r, w := pipe(b)
	pids := make(chan int, 1)
	c := child.New(&child.Spec{
		Name: "tiny", Program: child.Program{Argv: []string{path}},
		Restart: child.RestartPolicy{Policy: child.RestartAlways}, Backoff: child.Backoff{NoDelay: true},
	}, child.Exec{Output: func(*child.Spec) (child.Output, error) { return child.Output{Stdout: w, Stderr: w}, nil }},
		child.Hooks{Event: func(e child.Event) {
			if e.Kind == child.EventStarted {
				pids <- e.PID
			}
		}})
	done := make(chan error)
	go func() { done <- c.Run() }()
	_ = c.Ref().Tell(child.Start{})
	hear(b, r)
	pid := <-pids

	bare, ours := []time.Duration(nil), []time.Duration(nil)
	r2, w2 := pipe(b)
	pid2 := forkExec(b, path, w2)
	hear(b, r2)
	for b.Loop() {
		begin := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		hear(b, r)
		ours = append(ours, time.Since(begin))
		pid = <-pids

		begin = time.Now()
		killWait(b, pid2)
		pid2 = forkExec(b, path, w2)
		hear(b, r2)
		bare = append(bare, time.Since(begin))
	}
	killWait(b, pid2)
	compare(b, ours, bare)
	_ = c.Ref().Tell(child.Kill{})
	if err := <-done; err != nil {
		b.Error(err)
	}
}
