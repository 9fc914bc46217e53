package prime

import (
	"bytes"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"

	"golang.org/x/sys/unix"
)

// Trim gives back memory that only the start, or clients, have needed.
//
// First garbage, if it is much: it would stay until the heap has twice its size, and at least 4 MB, or for two minutes. A
// little is left alone, since a collection leaves some 300 kB of its own behind the first times.
//
// Then code and constants of this program. The kernel maps 64 KiB around each page that is touched, so after the start most of
// the binary is resident; what is needed again comes back from the page cache, by a minor fault. Called once, when the start
// is over, it halves the resident size. Only what is mapped from the file and not writable is given back, so nothing can be
// lost by it.
func Trim() error {
	if wasteful() {
		debug.FreeOSMemory()
	}
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

// wasteful reports whether the heap takes nearly as much memory as it may before it is collected. (runtime.ReadMemStats
// would tell it too; it stops the world, and costs 400 kB.)
func wasteful() bool {
	const class = "/memory/classes/heap/"
	all := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: class + "objects:bytes"}, {Name: class + "unused:bytes"}, {Name: class + "free:bytes"}}
	metrics.Read(all)
	var resident, goal uint64
	for i, s := range all {
		switch {
		case s.Value.Kind() != metrics.KindUint64: // a runtime that does not have it
			return false
		case i == 0:
			goal = s.Value.Uint64()
		default:
			resident += s.Value.Uint64()
		}
	}
	return resident > goal/4*3
}
