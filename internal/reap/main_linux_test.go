package reap

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/proc"
	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

// The tests run this binary again, in a role: as PID 1 of a new namespace, or as a subreaper in one, so that nothing
// outlives a test that fails.

var roles = map[string]func(){
	"inside":  insideRole,
	"stress":  stressRole,
	"sweep":   sweepRole,
	"stopped": stoppedRole,
	"misused": misusedRole,
	"report":  reportRole,
}

func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	pidns.Main()
	if len(os.Args) > 1 && os.Args[0] == roleName {
		roles[os.Args[1]]()
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else each process with the race detector sleeps for 1 s at its end
	os.Exit(m.Run())
}

const roleName = "/proc/self/exe"

// A place is where a role runs.
type place struct {
	name string
	user pidns.User
	pid1 bool
	scan bool // as if the kernel had no CONFIG_PROC_CHILDREN
}

var places = []place{
	{"PID 1", pidns.Self, true, false},
	{"PID 1 as nobody", pidns.Nobody, true, false},
	{"subreaper", pidns.Self, false, false},
	{"subreaper as nobody", pidns.Nobody, false, false},
	{"subreaper without children files", pidns.Self, false, true},
}

// placesOfSelf are those that are not about users.
func placesOfSelf() []place {
	return slices.DeleteFunc(slices.Clone(places), func(p place) bool { return p.user == pidns.Nobody })
}

// each runs f as a subtest for each place.
func each(t *testing.T, places []place, f func(t *testing.T, p place)) {
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			p.user.Require(t)
			f(t, p)
		})
	}
}

// run runs a role with params and decodes what it prints into result.
func (p place) run(t *testing.T, role string, params, result any) {
	t.Helper()
	arg, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{role, string(arg)}
	if !p.pid1 {
		args = append([]string{"inside"}, args...)
	}
	var out strings.Builder
	cmd := p.user.Command(roleName, args...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := 2 * time.Minute
	if os.Getenv("SIDECAR_INIT_SOAK") != "" {
		limit = time.Hour
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() }) // and with PID 1 all the others
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("role %s: %v\n%s", role, err, &out)
	}
	if err := json.Unmarshal([]byte(out.String()), result); err != nil {
		t.Fatalf("role %s: %v\n%s", role, err, &out)
	}
}

// insideRole is PID 1 for a role that is to be a subreaper.
func insideRole() {
	cmd := exec.Command(roleName, os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	must(cmd.Run())
}

// roleParams decodes what run was given, and makes the process a subreaper if it is not PID 1.
func roleParams(params any) {
	must(json.Unmarshal([]byte(os.Args[2]), params))
	if os.Getpid() != 1 {
		must(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// processes counts the others in the namespace.
func processes() (n int) {
	for _, pid := range proc.PIDs("/proc") {
		if pid != os.Getpid() && pid != 1 {
			n++
		}
	}
	return n
}
