package setup

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func pointer[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

func TestCloseOnExecFallbacks(t *testing.T) {
	for name, f := range map[string]func() error{"listed": closeOnExecListed, "all": closeOnExecAll, "first": closeOnExec} {
		t.Run(name, func(t *testing.T) {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if err := f(); err != nil {
				t.Fatal(err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags != unix.FD_CLOEXEC {
				t.Errorf("descriptor %d has flags %d, %v", fd, flags, err)
			}
			if flags, err := unix.FcntlInt(2, unix.F_GETFD, 0); flags != 0 {
				t.Errorf("descriptor 2 has flags %d, %v", flags, err)
			}
		})
	}
}

func TestEnvironRange(t *testing.T) {
	fields := make([]string, 52) // numbers 1 to 52
	for i := range fields {
		fields[i] = fmt.Sprint(i + 1)
	}
	fields[2] = "S"
	line := func(name string, changed map[int]string) string {
		f := append([]string(nil), fields...)
		f[1] = "(" + name + ")"
		for i, v := range changed {
			f[i-1] = v
		}
		return strings.Join(f, " ") + "\n"
	}
	tests := []struct {
		stat       string
		start, end uintptr
		ok         bool
	}{
		{line("init", nil), 50, 51, true},
		{line("a b", nil), 50, 51, true},
		{line(") S 1 2 3", nil), 50, 51, true},
		{line("a\nb)", nil), 50, 51, true},
		{line("init", map[int]string{50: "51"}), 51, 51, true},
		{line("init", map[int]string{50: "0", 51: "0"}), 0, 0, false},
		{line("init", map[int]string{50: "52"}), 0, 0, false},
		{line("init", map[int]string{51: "-1"}), 0, 0, false},
		{line("init", map[int]string{51: "99999999999999999999999"}), 0, 0, false},
		{"1 (init) S 1 2 3", 0, 0, false},
		{"", 0, 0, false},
	}
	for _, tt := range tests {
		start, end, err := environRange([]byte(tt.stat))
		if start != tt.start || end != tt.end || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %d, %v, want %d, %d, ok %t", tt.stat, start, end, err, tt.start, tt.end, tt.ok)
		}
	}
}

func TestZero(t *testing.T) {
	const size = 5 * 4096
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	base := uintptr(unsafe.Pointer(&mem[0]))
	for _, r := range [][2]uintptr{{0, 0}, {1, 2}, {10, 4096}, {10, 4106}, {100, size - 100}, {0, size}} {
		copy(mem, bytes.Repeat([]byte{1}, size))
		if err := zero(base+r[0], base+r[1]); err != nil {
			t.Fatal(err)
		}
		for i, b := range mem {
			if inside := uintptr(i) >= r[0] && uintptr(i) < r[1]; inside != (b == 0) {
				t.Fatalf("%v: byte %d is %d", r, i, b)
			}
		}
	}
	if err := unix.Munmap(mem); err != nil {
		t.Fatal(err)
	}
	if err := zero(8, 16); err == nil {
		t.Error("memory that does not exist was overwritten")
	}
}

func TestExecPath(t *testing.T) {
	got, want := execPath(), os.Args[0]
	if a, err := os.Stat(got); err != nil {
		t.Errorf("got %q: %v", got, err)
	} else if b, err := os.Stat(self); err != nil || !os.SameFile(a, b) {
		t.Errorf("got %q, which is not this program (%s): %v", got, want, err)
	}
}
