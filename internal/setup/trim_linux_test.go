package setup

import (
	"bytes"
	"os"
	"strconv"
	"testing"
)

// rssFile is the resident size of files in kB, those of a tmpfs too, which is where this program is in an initramfs.
func rssFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	sum, found := 0, false
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if name := string(name); name == "RssFile" || name == "RssShmem" {
			n, err := strconv.Atoi(string(bytes.Fields(value)[0]))
			if err != nil {
				t.Fatal(err)
			}
			sum, found = sum+n, true
		}
	}
	if !found {
		t.Skip("the kernel does not tell RssFile")
	}
	return sum
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
