package prime

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
)

// rssFile is the resident size of files in kB.
func rssFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("RssFile:")); ok {
			n, err := strconv.Atoi(string(bytes.Fields(value)[0]))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Skip("the kernel does not tell RssFile")
	return 0
}

func TestTrim(t *testing.T) {
	before := rssFile(t)
	if err := Trim(); err != nil {
		t.Fatal(err)
	}
	if after := rssFile(t); after >= before {
		t.Errorf("resident: %d kB of files before, %d kB after", before, after)
	}
}

// TestTrimGarbage: much garbage is given back, and a little is not looked at.
func TestTrimGarbage(t *testing.T) {
	collected := func() bool {
		t.Helper()
		var before, after debug.GCStats
		debug.ReadGCStats(&before)
		if err := Trim(); err != nil {
			t.Fatal(err)
		}
		debug.ReadGCStats(&after)
		return after.NumGC > before.NumGC
	}
	debug.FreeOSMemory()
	if collected() {
		t.Error("nothing is collected")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for range 38 { // of the 4 MB at which the collector would do it by itself
		garbage = make([]byte, 100<<10)
	}
	garbage = nil
	if !collected() {
		t.Error("garbage is left")
	}
}

var garbage []byte
