//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/client"
)

// controlled is start with a control socket, and returns its path too.
func controlled(t *testing.T, c call) (*supervisor, string) {
	t.Helper()
	path := filepath.Join(openDir(t), "s")
	c.env = append(c.env, "SIDECAR_INIT_CONTROL="+path)
	s := start(t, c)
	eventually(t, "there is a control socket", func() bool {
		_, err := os.Lstat(path)
		return err == nil
	})
	return s, path
}

// waitReady waits until all daemons are ready.
func waitReady(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Wait(ctx, client.Ready); err != nil {
		t.Fatal(err)
	}
}

// clientStates is what clients in every state have written, to a bundle with a deaf daemon that is to be stopped.
func clientStates() []string {
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" }
	post := func(path string) string { return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" }
	states := []string{
		"",
		"GET /v1",
		get("/v1/daemons"),
		get("/v1/daemons") + "\r\n", // answered and kept
		get("/v1/daemons") + "\r\n" + get("/v1/heal"),
		strings.Repeat(get("/v1/daemons")+"\r\n", 2000), // more answers than fit into the socket, not read
		"no HTTP at all\r\n\r\n",
		post("/v1/daemons/deaf/signal") + "Content-Length: 100\r\n\r\n{",
		post("/v1/daemons/deaf/signal") + "Transfer-Encoding: chunked\r\n\r\n5\r\n{",
		post("/v1/daemons/deaf/stop") + "\r\n",
		post("/v1/daemons/deaf/stop?timeout=1h") + "\r\n",
		get("/v1/wait?for=exited") + "\r\n",
		get("/v1/wait?for=exited&timeout=1h") + "\r\n",
		get("/v1/events?follow") + "\r\n",
		get("/v1/logs?follow") + "\r\n", // not read
		get("/metrics") + "\r\n",
	}
	for range 50 {
		states = append(states, "", get("/v1/logs?follow")+"\r\n", get("/v1/wait?for=exited")+"\r\n")
	}
	return states
}

// TestEndWithClients: with clients in every state the deadline holds, their connections are cut, and the socket file is
// gone afterwards.
func TestEndWithClients(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		inTime(t, 1300*time.Millisecond, func() (time.Duration, error) {
			address := freeAddress(t)
			s, path := controlled(t, call{
				place: p, args: []string{"--grace-period", "1s", "--metrics-listen", address},
				bundle: services(daemon("deaf", "ignore TERM; print up; block", "stop_grace_period: 1h"), daemon("loud", "flood")),
				forget: "[loud]",
			})
			s.expect("[deaf] up")
			var conns []net.Conn
			connect := func(network, address, text string) error {
				conn, err := net.Dial(network, address)
				if err != nil {
					return err
				}
				conns = append(conns, conn)
				conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)) // the server may not take all
				if _, err := io.WriteString(conn, text); err != nil && !os.IsTimeout(err) {
					return err
				}
				return nil
			}
			defer func() {
				for _, c := range conns {
					c.Close()
				}
			}()
			for _, text := range clientStates() {
				if err := connect("unix", path, text); err != nil {
					return 0, err
				}
			}
			for _, text := range []string{"", "GET /met", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"} {
				if err := connect("tcp", address, text); err != nil {
					return 0, err
				}
			}
			// One that came after all of these sees what they have done; and some ask again and again until the end.
			c := client.New(path)
			eventually(t, "deaf is being stopped", func() bool {
				all, err := c.Daemons(context.Background(), "deaf")
				return err == nil && all[0].State == client.StateStopping
			})
			var busy sync.WaitGroup
			for range 5 {
				busy.Go(func() {
					for err := error(nil); err == nil; {
						_, err = c.Daemons(context.Background())
					}
				})
			}
			at := s.signal(syscall.SIGTERM)
			if err := s.ends(0); err != nil {
				return 0, err
			}
			busy.Wait()
			for i, c := range conns {
				c.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
					t.Errorf("connection %d lives on", i)
				}
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 { // as after an exit that could not wait any longer
				return 0, fmt.Errorf("left in place of the socket: %v, %w", left, err)
			}
			return s.at.Sub(at), nil
		})
	})
}

// freeAddress is an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestStranger: another user is told that it may not ask, by every command and at every try.
func TestStranger(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	s, path := controlled(t, call{bundle: services(daemon("web", "print up; block"))})
	s.expect("[web] up")
	for _, mode := range []os.FileMode{0o600, 0o666} { // as it is, and as somebody may have made it
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, args := range []string{"status", "status --format json", "stop web", "restart web", "signal KILL web", "logs", "logs -f", "events -f", "wait", "healthy"} {
			for range 5 {
				cmd := exec.Command(shipped(), append(strings.Fields(args), "--control", path)...)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				out, err := cmd.CombinedOutput()
				want := "sidecar-init: only root and the supervisor's own user may ask\n"
				if mode == 0o600 {
					want = "sidecar-init: no supervisor answers: cannot connect to " + path + ": permission denied\n"
				}
				if string(out) != want || cmd.ProcessState.ExitCode() != exitNoSupervisor {
					t.Errorf("%s, with the mode %o: %q, %v", args, mode, out, err)
				}
			}
		}
	}
	all, err := client.New(path).Daemons(context.Background())
	if err != nil || len(all) != 1 || all[0].Starts != 1 || all[0].State != client.StateRunning {
		t.Errorf("afterwards: %+v, %v", all, err)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// script is a program that every user can execute.
func script(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// fetch returns the answer to a request.
func fetch(t *testing.T, socket, path string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: x\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body) + "\n"
}

// TestMetrics: what there is to scrape, at both places; and that the tool of Prometheus finds nothing wrong with it.
func TestMetrics(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	s, path := controlled(t, call{
		place: subreaper, args: []string{"--metrics-listen", address},
		bundle: "x-sidecar-init: { notify: [ { url: unix:///nonexistent/s }, { exec: [/bin/true] } ], signals: { HUP: { forward: web } } }\n" +
			services(daemon("web", "trap HUP print hup; print up; block"), daemon("job", "exit 3"), daemon("a.b-c_D", "print up; block", "scale: 2")),
	})
	s.expect("[web] up", exited("job", "3"))
	// The lines of a daemon can come before the supervisor has taken note that it was started.
	if _, err := client.New(path).Wait(context.Background(), client.Ready, "web", "a.b-c_D"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	s.expect("[web] hup")
	var text string
	eventually(t, "the signal, which the daemon can have before, is counted", func() bool {
		text = fetch(t, path, "/metrics")
		return strings.Contains(text, "sidecar_init_signals_forwarded_total{")
	})
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.Header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("%v, %v", resp.Header, err)
	}
	for _, want := range []string{
		`sidecar_init_daemon_up{daemon="web"} 1`, `sidecar_init_daemon_up{daemon="job"} 0`,
		`sidecar_init_daemon_up{daemon="a.b-c_D-2"} 1`, `sidecar_init_signals_forwarded_total{daemon="web",signal="SIGHUP"} 1`,
		`sidecar_init_daemon_exits_total{daemon="job",cause="failure"} 1`, `sidecar_init_log_lines_total{daemon="web"} 2`,
	} {
		if !strings.Contains(text, want+"\n") || !strings.Contains(string(body), want+"\n") {
			t.Errorf("there is no %s", want)
		}
	}
	for _, other := range []string{"/v1/daemons", "/", "/metrics/"} {
		if resp, err := http.Get("http://" + address + other); err != nil || resp.StatusCode != 404 {
			t.Errorf("%s at the address for metrics: %v, %v", other, resp, err)
		}
	}
	t.Run("promtool", func(t *testing.T) {
		promtool, err := exec.LookPath("promtool")
		if err != nil {
			t.Skip("promtool is not installed; on Debian it is in the package prometheus")
		}
		for _, page := range []string{text, string(body)} {
			cmd := exec.Command(promtool, "check", "metrics")
			cmd.Stdin = strings.NewReader(page)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("promtool: %v\n%s", err, out)
			}
		}
	})
	// An address that is taken is no reason not to run.
	other := start(t, call{place: subreaper, args: []string{"--metrics-listen", address}, bundle: services(daemon("web", "print up; block"))})
	other.expect("[web] up")
	if n := other.count("sidecar-init: there is no address for metrics: .*in use"); n != 1 {
		t.Errorf("%d lines say that the address is taken", n)
	}
	other.signal(syscall.SIGTERM)
	other.exit(0)
	s.signal(syscall.SIGTERM)
	s.exit(3)
}

// TestTerminationLog: Kubernetes gets to know why it has ended.
func TestTerminationLog(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make /dev/termination-log")
	}
	again(t, func() error { // since on a machine that starves the last words can be lost: the time of the exit wins
		file := filepath.Join(openDir(t), "message")
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			return err
		}
		s := start(t, call{
			stage: "termination", env: []string{"MESSAGE=" + file}, args: []string{"--grace-period", "300ms"},
			bundle: services(daemon("a", "ignore TERM; print up; block"), daemon("b", "exit 3"), daemon("c", "exit 1")),
		})
		s.expect("[a] up", exited("b", "3"), exited("c", "1"))
		s.signal(syscall.SIGTERM)
		if err := s.ends(3); err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r struct {
			ExitCode int      `json:"exit_code"`
			Daemon   string   `json:"daemon"`
			Cause    string   `json:"cause"`
			Killed   []string `json:"killed"`
			First    struct {
				Daemon string `json:"daemon"`
				Code   int    `json:"code"`
			} `json:"first_failure"`
			Dropped *int `json:"log_lines_dropped"`
		}
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if r.ExitCode != 3 || r.Daemon != "b" || r.Cause != "SIGTERM" || len(r.Killed) != 1 || r.Killed[0] != "a" ||
			r.First.Daemon != "b" && r.First.Daemon != "c" || r.First.Code == 0 || r.Dropped == nil {
			return fmt.Errorf("got %s", text)
		}
		if n := s.count(`sidecar-init: record: code 3 from b \(SIGTERM\); first failure: [bc], code \d; killed: a`); n != 1 {
			return fmt.Errorf("%d lines are the record", n)
		}
		return nil
	})
}

// TestHealthyCrashLoop: a crash loop is never taken for well, whenever it is looked at.
func TestHealthyCrashLoop(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("loop", "sleep 50ms; exit 3", "restart: always",
		"x-sidecar-init: { backoff: { initial: 10ms, max: 10ms } }"))})
	s.match(`sidecar-init: loop exited with code 3; restarting in .*`)
	eventually(t, "root has heard of it", func() bool { // the line comes first
		h, err := client.New(path).Healthy(t.Context())
		return err == nil && !h.Healthy
	})
	states := map[client.State]string{}
	for i := 0; i < 100 || i < 10_000 && states[client.StateRunning] == ""; i++ {
		h, err := client.New(path).Healthy(t.Context())
		if err != nil || h.Healthy || len(h.Problems) != 1 {
			t.Fatalf("look %d: got %+v, %v, want that one is not well", i, h, err)
		}
		states[h.Problems[0].State] = h.Problems[0].Reason
	}
	if reason, ok := states[client.StateRunning]; !ok || !strings.Contains(reason, "after it had ended with code 3") {
		t.Errorf("seen were %v, want it to have been seen running", states)
	}
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 && code != 3 { // 3 where SIGTERM came in its delay, or it ended by itself just then
		t.Errorf("exit code: got %d, want 0 or 3", code)
	}
}

// TestOOM: an end that is the OOM killer's is told from others by SIGKILL.
func TestOOM(t *testing.T) {
	t.Parallel()
	cgroup := limited(t, 150<<20)
	s, path := controlled(t, call{
		program: shipped(), stage: "cgroup", env: []string{"CGROUP=" + cgroup}, place: subreaper,
		bundle: services(daemon("killed", "print up; block"), daemon("glutton", "x", "entrypoint: [/bin/sh, -c, 'exec tail /dev/zero']",
			"oom_score_adj: 1000"), daemon("other", "block")),
	})
	s.expect("[killed] up")
	c := client.New(path)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Wait(ctx, client.Exited, "glutton"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Signal(ctx, "killed", "KILL"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(ctx, client.Exited, "killed"); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for e, err := range c.Events(ctx, true) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == client.EventExited {
			got[e.Subject] = e.Data.OOM
		}
		if len(got) == 2 {
			break
		}
	}
	if !got["glutton"] || got["killed"] {
		t.Errorf("killed by the OOM killer: %v", got)
	}
	if text := fetch(t, path, "/metrics"); !strings.Contains(text, `sidecar_init_daemon_oom_kills_total{daemon="glutton"} 1`) {
		t.Error("it is not counted")
	}
	s.signal(syscall.SIGTERM)
	s.exit(137)
	for _, line := range []string{
		`sidecar-init: glutton exited with code -9 \(SIGKILL\); leaving .*; the kernel's OOM killer`,
		`sidecar-init: killed exited with code -9 \(SIGKILL\); leaving .* failure\)`,
		`sidecar-init: record: .* first failure: glutton, code -9 \(SIGKILL\), the kernel's OOM killer`,
	} {
		if n := s.count(line); n != 1 {
			t.Errorf("%d lines match %s", n, line)
		}
	}
}

// limited makes a cgroup that may use so much memory, and returns its directory.
func limited(t *testing.T, bytes int) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip("there are no cgroups")
	}
	why := "no memory controller"
	for line := range strings.Lines(string(self)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		parent, limit := "", ""
		switch {
		case f[1] == "memory":
			parent, limit = filepath.Join("/sys/fs/cgroup/memory", f[2]), "memory.limit_in_bytes"
		case f[1] == "":
			parent, limit = filepath.Join("/sys/fs/cgroup", f[2]), "memory.max"
		default:
			continue
		}
		dir := filepath.Join(parent, fmt.Sprintf("sidecar-init-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			why = err.Error()
			continue
		}
		t.Cleanup(func() {
			eventually(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
		})
		if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(bytes)), 0o644); err == nil {
			return dir
		}
		why = err.Error()
	}
	t.Skipf("cannot make a cgroup with a limit: %s", why)
	return ""
}

// TestWatchEnds: a signal ends a command that goes on, wherever its flags stand.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{bundle: services(daemon("web", "print up; block"))})
	s.expect("[web] up")
	for _, args := range [][]string{{"status", "--control", path, "--watch"}, {"--control", path, "status", "--watch"}} {
		watch := exec.Command(shipped(), args...)
		watch.Env = []string{}
		out, err := watch.StdoutPipe()
		if err == nil {
			err = watch.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(patience, func() { watch.Process.Kill() })
		watch.Process.Signal(syscall.SIGINT)
		_ = watch.Wait()
		late.Stop()
		if got := watch.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != syscall.SIGINT {
			t.Errorf("%v: got %v, want that SIGINT has ended it", args, watch.ProcessState)
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}
