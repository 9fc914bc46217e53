//go:build linux

package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// pollInterval is how often a client that polls asks, as in `status --watch`.
const pollInterval = time.Second

// clientsVariable makes this test binary the clients of a supervisor; see clients.
const clientsVariable = "SIDECAR_INIT_TEST_CLIENTS"

// clients are many clients of a supervisor in a process of their own, and what became of them.
type clients struct {
	t                  *testing.T
	socket             string
	pollers, followers int

	cmd  *exec.Cmd
	hold io.Closer // they end when it is closed
	out  *bufio.Reader
	from time.Time
	time time.Duration // for which they were there
	cpu  time.Duration

	report
}

// A report is what clients say at their end.
type report struct {
	Polls   int
	Slowest time.Duration // of the polls
	Lines   int
	Lost    int // lines that followers have missed, as they were told
	Fewest  int // of the followers, the lines of the one that has got the fewest
	Failed  []string
}

func (c *clients) String() string {
	return fmt.Sprintf("%d polls, the slowest took %s; %d lines, %d at least for each that follows, %d said to be lost; the clients took %.2f of a processor",
		c.Polls, c.Slowest.Round(time.Millisecond), c.Lines, c.Fewest, c.Lost, c.cpu.Seconds()/c.time.Seconds())
}

func (m *meter) clients(pollers, followers int) *clients {
	return &clients{t: m.t, socket: m.socket, pollers: pollers, followers: followers}
}

// begin starts the clients, and returns when each of them has got something.
func (c *clients) begin() {
	c.t.Helper()
	c.cmd = exec.Command("/proc/self/exe")
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", clientsVariable, c.pollers, c.followers, c.socket), "GORACE=atexit_sleep_ms=0")
	c.cmd.Stderr = os.Stderr
	var err error
	if c.hold, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.out, c.from = bufio.NewReader(out), time.Now()
	if _, err := c.out.ReadString('\n'); err != nil {
		c.t.Fatalf("the clients do not begin: %v", err)
	}
}

// end ends the clients.
func (c *clients) end() {
	c.t.Helper()
	c.hold.Close()
	var r report
	if err := json.NewDecoder(c.out).Decode(&r); err != nil {
		c.t.Fatalf("the clients do not report: %v", err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatal(err)
	}
	c.time += time.Since(c.from)
	c.cpu += c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
	if c.Polls == 0 || r.Fewest < c.Fewest {
		c.Fewest = r.Fewest
	}
	c.Polls += r.Polls
	c.Slowest = max(c.Slowest, r.Slowest)
	c.Lines += r.Lines
	c.Lost += r.Lost
	c.Failed = append(c.Failed, r.Failed...)
}

// runClients is the process of the clients. It prints a line when all have got something, and a report when its standard
// input has ended, and all of them have too.
func runClients(order string) error {
	var pollers, followers int
	var socket string
	if _, err := fmt.Sscan(order, &pollers, &followers, &socket); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &audience{Client: client.New(socket), ctx: ctx}
	a.begun.Add(pollers + followers)
	lines := make([]int, followers)
	for i := range pollers {
		a.running.Go(func() { a.poll(pollInterval * time.Duration(i) / time.Duration(pollers)) })
	}
	for i := range followers {
		a.running.Go(func() { a.follow(&lines[i]) })
	}
	a.begun.Wait()
	fmt.Println("all have begun")
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	a.running.Wait()

	a.Lost, a.Fewest = int(a.lost.Load()), -1
	for _, n := range lines {
		a.Lines += n
		if a.Fewest < 0 || n < a.Fewest {
			a.Fewest = n
		}
	}
	return json.NewEncoder(os.Stdout).Encode(a.report)
}

// An audience is the clients in their process.
type audience struct {
	*client.Client
	ctx     context.Context
	begun   sync.WaitGroup // has one for each that has not got anything
	running sync.WaitGroup
	lost    atomic.Int64

	mu sync.Mutex
	report
}

// failed notes that a request has failed, unless it is the end that has made it so.
func (a *audience) failed(what string, err error) {
	if a.ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Failed = append(a.Failed, fmt.Sprintf("%s: %v", what, err))
}

// poll asks again and again. They do not begin all at the same moment.
func (a *audience) poll(delay time.Duration) {
	begun := sync.OnceFunc(a.begun.Done)
	defer begun()
	timer := time.NewTimer(delay)
	for {
		select {
		case <-timer.C:
		case <-a.ctx.Done():
			return
		}
		timer.Reset(pollInterval)
		asked := time.Now()
		all, err := a.Daemons(a.ctx)
		if err == nil && len(all) != loadDaemons {
			err = fmt.Errorf("%d daemons, want %d", len(all), loadDaemons)
		}
		if err != nil {
			a.failed("status", err)
			return
		}
		a.mu.Lock()
		a.Polls++
		a.Slowest = max(a.Slowest, time.Since(asked))
		a.mu.Unlock()
		begun()
	}
}

// follow follows all logs, and counts the lines.
func (a *audience) follow(lines *int) {
	begun := sync.OnceFunc(a.begun.Done)
	defer begun()
	for l, err := range a.Logs(a.ctx, client.LogOptions{Lines: client.NoLines, Follow: true}) {
		if err != nil {
			a.failed("logs", err)
			return
		}
		*lines++
		a.lost.Add(int64(l.Lost))
		begun()
	}
	a.failed("logs", io.EOF)
}
