package log

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// The test binary, executed again with LOG_TEST_CHILD, is one of these programs.
func TestMain(m *testing.M) {
	switch os.Getenv("LOG_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "generate": // writes $LOG_TEST_BYTES of 100-byte lines
		total, _ := strconv.Atoi(os.Getenv("LOG_TEST_BYTES"))
		chunk := bytes.Repeat(append(bytes.Repeat([]byte("x"), 99), '\n'), 640)
		for total > 0 {
			n, err := syscall.Write(1, chunk[:min(len(chunk), total)])
			if err != nil {
				os.Exit(1)
			}
			total -= n
		}
	case "discard": // reads to the end, as cat >/dev/null does
		b := make([]byte, 128<<10)
		for {
			if _, err := os.Stdin.Read(b); err == io.EOF {
				break
			}
		}
	}
	os.Exit(0)
}
