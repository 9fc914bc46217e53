package needs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

func TestProcessors(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "sys/devices/system/cpu")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at := bundle.Problem{File: "b.yaml", Line: 2, Col: 3}
	daemons := []bundle.Daemon{{CPUs: []int{0, 3, 5}}, {}, {CPUs: []int{1, 4, 999}, CPUsAt: at}, {CPUs: []int{1, 4, 999}, CPUsAt: at}}
	if got := processors(root, daemons); len(got) > 0 {
		t.Errorf("where it cannot be seen: got %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "online"), []byte("0-3,5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const want = "b.yaml:2:3: cpuset: there is no processor 4 here, where there are 0-3,5"
	if got := processors(root, daemons); len(got) != 1 || got[0].String() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
