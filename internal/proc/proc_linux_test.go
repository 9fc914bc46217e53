package proc

import (
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Stat
	}{
		{
			"7 (sh) S 1 7 6 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 1 0 12345 9 8",
			Stat{State: 'S', Parent: 1, Group: 7, Session: 6, Start: 12345},
		},
		{
			"7 (a) Z (b)) Z 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
			Stat{State: 'Z', Parent: 1, Group: 2, Session: 3, Start: 17},
		},
		{"7 (sh) S 1", Stat{}},
		{"", Stat{}},
	} {
		if got := parse([]byte(tt.text)); got != tt.want {
			t.Errorf("%q: got %+v, want %+v", tt.text, got, tt.want)
		}
	}
}

func TestRead(t *testing.T) {
	self := Read(os.Getpid())
	if self.PID != os.Getpid() || self.Parent != os.Getppid() || self.Dead() {
		t.Errorf("self: got %+v", self)
	}
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got := Read(cmd.Process.Pid); got != (Stat{}) || !got.Dead() {
		t.Errorf("one that is gone: got %+v", got)
	}
}

// TestScanner: who looks sees what was so after he began to look, and those who look at the same time share the work.
func TestScanner(t *testing.T) {
	var s Scanner
	has := func(list []Stat, pid int) bool {
		return slices.ContainsFunc(list, func(s Stat) bool { return s.PID == pid })
	}
	if !has(s.Look(), os.Getpid()) {
		t.Error("we are not seen")
	}
	cmd := exec.Command("/bin/cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !has(s.Look(), cmd.Process.Pid) {
		t.Error("a new process is not seen")
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if has(s.Look(), cmd.Process.Pid) {
		t.Error("one that is gone is seen")
	}

	s.mu.Lock() // all begin to look before the first can
	var looks sync.WaitGroup
	var mu sync.Mutex
	seen := map[*Stat]bool{}
	var begun sync.WaitGroup
	for range 1000 {
		begun.Add(1)
		looks.Go(func() {
			begun.Done()
			list := s.Look()
			mu.Lock()
			defer mu.Unlock()
			seen[&list[0]] = true
		})
	}
	begun.Wait()
	s.mu.Unlock()
	looks.Wait()
	if len(seen) > 100 { // those that had not asked yet scan once more
		t.Errorf("1000 looks made %d scans", len(seen))
	}
	t.Logf("1000 looks at the same time made %d scans", len(seen))
}
