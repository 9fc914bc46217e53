package setup

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Trim gives back the memory that holds code and constants of this program which only its start, or clients, have needed. The
// kernel maps 64 KiB around each page that is touched, so after the start most of the binary is resident; what is needed again
// comes back from the page cache, by a minor fault. Called once, when the start is over, it halves the resident size.
//
// Only what is mapped from the file and not writable is given back, so nothing can be lost by it.
func Trim() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(maps) {
		// 00400000-0079e000 r-xp 00000000 fe:00 10010834    /sidecar-init
		fields := bytes.Fields(line)
		if len(fields) != 6 || string(fields[5]) != exe || bytes.IndexByte(fields[1], 'w') >= 0 {
			continue
		}
		low, high, _ := bytes.Cut(fields[0], []byte("-"))
		start, startErr := strconv.ParseUint(string(low), 16, 64)
		end, endErr := strconv.ParseUint(string(high), 16, 64)
		if startErr != nil || endErr != nil {
			continue
		}
		// x/sys has madvise for slices only, and a slice over this would be one of memory that Go does not own.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED); errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}
