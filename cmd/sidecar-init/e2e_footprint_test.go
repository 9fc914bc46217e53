//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// memory is how much a process has in memory, in kB, and how much of that is not from a file.
func memory(t *testing.T, pid int) (rss, anon int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for field, to := range map[string]*int{"VmRSS:": &rss, "RssAnon:": &anon} {
		_, rest, _ := bytes.Cut(status, []byte("\n"+field))
		if _, err := fmt.Sscan(string(rest), to); err != nil {
			t.Fatalf("%s: %v in %s", field, err, status)
		}
	}
	return rss, anon
}

// The budget of PID 1 with five daemons and the control socket, in kB.
const (
	maxRSS       = 7 << 10
	maxAnon      = 2500
	maxAnonAfter = 4608 // hundreds of requests: what the collector of Go keeps for itself is half of it
)

// TestFootprint holds it, a second after the start and after clients have asked.
func TestFootprint(t *testing.T) {
	t.Parallel()
	var five []string
	for _, name := range []string{"egress", "pipelock", "git-gate", "git-http", "supervise"} {
		five = append(five, daemon(name, "print up; block"))
	}
	s, path := controlled(t, call{program: shipped(), bundle: services(five...)})
	c := client.New(path)
	waitReady(t, c)
	small := func(when string, maxAnon int) {
		t.Helper()
		var rss, anon int
		for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
			if rss, anon = memory(t, s.cmd.Process.Pid); rss <= maxRSS && anon <= maxAnon {
				t.Logf("%s, after %s: %d kB, %d of them anonymous", when, time.Since(begin).Round(10*time.Millisecond), rss, anon)
				return
			}
		}
		t.Errorf("%s: %d kB, want at most %d; %d of them anonymous, want at most %d", when, rss, maxRSS, anon, maxAnon)
	}
	small("after the start", maxAnon)
	for range 100 {
		for _, what := range []string{"/v1/daemons", "/v1/logs", "/v1/events", "/v1/healthy", "/metrics"} {
			fetch(t, path, what)
		}
	}
	small("after clients", maxAnonAfter)
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestHugePages: where the kernel makes them for everybody (Debian's do), a heap of 2 MB that is touched here and there would have
// 6 MB of memory.
func TestHugePages(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel has no transparent huge pages: ", err)
	}
	s := start(t, call{program: shipped(), bundle: services(daemon("a", "print up; block"))})
	s.expect("[a] up")
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// Go's heap grows by 4 MiB, begins at a multiple of that, and asks for addresses far below those that the kernel chooses for what
	// else there is; for nh see proc_pid_smaps(5).
	heaps := 0
	for _, m := range regexp.MustCompile(`(?s)\n([0-9a-f]+)-\S+ rw-p 0+ 00:00 0 *\n.*?\nVmFlags:([^\n]*)`).FindAllStringSubmatch(string(smaps), -1) {
		if start, err := strconv.ParseUint(m[1], 16, 64); err != nil || start%(4<<20) != 0 || start >= 1<<46 {
			continue
		}
		heaps++
		if !strings.Contains(m[2], " nh") {
			t.Errorf("the heap at %s may have huge pages: its flags are%s", m[1], m[2])
		}
	}
	if heaps == 0 {
		t.Errorf("found no heap in\n%s", smaps)
	}
}

// maxIdle is what a thousand connections may make PID 1 have of anonymous memory, in kB.
const maxIdle = 16 << 10

// TestIdleClients: a thousand idle clients, and some that say a byte now and then, neither keep out one that has something to
// say nor cost much memory; the slow ones are cut off, and the end is as quick as ever.
func TestIdleClients(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{program: shipped(), bundle: services(daemon("web", "print up; block"))})
	c := client.New(path)
	waitReady(t, c)
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	connect := func() net.Conn {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		return conn
	}
	var anon int
	for i := range 1000 {
		connect()
		if i%100 == 99 {
			if _, err := c.Daemons(context.Background()); err != nil {
				t.Errorf("with %d connections: %v", i+1, err)
			}
			_, now := memory(t, s.cmd.Process.Pid)
			anon = max(anon, now)
		}
	}
	var slow sync.WaitGroup
	for i := range 50 {
		conn := connect()
		begin := "GET /v1/daemons HTTP/1.1\r\nHost: "
		if i%2 == 0 {
			begin = "POST /v1/daemons/web/signal HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n"
		}
		slow.Go(func() {
			_, err := io.WriteString(conn, begin)
			for begin := time.Now(); err == nil; time.Sleep(100 * time.Millisecond) {
				if _, err = io.WriteString(conn, "x"); time.Since(begin) > patience {
					t.Error("a slow client is not cut off")
					return
				}
			}
		})
	}
	slow.Wait()
	if _, err := c.Daemons(context.Background()); err != nil {
		t.Errorf("after slow clients: %v", err)
	}
	t.Logf("at most %d kB of anonymous memory", anon)
	if anon > maxIdle {
		t.Errorf("%d kB of anonymous memory, want at most %d", anon, maxIdle)
	}
	at := s.signal(syscall.SIGTERM)
	s.exit(0)
	if took := s.at.Sub(at); took > 5*time.Second { // it has 8, and a busy machine may take seconds
		t.Errorf("the end took %s", took)
	}
	if n := s.count("sidecar-init: internal error.*"); n > 0 || strings.Contains(s.output(), "panic") {
		t.Errorf("%d internal errors", n)
	}
}
