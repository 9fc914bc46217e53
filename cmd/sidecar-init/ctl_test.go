package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
)

// TestFailedNamesTheWay: who has not said where the socket is learns how. (Not a script: something may answer at the places that are
// looked at by default.)
func TestFailedNamesTheWay(t *testing.T) {
	for _, tt := range []struct {
		name, control, env string
		want               bool
	}{
		{"nothing is said", "", "", true},
		{"a flag", "/x.sock", "", false},
		{"the variable", "", "/x.sock", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "stderr")
			stderr, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			c := &caller{program: &program{stderr: stderr}, control: tt.control}
			if tt.env != "" {
				c.environ = []string{envPrefix + "CONTROL=" + tt.env}
			}
			if got := c.failed(client.ErrNoSupervisor); got != exitError(69) {
				t.Errorf("got %v, want exit code 69", got)
			}
			said, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(said), "--control PATH, or $SIDECAR_INIT_CONTROL"); got != tt.want {
				t.Errorf("it said %q", said)
			}
		})
	}
}
