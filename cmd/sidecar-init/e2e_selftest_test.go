//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/selftest"
	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

// TestSelftest: every row is true, wherever it runs, and nothing is left behind.
func TestSelftest(t *testing.T) {
	refusing := func(calls ...string) []string { return seccomp.Refuse(unix.EPERM, calls...).Prefix() }
	const limits = "G17" // where cgroups can be written is told by its own tests
	for _, tt := range []struct {
		name   string
		place  place
		prefix []string
		other  []string // hold by another way
		cannot []string
	}{
		{"PID 1", asRoot, nil, nil, nil},
		{"beside", subreaper, nil, nil, nil},
		{"nobody", asNobody, nil, nil, []string{"G11"}},
		{"no pidfds", subreaper, refusing("pidfd_open", "pidfd_send_signal"), []string{"G15"}, nil},
		{"no Landlock", subreaper, refusing("landlock_create_ruleset"), nil, []string{"G10"}},
		{"no inotify", subreaper, refusing("inotify_init1"), []string{"G18"}, nil},
		{"no memfd, close_range", subreaper, refusing("memfd_create", "close_range"), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if prebuilt == "" { // an emulated machine has not the time for several: a selftest takes ten seconds at most
				t.Parallel()
			} else if tt.prefix != nil {
				t.Skip("what a filter refuses is the same on every kernel: needs not root")
			}
			tt.place.require(t)
			k := kernel.Own()
			mighty := tt.name != "nobody" && (k.SysAdmin || k.Perfmon) // with these root reads through walls on newer kernels
			if kernel.Landlock() < 2 {
				tt.cannot = append(slices.Clip(tt.cannot), "G10")
			}
			argv := []string{shipped(), "selftest", "--format", "json"}
			if tt.prefix != nil {
				argv = slices.Concat([]string{filepath.Join(tools(), "testdaemon")}, tt.prefix[1:], []string{shipped(), "sidecar-init", "selftest", "--format", "json"})
			}
			cmd := tt.place.command(argv[0], argv[1:]...)
			if tt.prefix != nil {
				cmd.Args[len(cmd.Args)-len(argv)] = tt.prefix[0]
			}
			begin := time.Now()
			out, err := cmd.Output()
			took := time.Since(begin)
			var results []selftest.Result
			if jsonErr := json.Unmarshal(out, &results); err != nil || jsonErr != nil || len(results) != len(selftest.Guarantees()) {
				t.Fatalf("got %v, %v\n%s", err, jsonErr, out)
			}
			for _, r := range results {
				want := selftest.Holds
				switch {
				case slices.Contains(tt.other, r.ID):
					want = selftest.OtherWay
				case slices.Contains(tt.cannot, r.ID):
					want = selftest.Cannot
				case (r.ID == limits || r.ID == "G16" || r.ID == "G10" && mighty) && r.Status == selftest.Cannot:
					want = selftest.Cannot
				}
				if r.Status != want || (r.Status == selftest.Cannot || r.Status == selftest.OtherWay) && (r.Reason == "" || r.Way == "") {
					t.Errorf("%s: got %s (%s; %s), want %s", r.ID, r.Status, r.Reason, r.Way, want)
				}
			}
			if took > 30*time.Second { // the bound is 10 s, of a machine that does nothing else
				t.Errorf("it took %s", took)
			}
			for _, dir := range []string{"/dev/shm", "/run", "/tmp"} {
				if left, _ := filepath.Glob(fmt.Sprintf("%s/sidecar-init-selftest-%d-*", dir, cmd.Process.Pid)); len(left) > 0 {
					t.Errorf("left are %v", left)
				}
			}
		})
	}
}

// TestSelftestText: for people, with a count; a wrong format is an error of the command line.
func TestSelftestText(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(shipped(), "selftest").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "G1   holds: ") || !strings.Contains(string(out), " hold, ") || !strings.HasSuffix(string(out), ", 0 fail\n") {
		t.Errorf("got %v\n%s", err, out)
	}
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(shipped(), "selftest", "--format", "xml").Run(); err == nil || err.Error() != "exit status 64" {
		t.Errorf("got %v", err)
	}
}
