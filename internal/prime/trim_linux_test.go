package prime

import (
	"bytes"
	"os"
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
