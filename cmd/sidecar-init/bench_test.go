//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These measure the program as it is shipped, as an ordinary process, with daemons that do nothing. They are figures of one
// state, not of a loop: -benchtime changes nothing.

// begin starts the shipped program on a Compose file, and returns it with its output.
func begin(b *testing.B, bundle string, args ...string) (*exec.Cmd, *bufio.Reader) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(bundle), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(shipped(), append([]string{"run", "-f", file}, args...)...)
	cmd.Env = []string{"PATH=" + tools()}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return cmd, bufio.NewReader(out)
}

// await reads lines until n contain word.
func await(b *testing.B, r *bufio.Reader, word string, n int) {
	b.Helper()
	for n > 0 {
		line, err := r.ReadString('\n')
		if err != nil {
			b.Fatalf("output ended before %q: %v", word, err)
		}
		if strings.Contains(line, word) {
			n--
		}
	}
}

// statusField is a number in /proc/PID/status, or the sum over all threads.
func statusField(b *testing.B, glob, field string) float64 {
	b.Helper()
	files, _ := filepath.Glob(glob)
	sum := 0.0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, field+":"); ok {
				n, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
				if err != nil {
					b.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}

func manyDaemons(n int) string {
	var s strings.Builder
	s.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&s, "  d%d: { command: [testdaemon, 'print up; block'] }\n", i)
	}
	return s.String()
}

// BenchmarkFootprint is what the supervisor takes while its daemons are idle.
func BenchmarkFootprint(b *testing.B) {
	rss := map[int]float64{}
	for _, n := range []int{5, 100, 1000} {
		b.Run(fmt.Sprintf("daemons=%d", n), func(b *testing.B) {
			cmd, out := begin(b, manyDaemons(n))
			await(b, out, "] up", n)
			<-time.After(2 * time.Second) // for the state after the start, not to wait for something
			status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
			threads := fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid)
			b.ReportMetric(statusField(b, status, "Threads"), "threads")
			rss[n] = statusField(b, status, "VmRSS")
			b.ReportMetric(rss[n], "rss-kB")
			b.ReportMetric(statusField(b, status, "RssAnon"), "anon-kB")
			if n > 5 && rss[5] > 0 {
				b.ReportMetric((rss[n]-rss[5])/float64(n-5), "kB/daemon")
			}
			if n == 5 {
				switches := func() float64 {
					return statusField(b, threads, "voluntary_ctxt_switches") + statusField(b, threads, "nonvoluntary_ctxt_switches")
				}
				before := switches()
				<-time.After(time.Minute)
				b.ReportMetric(switches()-before, "switches/min")
			}
		})
	}
	b.Run("binary", func(b *testing.B) {
		info, err := os.Stat(shipped())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/1e6, "MB")
	})
}

// BenchmarkForward is the time from SIGHUP to the supervisor until the line that the daemon's handler prints is in the log,
// and the same for SIGHUP to the daemon itself; the difference is what the supervisor adds.
func BenchmarkForward(b *testing.B) {
	cmd, out := begin(b, routed("HUP: { forward: web }", daemon("web", "trap HUP print reloaded; pid; print up; block")))
	line, err := out.ReadString('\n') // starting web
	for err == nil && !strings.HasPrefix(line, "[web] pid ") {
		line, err = out.ReadString('\n')
	}
	if err != nil {
		b.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "[web] pid ")))
	if err != nil {
		b.Fatal(err)
	}
	await(b, out, "up", 1)
	perOp := map[string]float64{}
	for _, to := range []struct {
		name string
		pid  int
	}{{"daemon", pid}, {"supervisor", cmd.Process.Pid}} {
		b.Run("to="+to.name, func(b *testing.B) {
			for b.Loop() {
				if err := syscall.Kill(to.pid, syscall.SIGHUP); err != nil {
					b.Fatal(err)
				}
				await(b, out, "reloaded", 1)
			}
			perOp[to.name] = float64(b.Elapsed()) / float64(b.N)
			if direct := perOp["daemon"]; to.name == "supervisor" && direct > 0 {
				b.ReportMetric(perOp["supervisor"]/direct, "ratio")
			}
		})
	}
}

// BenchmarkThousand is the time to start and stop 1000 daemons.
func BenchmarkThousand(b *testing.B) {
	for b.Loop() {
		cmd, out := begin(b, manyDaemons(1000))
		await(b, out, "] up", 1000)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			b.Fatal(err)
		}
		await(b, out, "sidecar-init: exit 0", 1)
	}
}

// fiftyServices is a file of 50 services that use many keys, with the variables and merge keys that cost most to read.
func fiftyServices() string {
	var s strings.Builder
	s.WriteString("x-env: &env { LEVEL: info, ZONE: \"${ZONE:-eu}\" }\nservices:\n")
	for i := range 50 {
		fmt.Fprintf(&s, `  service-%d:
    image: example/service:${TAG:-latest}
    command: [testdaemon, "print ${WORD:-up}; block"]
    environment: { <<: *env, NUMBER: %[1]d, URL: "http://127.0.0.1:80%[1]d/" }
    restart: on-failure
    stop_grace_period: 3s
    healthcheck: { test: [CMD, testdaemon, "exit 0"], interval: 1h }
    x-sidecar-init: { backoff: { initial: 1s, max: 10s }, private_env: ["TOKEN_%[1]d_*"] }
`, i)
		if i > 0 {
			fmt.Fprintf(&s, "    depends_on: [service-%d]\n", i/2)
		}
	}
	return s.String()
}

// BenchmarkStart is the time from the start of the program to its first line: the built-in bundle, and a file of 50
// services. ms-more is what the latter takes longer.
func BenchmarkStart(b *testing.B) {
	file := filepath.Join(b.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(fiftyServices()), 0o644); err != nil {
		b.Fatal(err)
	}
	program, env := shipped(), []string{"PATH=" + tools()} // built by the first call
	perOp := map[string]float64{}
	for _, bundle := range []struct {
		name string
		args []string
	}{{"builtin", nil}, {"services=50", []string{"-f", file}}} {
		b.Run(bundle.name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command(program, append([]string{"run", "--control", "off"}, bundle.args...)...)
				cmd.Env = env
				out, err := cmd.StdoutPipe()
				if err != nil {
					b.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				r := bufio.NewReader(out)
				await(b, r, "sidecar-init: starting", 1)
				b.StopTimer()
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_, _ = io.Copy(io.Discard, r)
				_ = cmd.Wait()
				b.StartTimer()
			}
			perOp[bundle.name] = float64(b.Elapsed()) / float64(b.N)
			if builtin := perOp["builtin"]; bundle.name != "builtin" && builtin > 0 {
				b.ReportMetric((perOp[bundle.name]-builtin)/1e6, "ms-more")
			}
		})
	}
	b.Run("services=50/footprint", func(b *testing.B) {
		cmd, out := begin(b, fiftyServices())
		await(b, out, "] up", 50)
		<-time.After(2 * time.Second) // for the state after the start, not to wait for something
		b.ReportMetric(statusField(b, fmt.Sprintf("/proc/%d/status", cmd.Process.Pid), "VmRSS"), "rss-kB")
	})
}
