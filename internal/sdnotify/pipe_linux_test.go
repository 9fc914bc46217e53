package sdnotify

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// run runs a program with the descriptors of Pipe, to its end.
func run(t *testing.T, fd int, l Life, dir string, argv ...string) {
	t.Helper()
	files, closeFiles, err := Pipe(fd, l)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.ExtraFiles, cmd.Dir = files, dir
	out, err := cmd.CombinedOutput()
	closeFiles()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestPipe(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fd     int
		script string
		want   []string
	}{
		{name: "a newline", fd: 3, script: "writefd 3 ready", want: []string{"ready"}},
		{name: "another descriptor", fd: 7, script: "writefd 7 ready; fds", want: []string{"ready"}},
		{name: "lines", fd: 3, script: "writefd 3 one; writefd 3 two; writefd 3 three", want: []string{"ready", "ready", "ready"}},
		{name: "nothing", fd: 3, script: "exit 0"},
		{name: "closed", fd: 3, script: "closefd 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLife()
			run(t, tt.fd, l, "", testproc.Argv(tt.script)...)
			for range tt.want { // lines can come in one piece
				if l.want(t, "ready"); len(l.told) == 0 {
					break
				}
			}
			l.end()
		})
	}
}

// TestPipeEnd: the pipe is read until the life ends, and then closed, whoever has it.
func TestPipeEnd(t *testing.T) {
	l := newLife()
	files, closeFiles, err := Pipe(5, l)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFiles()
	if len(files) != 3 || files[0] != nil || files[1] != nil || files[2] == nil {
		t.Fatalf("files: got %v, want the third alone", files)
	}
	w := files[2]
	if _, err := io.WriteString(w, "READY"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "=1\n"); err != nil {
		t.Fatal(err)
	}
	l.want(t, "ready")
	if _, err := w.Write(make([]byte, 1<<20)); err != nil { // more than a pipe holds
		t.Fatal(err)
	}
	l.end()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("after the end: got nil")
	}
}

// TestS6 is s6's own tools.
func TestS6(t *testing.T) {
	for _, tt := range []struct {
		name string
		argv []string
	}{
		{"s6-log", []string{"s6-log", "-d", "3", "n1", "./log"}}, // stdin is at its end
		{"s6-svscan", []string{"timeout", "--preserve-status", "-s", "TERM", "0.2", "s6-svscan", "-d", "3", "scan"}},
		{"s6-notifyoncheck", []string{"s6-notifyoncheck", "-d", "-3", "3", "sleep", "0.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.name); err != nil {
				t.Skipf("there is no %s (Debian package s6)", tt.name)
			}
			l := newLife()
			run(t, 3, l, s6Dir(t), tt.argv...)
			l.want(t, "ready")
			l.end()
		})
	}
}

// s6Dir is a directory for them. s6-notifyoncheck runs only where s6-supervise does, which holds a lock and has a directory
// for events. It asks data/check; its option -c would need the package execline too.
func s6Dir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"scan", "event", "supervise", "data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "check"), []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "supervise", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNothingStays: lives leave no descriptors and no goroutines.
func TestNothingStays(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) + runtime.NumGoroutine()
	}
	b := listen(t, Options{})
	before := count()
	for range 20 {
		l := newLife()
		b.Begin(l)
		b.send("READY=1")
		files, closeFiles, err := Pipe(4, l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := files[1].WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		l.want(t, "ready", "ready")
		closeFiles()
		l.end()
	}
	for begin := time.Now(); count() > before; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d descriptors and goroutines, want %d", count(), before)
		}
	}
}
