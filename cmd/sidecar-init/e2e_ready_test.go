//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// freePort is a port of the loopback where nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// ready is the line of an own key ready.
func ready(how string) string { return "x-sidecar-init: { ready: { " + how + " } }" }

// after is the line of a dependency.
func after(name, condition string) string {
	return fmt.Sprintf("depends_on: { %s: { condition: %s } }", name, condition)
}

// TestReadiness: whoever depends on a daemon starts when the daemon is ready, however that is found out.
func TestReadiness(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, tt := range []struct {
			name   string
			script string // what makes it ready; FILE and PORT are replaced
			keys   []string
		}{
			{"tcp", "listen 127.0.0.1:PORT; block", []string{ready("tcp: PORT")}},
			{"tcp with host", "listen 127.0.0.1:PORT; block", []string{ready(`tcp: "localhost:PORT"`)}},
			{"http", "listen 127.0.0.1:PORT 302; block", []string{ready(`http: "http://127.0.0.1:PORT/"`)}},
			{"exec", "touch FILE; block", []string{ready("exec: [test, -e, FILE]")}},
			{"log", "print not yet; print at last; block", []string{ready("log: ^at last$")}},
			{"log without attach", "print not yet; eprint at last; block", []string{ready("log: ^at last$"), "attach: false"}},
			{"notify sd", "notify STATUS=booting; notify READY=1; block", []string{ready("notify: sd")}},
			{"notify sd, by a child", "fork { notify READY=1 }; block", []string{ready("notify: sd")}},
			{"notify fd:3", "writefd 3 x; closefd 3; block", []string{ready("notify: fd:3")}},
			{"notify fd:9", "writefd 9 x; block", []string{ready("notify: fd:9")}},
			{
				"healthcheck", "touch FILE; block",
				[]string{"healthcheck: { test: [CMD, test, -e, FILE], interval: 20ms, retries: 1000 }"},
			},
			{
				"CMD-SHELL", "touch FILE; block",
				[]string{`healthcheck: { test: [CMD-SHELL, "test -e FILE && exit 0; exit 1"], start_interval: 20ms, start_period: 60s }`},
			},
			{
				"both", "touch FILE.1; sleep 30ms; touch FILE; block",
				[]string{ready("exec: [test, -e, FILE.1]"), "healthcheck: { test: [CMD, test, -e, FILE], interval: 20ms, retries: 1000 }"},
			},
		} {
			if p.name != asRoot.name && !strings.HasPrefix(tt.name, "notify") {
				continue // nothing in it depends on who we are
			}
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				r := strings.NewReplacer("FILE", filepath.Join(openDir(t), "file"), "PORT", fmt.Sprint(freePort(t)))
				if err := os.Chmod(filepath.Dir(r.Replace("FILE")), 0o777); err != nil {
					t.Fatal(err)
				}
				for i := range tt.keys {
					tt.keys[i] = r.Replace(tt.keys[i])
				}
				s := start(t, call{place: p, bundle: services(
					daemon("db", r.Replace("touch FILE.begun; waitfile FILE.go; "+tt.script), tt.keys...),
					daemon("web", "print hello; block", after("db", "service_healthy")),
				)})
				eventually(t, "db runs", func() bool { _, err := os.Stat(r.Replace("FILE.begun")); return err == nil })
				s.never("sidecar-init: db is ready")
				writeFile(t, r.Replace("FILE.go"), "")
				s.expect("[web] hello", "sidecar-init: db is ready")
				s.signal(syscall.SIGTERM)
				s.exit(0)
				s.inOrder("sidecar-init: starting db", "sidecar-init: db is ready", "sidecar-init: starting web", "[web] hello")
			})
		}
	})
}

// inOrder fails the test unless these lines are in the output, in this order.
func (s *supervisor) inOrder(lines ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := lines
	for _, l := range s.lines {
		if len(rest) > 0 && l == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		s.t.Errorf("%q is missing, or before what it should follow: want the order %q", rest[0], lines)
	}
}

// TestNotifyReadOnly: the notify socket needs no directory.
func TestNotifyReadOnly(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		t.Skip("there is no systemd-notify (Debian package systemd)")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make its root directory read-only")
	}
	r, w := pipe(t)
	fmt.Fprint(w, `services: { a: {
		command: [/bin/sh, -c, 'systemd-notify --ready "--status=it runs" && exec sleep 1000'],
		user: "4242:4343", x-sidecar-init: { ready: { notify: sd } } } }`)
	w.Close()
	s := start(t, call{place: asRoot, stage: "readonly", stdin: r, args: []string{"run", "-f", "-"}})
	s.expect("sidecar-init: a is ready")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestNotifyRefused: neither another daemon's user nor MAINPID is believed.
func TestNotifyRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a daemon of another user")
	}
	dir := openDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s := start(t, call{bundle: services(
		daemon("db", "notify MAINPID=1; env NOTIFY_SOCKET; block", `user: "4242"`, ready("notify: sd")),
		// What is private to db's socket is no secret.
		fmt.Sprintf("  evil:\n    command: [sh, -c, 'until test -e %s/address; do sleep 0.01; done; NOTIFY_SOCKET=$$(cat %[1]s/address) exec testdaemon notify READY=1']\n    user: \"4243\"\n", dir),
	)})
	if pid := s.match(`sidecar-init: db: MAINPID=1 is ignored: the main process is (\d+)`)[0]; pid == "1" {
		t.Errorf("the main process is %s", pid)
	}
	address := s.match(`\[db\] NOTIFY_SOCKET=(@.*)`)[0]
	if err := os.WriteFile(filepath.Join(dir, "address"), []byte(address), 0o644); err != nil {
		t.Fatal(err)
	}
	s.match(`sidecar-init: db: a notification from pid \d+ is ignored: it comes from user 4243`)
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never("sidecar-init: db is ready")
}

// TestNotifyEnvironment: each daemon that speaks so has a socket of its own, and nobody else has one; ours is not theirs.
func TestNotifyEnvironment(t *testing.T) {
	t.Parallel()
	s := start(t, call{
		env: []string{"NOTIFY_SOCKET=@ours", "WATCHDOG_USEC=1", "WATCHDOG_PID=1"},
		bundle: services(
			daemon("a", "env NOTIFY_SOCKET; env WATCHDOG_USEC", ready("notify: sd")),
			daemon("b", "env NOTIFY_SOCKET", ready("notify: sd")),
			daemon("c", "env NOTIFY_SOCKET"),
		),
	})
	a, b := s.match(`\[a\] NOTIFY_SOCKET=(@.*)`)[0], s.match(`\[b\] NOTIFY_SOCKET=(@.*)`)[0]
	if a == b || a == "@ours" {
		t.Errorf("sockets: got %s and %s", a, b)
	}
	s.expect("[c] NOTIFY_SOCKET unset", "[a] WATCHDOG_USEC unset")
	s.exit(0)
}

// TestUpward: who started us hears once that all daemons are ready.
func TestUpward(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := start(t, call{
		env: []string{"NOTIFY_SOCKET=" + l.LocalAddr().String()},
		bundle: services(
			daemon("job", "exit 0"),
			daemon("db", "trap USR1 { notify READY=1 }; print up; block", ready("notify: sd")),
			daemon("web", "block"),
		),
	})
	s.expect("[db] up")
	if n, err := nonBlocking(t, l); err != unix.EAGAIN {
		t.Errorf("db is not ready: got %d bytes, %v", n, err)
	}
	pid := s.childOf("db")
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := l.Read(buf)
	if got, want := string(buf[:n]), "READY=1\n"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
	if n, err := nonBlocking(t, l); err != unix.EAGAIN {
		t.Errorf("after that: got %d bytes, %v", n, err)
	}
}

// nonBlocking looks for a datagram.
func nonBlocking(t *testing.T, l *net.UnixConn) (n int, err error) {
	t.Helper()
	raw, rawErr := l.SyscallConn()
	if rawErr != nil {
		t.Fatal(rawErr)
	}
	_ = raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), make([]byte, 100), unix.MSG_DONTWAIT) })
	return n, err
}

// childOf returns the process ID, as we see it, of the child of the supervisor in whose environment the daemon's name is.
func (s *supervisor) childOf(name string) int {
	s.t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		stat, _ := os.ReadFile(dir + "/stat")
		env, _ := os.ReadFile(dir + "/environ")
		var pid, ppid int
		var comm, state string
		if n, _ := fmt.Sscan(string(stat), &pid, &comm, &state, &ppid); n == 4 && ppid == s.cmd.Process.Pid &&
			strings.Contains("\x00"+string(env), "\x00SIDECAR_INIT_DAEMON="+name+"\x00") {
			return pid
		}
	}
	s.t.Fatalf("there is no process of %s", name)
	return 0
}

// TestUnhealthy: by policy an unhealthy daemon is restarted, or reported only; then it can recover.
func TestUnhealthy(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		// No check fails before web has its trap.
		check := strings.ReplaceAll(`healthcheck: { test: [CMD-SHELL, "until test -e DIR/up; do sleep 0.01; done; `+
			`test -e DIR/file || { echo there is no file; exit 3; }"], interval: 10ms, retries: 2 }`, "DIR", dir)
		s := start(t, call{place: p, bundle: services(
			daemon("web", "trap TERM { print bye; exit 0 }; touch "+dir+"/up; print hello; block", check, "restart: on-failure",
				"x-sidecar-init: { backoff: { initial: 1ms, max: 1ms } }"),
			daemon("db", "block", check),
		)})
		s.expect(
			"sidecar-init: db is unhealthy: its health check has failed 2 times: it ended with code 3: there is no file",
			"sidecar-init: web is unhealthy: its health check has failed 2 times: it ended with code 3: there is no file",
			"[web] bye",
		)
		s.match(`sidecar-init: web exited with code 0; restarting in .* \(attempt 1\)`)
		s.expect("[web] hello")
		writeFile(t, dir+"/file", "")
		s.expect("sidecar-init: db is ready", "sidecar-init: web is ready")
		s.signal(syscall.SIGTERM)
		s.exit(0)
		if n := s.count("sidecar-init: db is unhealthy.*"); n != 1 {
			t.Errorf("db is unhealthy: %d lines, want 1", n)
		}
	})
}

// TestWatchdog: WATCHDOG_USEC in the daemon's environment is the interval of its watchdog.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	s := start(t, call{bundle: services(daemon("web", "notify READY=1; env WATCHDOG_USEC; block",
		ready("notify: sd"), "environment: { WATCHDOG_USEC: 100000 }", "restart: always"))})
	s.expect("[web] WATCHDOG_USEC=100000", "sidecar-init: web is unhealthy: its watchdog heard nothing for 100ms")
	s.match(`sidecar-init: web exited with code -15 \(SIGTERM\); restarting in .*`)
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestExtend: a daemon that asks for more time to stop is given it, but none past the deadline.
func TestExtend(t *testing.T) {
	t.Parallel()
	s := start(t, call{
		args: []string{"--restart-grace", "1s"},
		bundle: routed("USR1: { restart: web }", daemon("web",
			"trap TERM { notify STOPPING=1 EXTEND_TIMEOUT_USEC=60000000; sleep 1500ms; print bye; exit 0 }; notify READY=1; block",
			ready("notify: sd"))),
	})
	s.expect("sidecar-init: web is ready")
	s.signal(syscall.SIGUSR1)
	s.expect("[web] bye", "sidecar-init: web is ready")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never("sidecar-init: web did not exit.*")

	s = start(t, call{
		args: []string{"--grace-period", "2s"},
		bundle: services(daemon("web", "trap TERM { notify EXTEND_TIMEOUT_USEC=60000000; print stopping }; notify READY=1; block",
			ready("notify: sd"), "stop_grace_period: 1s")),
	})
	s.expect("sidecar-init: web is ready")
	s.signal(syscall.SIGTERM)
	s.expect("[web] stopping")
	s.exit(0)
	s.expect("sidecar-init: grace (2s) elapsed; SIGKILL on web")
}

// TestProbeHangs: a probe that cannot be stopped by kindness delays nothing, and is gone in the end.
func TestProbeHangs(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		dir := openDir(t)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		hang := fmt.Sprintf("[testdaemon, ignore TERM INT HUP; touch %s/NAME; block]", dir)
		named := func(name string) string { return strings.Replace(hang, "NAME", name, 1) }
		s := start(t, call{place: p, bundle: services(
			daemon("a", "block", ready("exec: "+named("a"))),
			daemon("b", "block", "healthcheck: { test: [CMD, "+named("b")[1:]+", interval: 10ms, timeout: 1h }"),
			daemon("c", "print hello; block"),
		)})
		s.expect("[c] hello")
		for _, name := range []string{"a", "b"} {
			eventually(t, "the probe of "+name, func() bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil })
		}
		at := s.signal(syscall.SIGTERM)
		s.exit(0)
		if took := s.at.Sub(at); took > 4*time.Second {
			t.Errorf("the shutdown took %v", took)
		}
	})
}

// TestProbeEnvironment: a probe has the environment, user and directory of the daemon, without what is private.
func TestProbeEnvironment(t *testing.T) {
	t.Parallel()
	s := start(t, call{
		env: []string{"TOKEN=secret", "PLAIN=plain"},
		bundle: services(`  web:
    command: [testdaemon, "env TOKEN; block"]
    environment: { OWN: mine }
    working_dir: /usr
    x-sidecar-init:
      private_env: [TOKEN]
      ready: { exec: [sh, -c, 'test -z "$$TOKEN" && test "$$PLAIN$$OWN" = plainmine && test "$$PWD" = /usr'] }
`),
	})
	s.expect("[web] TOKEN=secret", "sidecar-init: web is ready")
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestNotReady: a daemon that closes its descriptor without a word is never ready, and that is no error.
func TestNotReady(t *testing.T) {
	t.Parallel()
	s := start(t, call{bundle: services(daemon("web", "closefd 3; print closed; sleep 50ms; exit 0", ready("notify: fd:3")))})
	s.expect("[web] closed")
	s.exit(0)
	s.never("sidecar-init: web is (ready|unhealthy).*")
}
