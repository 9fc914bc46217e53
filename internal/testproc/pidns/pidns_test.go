//go:build linux

package pidns

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	Main()
	if len(os.Args) > 1 && os.Args[1] == "describe" {
		describe()
		return
	}
	os.Exit(m.Run())
}

// describe prints what PID 1 sees of itself.
func describe() {
	status, _ := os.ReadFile("/proc/self/status")
	caps := "?"
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps = strings.TrimSpace(v)
		}
	}
	procs := 0
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			procs++
		}
	}
	fmt.Printf("pid=%d uid=%d caps=%t procs=%d args=%q env=%q\n",
		os.Getpid(), os.Getuid(), strings.Trim(caps, "0") != "", procs, os.Args, os.Environ())
}

func TestCommand(t *testing.T) {
	uid := map[User]int{Self: os.Getuid(), Nobody: os.Getuid()}
	if os.Getuid() == 0 {
		uid[Nobody] = nobody
	}
	for _, u := range Users() {
		t.Run(string(u), func(t *testing.T) {
			u.Require(t)
			cmd := u.Command("/proc/self/exe", "describe", "two words")
			cmd.Env = []string{"GORACE=atexit_sleep_ms=0"}
			out, err := cmd.CombinedOutput()
			want := fmt.Sprintf("pid=1 uid=%d caps=%t procs=1 args=%q env=%q\n", uid[u], uid[u] == 0,
				[]string{"/proc/self/exe", "describe", "two words"}, cmd.Env)
			if got := string(out); got != want || err != nil {
				t.Errorf("got %s(%v), want %s", got, err, want)
			}
		})
	}
}

func TestCommandLooksUp(t *testing.T) {
	Self.Require(t)
	out, err := Self.Command("sh", "-c", "echo $$; exit 3").Output()
	if code := exitCode(err); string(out) != "1\n" || code != 3 {
		t.Errorf("got %q and code %d, want PID 1 and code 3", out, code)
	}
	if err := Self.Command("no such program").Run(); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestNamespaceDiesWithPID1(t *testing.T) {
	Self.Require(t)
	cmd := Self.Command("sh", "-c", "sleep 1000 & echo; read line")
	stdin, _ := cmd.StdinPipe()
	defer stdin.Close()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1)
	if _, err := stdout.Read(buf); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGKILL)
	if n, err := stdout.Read(buf); n != 0 { // sleep holds it too: end of file means that it is gone
		t.Errorf("read %d bytes, %v, want the end", n, err)
	}
	cmd.Wait()
}

func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return -1
}
