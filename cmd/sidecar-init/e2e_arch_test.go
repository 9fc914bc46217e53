//go:build linux && arch

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
)

// The build for another processor runs in QEMU's user mode, which is also a kernel of another kind: it refuses what it does not
// know, such as CLONE_PIDFD before 8.0. The daemons are programs of this machine, since only its own kernel executes them.

// emulated is the call of sidecar-init as it is built for arm64.
func emulated(t *testing.T, c call) call {
	t.Helper()
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		qemu, err = exec.LookPath("qemu-aarch64")
	}
	if err != nil {
		t.Fatal("apt-get install qemu-user-static: ", err)
	}
	exe := filepath.Join(openDir(t), "sidecar-init")
	cmd := exec.Command("go", "build", "-trimpath", "-o", exe, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.place, c.program = subreaper, qemu
	c.adapt = func(cmd *exec.Cmd) {
		cmd.Args = append([]string{qemu, "-0", "sidecar-init", exe}, cmd.Args[1:]...)
	}
	return c
}

// TestArm64: a bundle starts, is signalled, restarted by a signal and by its policy, asked, and stopped.
func TestArm64(t *testing.T) {
	dir := openDir(t)
	s, path := controlled(t, emulated(t, call{
		args: []string{"--restart-grace", "1s"},
		bundle: routed("HUP: { forward: web }, USR1: { restart: web }, USR2: { restart: deaf }",
			daemon("web", "trap HUP print reloaded; trap TERM { print bye; exit 0 }; print up; block"),
			daemon("crash", "once "+dir+"/1 exit 3; print up; block", "restart: on-failure"),
			daemon("deaf", "ignore TERM; print up; block", "stop_grace_period: 1s")),
	}))
	s.expect("[web] up", "[deaf] up", "[crash] up")
	s.match("sidecar-init: crash exited with code 3; restarting in .*")

	s.signal(syscall.SIGHUP)
	s.expect("sidecar-init: forwarded SIGHUP to web", "[web] reloaded")
	s.signal(syscall.SIGUSR1)
	s.expect("sidecar-init: restarting web", "[web] bye", "[web] up")
	s.match(`sidecar-init: web restarted \(pid \d+\)`)
	s.signal(syscall.SIGUSR2)
	s.expect("sidecar-init: deaf did not exit within 1s of SIGTERM; SIGKILL", "[deaf] up")

	c := client.New(path)
	if d, err := c.Stop(t.Context(), "crash"); err != nil || len(d) != 1 || d[0].State != client.StateStopped {
		t.Errorf("stop: got %+v, %v", d, err)
	}
	if _, err := c.Signal(t.Context(), "deaf", "KILL"); err != nil {
		t.Error(err)
	}
	s.expect(exited("deaf", "-9 (SIGKILL)"))
	s.signal(syscall.SIGTERM)
	s.expect("[web] bye")
	s.exit(137)
}

// TestArm64Deadline: the deadline holds, also for a daemon that is deaf.
func TestArm64Deadline(t *testing.T) {
	s := start(t, emulated(t, call{
		args: []string{"--grace-period", "1s"}, bundle: services(daemon("deaf", "ignore TERM; print up; block")),
	}))
	s.expect("[deaf] up")
	s.signal(syscall.SIGTERM)
	s.expect("sidecar-init: grace (1s) elapsed; SIGKILL on deaf")
	s.exit(0)
}

// TestArm64Command: one command, in place of tini.
func TestArm64Command(t *testing.T) {
	s := start(t, emulated(t, call{args: []string{"run", "--", "testdaemon", "trap TERM { print bye; exit 7 }; print up; block"}}))
	s.expect("up")
	s.signal(syscall.SIGTERM)
	s.expect("bye")
	if got := s.wait(); got != 7 {
		t.Errorf("exit code: got %d, want 7", got)
	}
}
