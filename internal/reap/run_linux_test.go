package reap

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// reportRole makes orphans that end in different ways, and says what was reported of them.
func reportRole() {
	roleParams(new(any))
	r := &Reaper{}
	reported := make(chan string, 10)
	pids := map[string]string{}
	r.onOrphan = func(pid int, status syscall.WaitStatus) {
		if unix.Gettid() != os.Getpid() {
			must(fmt.Errorf("not on the main thread"))
		}
		end := "code " + strconv.Itoa(status.ExitStatus())
		if status.Signaled() {
			end = status.Signal().String()
		}
		reported <- strconv.Itoa(pid) + " " + end
	}
	var got []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, end := range []string{"exit 0", "exit 7", "kill -KILL $$", "kill -TERM $$"} {
			// Output ends when both the shell and, having said its number, its child have closed it.
			out, err := exec.Command("/bin/sh", "-c", `sh -c "echo \$\$; exec >&-; $0" & exit 0`, end).Output()
			must(err)
			pids[strings.TrimSpace(string(out))] = end
			pid, what, _ := strings.Cut(<-reported, " ")
			got = append(got, pids[pid]+": "+what)
		}
	}()
	r.Run(done)
	must(json.NewEncoder(os.Stdout).Encode(got))
}

func TestRunReports(t *testing.T) {
	each(t, placesOfSelf(), func(t *testing.T, p place) {
		var got []string
		p.run(t, "report", nil, &got)
		want := []string{"exit 0: code 0", "exit 7: code 7", "kill -KILL $$: killed", "kill -TERM $$: terminated"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
