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
	Blind    bool // there is no /proc
}

// Kernels are this one, and what others lack.
func Kernels() []Kernel {
	old := kernel.Own()
	old.GroupSignal = false
	kernels := []Kernel{
		{"Exec", kernel.Own(), false},
		{"Exec without group signals", old, false},
		{"Exec without pidfds", kernel.Features{}, false},
	}
	var subreaper int32
	if unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0) != nil || subreaper == 0 {
		return kernels // somebody else reaps, or nobody; and without /proc a zombie cannot be told from a process
	}
	return append(kernels, Kernel{"Exec without /proc", kernel.Own(), true}, Kernel{"Exec without anything", kernel.Features{}, true})
}

// On returns e on another kernel.
func (k Kernel) On(e Exec) Exec {
	e.system = &system{kernel: k.Features, procs: proc.Scanner{Blind: k.Blind}}
	return e
}
