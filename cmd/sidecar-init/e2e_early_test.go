//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
)

// TestSignalWhileAFileIsRead: nothing runs yet, so the supervisor ends at once, whatever does not answer.
func TestSignalWhileAFileIsRead(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, sig := range p.sample(syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT) {
			for _, what := range []string{"bundle file", "env_file", "standard input"} {
				inTime(t, time.Second, func() (time.Duration, error) {
					dir := openDir(t)
					fifo := filepath.Join(dir, "fifo")
					if err := unix.Mkfifo(fifo, 0o666); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(fifo, 0o666); err != nil {
						t.Fatal(err)
					}
					c := call{place: p}
					// It reads when it has opened the file, or has taken what is in the pipe.
					reads := func() bool {
						fd, err := unix.Open(fifo, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
						if err == nil {
							t.Cleanup(func() { unix.Close(fd) })
						}
						return err == nil
					}
					switch what {
					case "bundle file":
						c.args = []string{"run", "-f", fifo}
					case "env_file":
						c.bundle = services(daemon("a", "block", "env_file: "+fifo))
					default:
						c.args = []string{"run", "-f", "-"}
						in, feed := pipe(t)
						feed.WriteString("services:\n")
						c.stdin = in
						reads = func() bool {
							n, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ)
							return err == nil && n == 0
						}
					}
					s := start(t, c)
					eventually(t, "it reads", reads)
					at := s.signal(syscall.SIGHUP, sig) // SIGHUP ends nothing
					if err := s.ends(0); err != nil {
						return 0, fmt.Errorf("%s: %w", what, err)
					}
					want := "sidecar-init: shutting down (" + child.SignalName(sig) + "); forwarding SIGTERM|sidecar-init: exit 0"
					if got := strings.Join(s.log(), "|"); got != want {
						return 0, fmt.Errorf("%s: got %q, want %q", what, got, want)
					}
					return s.at.Sub(at), nil
				})
			}
		}
	})
}

// TestBeforehand: what does not end the program is kept, each signal once, in order.
func TestBeforehand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		ended := make(chan syscall.Signal, 1)
		handOver := beforehand(signals, func(sig syscall.Signal) { ended <- sig })
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGINT} {
			signals <- sig
		}
		if got := <-ended; got != syscall.SIGINT {
			t.Errorf("%v has ended the program, want SIGINT", got)
		}
		if got := handOver(); len(got) != 2 || got[0] != syscall.SIGHUP || got[1] != syscall.SIGUSR1 {
			t.Errorf("kept %v, want SIGHUP, SIGUSR1", got)
		}
		select {
		case signals <- syscall.SIGHUP:
			t.Error("a signal was taken after they had been handed over")
		default:
		}
	})
}

// slowSpawner executes after a time.
type slowSpawner struct {
	takes   time.Duration
	process *heard
}

func (s slowSpawner) Spawn(*child.Spec) (child.Process, error) {
	time.Sleep(s.takes)
	return s.process, nil
}

// heard is a process that ends at the first signal that it is sent.
type heard struct {
	child.Process
	signals chan syscall.Signal
}

func (h *heard) Signal(sig syscall.Signal, _ bool) error {
	h.signals <- sig
	return nil
}

func (h *heard) Wait() child.Exit { return child.Exit{Signal: <-h.signals} }

// TestSignalWhileCommandStarts: a command that is being executed gets the signal when it has been; where that hangs, nothing
// runs, and the program ends.
func TestSignalWhileCommandStarts(t *testing.T) {
	for _, tt := range []struct {
		takes, at time.Duration
		sig       syscall.Signal
		code      int
		end       time.Duration
	}{
		{time.Hour, time.Second, syscall.SIGTERM, 0, time.Second + startTime},
		{time.Hour, time.Second, syscall.SIGINT, 0, time.Second + startTime},
		{time.Second, time.Second - startTime/2, syscall.SIGTERM, 128 + 15, time.Second},
		{time.Hour, time.Second, syscall.SIGHUP, 128 + 1, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal)
			begin := time.Now()
			time.AfterFunc(tt.at, func() { signals <- tt.sig })
			s := slowSpawner{tt.takes, &heard{signals: make(chan syscall.Signal, 1)}}
			c := &single{argv: []string{"cmd"}, grace: time.Second, stopSignal: syscall.SIGTERM, complain: t.Errorf}
			code := c.run(s, nil, signals, nil)
			if took := time.Since(begin); code != tt.code || took != tt.end {
				t.Errorf("%v after %v: got code %d after %v, want %d after %v", tt.sig, tt.at, code, took, tt.code, tt.end)
			}
			time.Sleep(2 * time.Hour) // a spawner that hangs is a goroutine
		})
	}
}
