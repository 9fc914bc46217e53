package bounded

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	sized := func(name string, size int64) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name string
		want int
		err  error
	}{
		{name: sized("empty", 0)},
		{name: sized("largest", Max), want: Max},
		{name: sized("too large", Max+1), err: ErrTooLarge},
		{name: sized("sparse", 1<<40), err: ErrTooLarge},
		{name: "/dev/zero", err: ErrTooLarge},
		{name: os.DevNull},
		{name: filepath.Join(dir, "none"), err: fs.ErrNotExist},
		{name: dir, err: syscall.EISDIR},
	} {
		b, err := ReadFile(tt.name)
		if len(b) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %d bytes, %v, want %d, %v", filepath.Base(tt.name), len(b), err, tt.want, tt.err)
		}
	}
}

// TestPipe: who writes without an end is not read without one.
func TestPipe(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	}()
	if b, err := ReadAll(r); b != nil || !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %d bytes, %v, want %v", len(b), err, ErrTooLarge)
	}
	r.Close()
}
