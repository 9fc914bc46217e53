//go:build amd64 || arm64

package child_test

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testproc/seccomp"
)

// TestRefusals runs TestConformance under real filters: what the kernel refuses changes nothing of what is promised.
func TestRefusals(t *testing.T) {
	if reason, ok := seccomp.Supported(); !ok {
		t.Skip(reason)
	}
	for i, f := range seccomp.Features() {
		for _, errno := range seccomp.Errnos() {
			t.Run(fmt.Sprintf("%d/%s", i, unix.ErrnoName(errno)), func(t *testing.T) {
				t.Parallel()
				cmd := f.Refuse(errno).Command("/proc/self/exe", "-test.run=^TestConformance$/^Exec$", "-test.v", "-test.timeout=1m")
				out, err := cmd.CombinedOutput()
				if err != nil || !bytes.Contains(out, []byte("--- PASS: TestConformance/Exec/")) {
					t.Errorf("without %s: %v\n%s", f.Name, err, out)
				}
			})
		}
	}
}
