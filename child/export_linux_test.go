package child

import (
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
	return []Kernel{
		{"Exec", kernel.Own(), false},
		{"Exec without group signals", old, false},
		{"Exec without pidfds", kernel.Features{}, false},
		{"Exec without /proc", kernel.Own(), true},
		{"Exec without anything", kernel.Features{}, true},
	}
}

// On returns e on another kernel.
func (k Kernel) On(e Exec) Exec {
	e.system = &system{kernel: k.Features, procs: proc.Scanner{Blind: k.Blind}}
	return e
}
