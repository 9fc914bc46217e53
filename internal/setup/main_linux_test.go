package setup

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

// The tests run this binary again, in a role, since what Process does to a process cannot be undone.

var roles = map[string]func(){
	"launch":    launchRole,
	"primed":    primedRole,
	"inspect":   inspectRole,
	"signals":   signalsRole,
	"flood":     floodRole,
	"exhausted": exhaustedRole,
}

func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	pidns.Main()
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		roles[os.Args[1]]()
		os.Exit(0)
	}
	os.Setenv("GORACE", noRaceSleep)
	os.Exit(m.Run())
}

const (
	self = "/proc/self/exe"
	// noRaceSleep is $GORACE for a process with the race detector, which else sleeps for 1 s at its end.
	noRaceSleep = "atexit_sleep_ms=0"
)

// A place is where a role runs.
type place struct {
	name    string
	command func(name string, args ...string) *exec.Cmd
	require func(testing.TB)
}

var (
	pid1   = place{"PID 1", pidns.Self.Command, pidns.Self.Require}
	nobody = place{"PID 1 as nobody", pidns.Nobody.Command, pidns.Nobody.Require}
	plain  = place{"not PID 1", func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}, func(testing.TB) {}}
	places = []place{pid1, nobody, plain}
)

// run runs a role with params, and decodes what it prints into result.
func (p place) run(t *testing.T, env []string, role string, params, result any) {
	t.Helper()
	p.require(t)
	cmd := p.command(self, role, encode(params))
	cmd.Env = append([]string{"GORACE=" + noRaceSleep, "PATH=" + os.Getenv("PATH")}, env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("role %s: %v\n%s", role, err, &out)
	}
	if err := json.Unmarshal([]byte(out.String()), result); err != nil {
		t.Fatalf("role %s: %v\n%s", role, err, &out)
	}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	must(err)
	return string(b)
}

func decodeParams(v any) { must(json.Unmarshal([]byte(os.Args[2]), v)) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
