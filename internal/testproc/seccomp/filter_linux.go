//go:build amd64 || arm64

package seccomp

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Filter says what becomes of system calls. The first rule that is about a call decides; its zero value allows everything.
type Filter struct {
	Default syscall.Errno // of a call that no rule is about; 0 allows it
	Rules   []Rule
}

// A Rule is about a system call, or about those with a certain argument.
type Rule struct {
	Call  string        // its name
	When  *Arg          // nil: whatever the arguments are
	Errno syscall.Errno // what it fails with; 0 allows it
}

// An Arg holds for calls whose argument number Index (0 is the first), masked, has this value. The upper half of the argument
// does not count.
type Arg struct {
	Index       int
	Mask, Value uint32
}

// Refuse is a filter that refuses calls, and allows all others.
func Refuse(errno syscall.Errno, calls ...string) Filter {
	var f Filter
	for _, c := range calls {
		f.Rules = append(f.Rules, Rule{Call: c, Errno: errno})
	}
	return f
}

// marker is argv[0] of a process that is to install a filter.
const marker = "sidecar-init-seccomp"

// Prefix begins the argument list, argv[0] included, of a process that installs the filter and then becomes a program. The path
// of that and its own argument list follow.
func (f Filter) Prefix() []string {
	text, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return []string{marker, string(text)}
}

// Command returns the command that runs name under the filter, by way of this program.
func (f Filter) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) // looks name up
	cmd.Args = slices.Concat(f.Prefix(), []string{cmd.Path}, cmd.Args)
	cmd.Path = "/proc/self/exe"
	return cmd
}

// Main installs the filter and becomes the program if this process is to, and does not return then. Otherwise it does nothing.
func Main() {
	if os.Args[0] != marker {
		return
	}
	fmt.Fprintln(os.Stderr, "seccomp:", become(os.Args[1], os.Args[2], os.Args[3:]))
	os.Exit(127)
}

func become(filter, path string, argv []string) error {
	var f Filter
	if err := json.Unmarshal([]byte(filter), &f); err != nil {
		return err
	}
	program, err := f.assemble()
	if err != nil {
		return err
	}
	// The filter is that of this thread, and execve takes it over from the thread that calls it.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil { // a filter needs that, or CAP_SYS_ADMIN
		return os.NewSyscallError("prctl", err)
	}
	code := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&code))); errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	return fmt.Errorf("cannot execute %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

// Supported returns why no filter can be installed here, if so.
func Supported() (reason string, ok bool) {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return "the kernel has no seccomp filters: " + errno.Error(), false
	}
	return "", true
}

// Offsets in struct seccomp_data; the machines that this file is for are little endian.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// assemble turns the filter into a program for the kernel's BPF machine (linux/filter.h).
func (f Filter) assemble() ([]unix.SockFilter, error) {
	var p []unix.SockFilter
	load := func(offset int) {
		p = append(p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(offset)})
	}
	unless := func(value uint32, skip int) {
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: uint8(skip)})
	}
	answer := func(errno syscall.Errno) {
		k := uint32(unix.SECCOMP_RET_ALLOW)
		if errno != 0 {
			k = unix.SECCOMP_RET_ERRNO | uint32(errno)
		}
		p = append(p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k})
	}
	// A call by the numbers of another architecture (int $0x80) is no call that a rule is about.
	load(offArch)
	p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1})
	answer(f.Default)
	load(offNumber)
	for _, r := range f.Rules {
		n, ok := number(r.Call)
		if !ok {
			return nil, fmt.Errorf("there is no system call %q, or its number is not in the list", r.Call)
		}
		if r.When == nil {
			unless(n, 1)
			answer(r.Errno)
			continue
		}
		unless(n, 5)
		load(offArgs + 8*r.When.Index)
		p = append(p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.When.Mask})
		unless(r.When.Value, 1)
		answer(r.Errno)
		load(offNumber)
	}
	answer(f.Default)
	if len(p) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("the filter has %d instructions, more than %d", len(p), unix.BPF_MAXINSNS)
	}
	return p, nil
}
