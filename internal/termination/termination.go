// Package termination says at the end of a bundle why it has ended: in a line of the log, and as JSON where Kubernetes looks for it.
//
// A Collector keeps what the record needs from the events, which is little, however long the bundle runs. Record is a function of that, of
// the last statuses of the daemons and of the log's counters.
package termination

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/root"
)

// A Record says how a bundle has ended.
type Record struct {
	// ExitCode is that of the bundle, and Daemon the daemon that it comes from; empty if it is 0 or the supervisor's own.
	ExitCode int    `json:"exit_code"`
	Daemon   string `json:"daemon,omitempty"`
	// Cause is why the bundle was shut down: SIGTERM, or a sentence; empty if all daemons have ended by themselves.
	Cause string `json:"cause,omitempty"`
	// FirstFailure is the first end that nobody asked for and that was no success; nil if there was none.
	FirstFailure *Failure `json:"first_failure,omitempty"`
	// Killed are the daemons that did not stop in time at the end of the bundle, and got SIGKILL.
	Killed []string `json:"killed,omitempty"`
	// LinesDropped are the lines of daemons and of the supervisor that are missing in the log.
	LinesDropped uint64 `json:"log_lines_dropped"`
}

// A Failure is an end that nobody asked for and that was no success.
type Failure struct {
	Daemon string    `json:"daemon"`
	Time   time.Time `json:"time"`
	// Code is the exit code, and Signal the signal, that ended the process; one of them is nil.
	Code   *int    `json:"code"`
	Signal *string `json:"signal"`
	// OOM: the kernel's OOM killer did it.
	OOM bool `json:"oom,omitempty"`
	// Uptime is how long the process had lived, in seconds.
	Uptime float64 `json:"uptime"`
	// Reason says why the program was not executed.
	Reason string `json:"reason,omitempty"`

	exit child.Exit
}

// A Collector keeps what a Record needs of the events. The zero Collector is ready for use.
type Collector struct {
	mu       sync.Mutex
	failure  *Failure
	killed   []string
	ending   bool // the shutdown has begun
	cause    string
	critical string // the daemon whose end has ended the bundle
}

// Observe is root.Config.Observe.
func (c *Collector) Observe(e child.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Kind {
	case child.EventExited, child.EventFailed, child.EventNotStarted:
		if c.failure == nil && !e.Requested && !e.Success {
			c.failure = newFailure(&e)
		}
	case child.EventKilled:
		if c.ending { // not by a stop or a restart long ago
			c.kill(e.Daemon)
		}
	case root.EventDeadline, root.EventKillNow:
		c.kill(e.Names...)
	case root.EventShutdown:
		c.ending, c.cause, c.critical = true, e.Reason, e.Daemon
		if e.Signal != 0 {
			c.cause = child.SignalName(e.Signal)
		}
	}
}

func newFailure(e *child.Event) *Failure {
	f := &Failure{
		Daemon: e.Daemon, Time: e.Time.UTC().Truncate(time.Millisecond), Uptime: e.Uptime.Round(time.Millisecond).Seconds(),
		Reason: e.Reason, OOM: e.Exit.OOM, exit: e.Exit,
	}
	if e.Exit.Signal != 0 {
		name := child.SignalName(e.Exit.Signal)
		f.Signal = &name
	} else {
		f.Code = &f.exit.Code
	}
	return f
}

// kill notes that daemons got SIGKILL. The caller holds the lock.
func (c *Collector) kill(names ...string) {
	for _, name := range names {
		if !slices.Contains(c.killed, name) {
			c.killed = append(c.killed, name)
		}
	}
}

// Record returns the record of a bundle that has ended with this code; all are the last statuses of its daemons, from is
// root.Config.ExitCodeFrom as names of daemons, none if the code is the largest of all, and dropped how many lines are
// missing in the log.
func (c *Collector) Record(code int, all []child.Status, from []string, dropped uint64) Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Record{ExitCode: code, Cause: c.cause, FirstFailure: c.failure, Killed: slices.Clone(c.killed), LinesDropped: dropped}
	if code == 0 {
		return r
	}
	if c.critical != "" {
		from = []string{c.critical}
	}
	for i := range all {
		if !all[i].IsJob() && all[i].Result == code && (len(from) == 0 || slices.Contains(from, all[i].Name)) {
			r.Daemon = all[i].Name
			break
		}
	}
	return r
}

// Clean reports whether there is nothing to tell that the last line of the log, "exit 0", does not.
func (r Record) Clean() bool {
	return r.ExitCode == 0 && r.FirstFailure == nil && len(r.Killed) == 0 && r.LinesDropped == 0
}

// String is the record as a line of the log.
func (r Record) String() string {
	parts := []string{fmt.Sprintf("code %d", r.ExitCode)}
	if r.Daemon != "" {
		parts[0] += " from " + r.Daemon
	}
	if r.Cause != "" {
		parts[0] += " (" + r.Cause + ")"
	}
	if f := r.FirstFailure; f != nil {
		text := fmt.Sprintf("first failure: %s, %s", f.Daemon, f.exit)
		if f.Reason != "" {
			text += ", " + f.Reason
		}
		if f.OOM {
			text += ", the kernel's OOM killer"
		}
		parts = append(parts, text)
	}
	if len(r.Killed) > 0 {
		parts = append(parts, "killed: "+strings.Join(r.Killed, ", "))
	}
	if r.LinesDropped > 0 {
		parts = append(parts, fmt.Sprintf("%d log lines dropped", r.LinesDropped))
	}
	return "record: " + strings.Join(parts, "; ")
}

// Path is where Kubernetes looks for the record (terminationMessagePath).
const Path = "/dev/termination-log"

// maxMessage is how much of the file Kubernetes takes.
const maxMessage = 4096

// Write writes the record as JSON to a file that exists; where there is none it does nothing. What is no ordinary file,
// and could block, is left alone.
func (r Record) Write(path string) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	b, err := r.encode()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// encode returns the record as JSON, within what Kubernetes takes.
func (r Record) encode() ([]byte, error) {
	for {
		b, err := json.Marshal(r)
		if err != nil || len(b) < maxMessage {
			return append(b, '\n'), err
		}
		switch { // with very many daemons, or a very long reason
		case len(r.Killed) > 1:
			n := len(r.Killed) / 2
			r.Killed = r.Killed[:n]
		case r.FirstFailure != nil && r.FirstFailure.Reason != "":
			short := *r.FirstFailure
			short.Reason = ""
			r.FirstFailure = &short
		default:
			return append(b, '\n'), nil
		}
	}
}
