package child

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
	"github.com/bot-bottle/sidecar-init/internal/proc"
)

// A Kernel is what a test has Exec take for what the kernel can do.
type Kernel struct {
	Name     string
	Features kernel.Features
	List     func() []proc.Stat // of all processes; nil means from /proc
}

func noProc() []proc.Stat { return nil }

// Kernels are this one, and what others lack.
func Kernels() []Kernel {
	old := kernel.Own()
	old.GroupSignal = false
	kernels := []Kernel{
		{"Exec", kernel.Own(), nil},
		{"Exec without group signals", old, nil},
		{"Exec without pidfds", kernel.Features{}, nil},
	}
	var subreaper int32
	if unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0) != nil || subreaper == 0 {
		return kernels // somebody else reaps, or nobody; and without /proc a zombie cannot be told from a process
	}
	return append(kernels, Kernel{"Exec without /proc", kernel.Own(), noProc}, Kernel{"Exec without anything", kernel.Features{}, noProc})
}

// On returns e on another kernel.
func (k Kernel) On(e Exec) Exec {
	e.system = &system{kernel: k.Features, procs: proc.Scanner{List: k.List}}
	return e
}
