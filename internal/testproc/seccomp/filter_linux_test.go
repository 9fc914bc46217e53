//go:build amd64 || arm64

package seccomp

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	if os.Args[0] == "probe" {
		probe()
	}
	os.Exit(m.Run())
}

// probe prints what the kernel says to some calls.
func probe() {
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	fmt.Println("subreaper", number0(err))
	_, err = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	fmt.Println("dumpable", number0(err))
	fd, err := unix.MemfdCreate("probe", 0)
	unix.Close(fd)
	fmt.Println("memfd", number0(err))
	os.Stdout.Sync()
	unix.Exit(0)
}

// number0 is the number of an error, 0 for none.
func number0(err error) int {
	var errno syscall.Errno
	errors.As(err, &errno)
	return int(errno)
}

func TestFilter(t *testing.T) {
	if reason, ok := Supported(); !ok {
		t.Skip(reason)
	}
	subreaper := &Arg{Index: 0, Mask: ^uint32(0), Value: unix.PR_SET_CHILD_SUBREAPER}
	everything := Filter{Default: unix.EPERM}
	for name := range common {
		everything.Rules = append(everything.Rules, Rule{Call: name})
	}
	for name := range own {
		everything.Rules = append(everything.Rules, Rule{Call: name})
	}
	for _, tt := range []struct {
		name   string
		filter Filter
		want   string // the errors that probe sees: of setting the subreaper, of another prctl, of memfd_create
	}{
		{name: "nothing", want: "0 0 0"},
		{name: "one call", filter: Refuse(unix.ENOSYS, "memfd_create"), want: "0 0 38"},
		{name: "several", filter: Refuse(unix.EINVAL, "memfd_create", "prctl"), want: "22 22 22"},
		{name: "one argument", filter: Filter{Rules: []Rule{{Call: "prctl", When: subreaper, Errno: unix.EPERM}}}, want: "1 0 0"},
		{
			name: "a rule after one with an argument", want: "1 0 38",
			filter: Filter{Rules: []Rule{{Call: "prctl", When: subreaper, Errno: unix.EPERM}, {Call: "memfd_create", Errno: unix.ENOSYS}}},
		},
		{
			name: "masked", want: "1 1 0", // PR_SET_CHILD_SUBREAPER is 36, PR_GET_DUMPABLE 3
			filter: Filter{Rules: []Rule{{Call: "prctl", When: &Arg{Mask: 64}, Errno: unix.EPERM}}},
		},
		{name: "the first rule decides", filter: Filter{Rules: []Rule{{Call: "memfd_create"}, {Call: "memfd_create", Errno: unix.EPERM}}}, want: "0 0 0"},
		{name: "a list of what is allowed", filter: everything, want: "0 0 0"},
		{
			name: "and what it lacks", want: "0 0 1",
			filter: Filter{Default: unix.EPERM, Rules: func() (rules []Rule) {
				for _, r := range everything.Rules {
					if r.Call != "memfd_create" {
						rules = append(rules, r)
					}
				}
				return rules
			}()},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := tt.filter.Command("/proc/self/exe")
			cmd.Args[len(cmd.Args)-1] = "probe"
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got []string
			for i, f := range strings.Fields(string(out)) {
				if i%2 == 1 {
					got = append(got, f)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got errors %s, want %s\n%s", got, tt.want, out)
			}
		})
	}
}

func TestFilterUnknownCall(t *testing.T) {
	if _, err := Refuse(unix.EPERM, "fork_bomb").assemble(); err == nil || !strings.Contains(err.Error(), `"fork_bomb"`) {
		t.Errorf("got %v, want an error that names the call", err)
	}
}

func TestKnown(t *testing.T) {
	if !Known("newfstatat") || !Known("clone") || Known("fork_bomb") {
		t.Errorf("got newfstatat %t, clone %t, fork_bomb %t", Known("newfstatat"), Known("clone"), Known("fork_bomb"))
	}
}
