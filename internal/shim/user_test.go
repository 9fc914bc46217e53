package shim

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/child"
)

// TestDumpable: the start of a daemon with another user changes nothing of the supervisor, so that root can open its files
// where nobody has CAP_SYS_PTRACE, as in a container.
func TestDumpable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root starts processes of other users")
	}
	if have, err := current(); err != nil || have.permitted.has(unix.CAP_SYS_PTRACE) {
		again(t, "TestDumpable", &child.Attr{CapDrop: []string{"SYS_PTRACE"}})
		return
	}
	out, err := run(t, &child.Spec{Program: child.Program{Argv: []string{"/bin/cat", "/proc/self/status"}, User: "4242:4343"}})
	if err != nil || !strings.Contains(out, "\nUid:\t4242\t") {
		t.Fatalf("got %v, %s", err, out)
	}
	if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); got != 1 || err != nil {
		t.Errorf("dumpable: got %d, %v, want 1", got, err)
	}
	if _, err := run(t, &child.Spec{Program: child.Program{Argv: []string{"/bin/readlink", fmt.Sprintf("/proc/%d/fd/1", os.Getpid())}}}); err != nil {
		t.Error(err)
	}
}

// again runs a test in a process of its own that has attr.
func again(t *testing.T, name string, attr *child.Attr, env ...string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	out, err := run(t, &child.Spec{Program: child.Program{Argv: []string{exe, "-test.run=^" + name + "$", "-test.v"}, Env: env, Attr: attr}})
	if err != nil || !strings.Contains(out, "--- PASS: "+name) {
		t.Errorf("%s: got %v\n%s", name, err, out)
	}
}

// lowly, in the environment, says that TestRootWithoutPrivileges is in the place that it has made.
const lowly = "SHIM_TEST_LOWLY"

// TestRootWithoutPrivileges: root needs no privilege to stay what it is, without capabilities, and in a user namespace that
// knows no other user.
func TestRootWithoutPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be without privileges that it had")
	}
	if where := os.Getenv(lowly); where != "" {
		testLowly(t, where)
		return
	}
	t.Run("without capabilities", func(t *testing.T) {
		again(t, "TestRootWithoutPrivileges", &child.Attr{CapDrop: []string{"ALL"}}, lowly+"=capabilities")
	})
	t.Run("in a user namespace", func(t *testing.T) {
		cmd := exec.Command(self, "-test.run=^TestRootWithoutPrivileges$", "-test.v")
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", lowly+"=namespace")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if cmd.Process == nil {
			t.Skip(err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestRootWithoutPrivileges") {
			t.Errorf("got %v\n%s", err, out)
		}
	})
}

func testLowly(t *testing.T, where string) {
	refusal := map[string]string{
		"capabilities": "/bin/true as user 4242: operation not permitted",
		"namespace":    `user "4242" (4242) is not mapped in this user namespace`,
	}[where]
	group := map[string]string{
		"capabilities": "/bin/true as user 0:4343: operation not permitted",
		"namespace":    `group 4343 of user "0:4343" is not mapped in this user namespace`,
	}[where]
	for _, e := range []child.Exec{{}, {Shim: Prepare}} {
		for user, want := range map[string]string{
			"root": "", "0": "", "0:0": "", "root:root": "", "4242": refusal, "0:4343": group,
		} {
			p, err := e.Spawn(&child.Spec{Program: child.Program{Argv: []string{"/bin/true"}, User: user}})
			if got := text(err); got != want {
				t.Errorf("with a shim %t, user %s: got %q, want %q", e.Shim != nil, user, got, want)
			}
			if err == nil {
				p.Wait()
				p.Release(true)
			}
		}
	}
}

// TestLargeRequest: more goes to the shim than a pipe holds.
func TestLargeRequest(t *testing.T) {
	spec := &child.Spec{Program: child.Program{Argv: []string{"/bin/sh", "-c", "echo ${#A} ${#J}"}, Attr: &child.Attr{NoNewPrivileges: true}}}
	for name := 'A'; name <= 'J'; name++ {
		spec.Env = append(spec.Env, string(name)+"="+strings.Repeat("x", 100_000))
	}
	if out, err := run(t, spec); out != "100000 100000\n" || err != nil {
		t.Errorf("got %.100q, %v", out, err)
	}
}
