package reap

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// misusedRole calls Run on a goroutine that is not the main one.
func misusedRole() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { fmt.Println(recover()) }()
		(&Reaper{}).Run(done)
	}()
	<-done
}

func TestPanicsOffTheMainThread(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "misused")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "reap: not on the main thread") {
		t.Errorf("got %q, %v, want a panic", out, err)
	}
}
