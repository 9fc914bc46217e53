package cgroup

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Limits are those of one daemon. The zero Limits limit nothing.
type Limits struct {
	// Memory is the most memory that it gets, in bytes; Reservation is what it keeps when others want some. 0 is not said.
	Memory      int64 `json:"memory,omitempty"`
	Reservation int64 `json:"memory_reservation,omitempty"`
	// Swap is the most swap that it gets, in bytes; nil is not said.
	Swap *int64 `json:"swap,omitempty"`
	// Quota is the most time of processors that it gets in each Period, both in µs; 0 is not said.
	Quota  int64 `json:"cpu_quota,omitempty"`
	Period int64 `json:"cpu_period,omitempty"`
	// Weight is its share of the processors, from 1 to 10000, where others have 100; 0 is not said.
	Weight int64 `json:"cpu_weight,omitempty"`
	// Pids is how many processes and threads it has at most; 0 is not said.
	Pids int64 `json:"pids,omitempty"`
}

// None reports whether nothing is said.
func (l Limits) None() bool { return l == Limits{} }

// DefaultPeriod is that of a quota without a period, in µs: the kernel's.
const DefaultPeriod = 100_000

// A setting is a file of a group and what is to be written to it.
type setting struct {
	controller, file, value string
	said                    bool // else it is the kernel's default
}

func (l Limits) settings() []setting {
	most := func(v int64) string {
		if v == 0 {
			return "max"
		}
		return strconv.FormatInt(v, 10)
	}
	swap := "max"
	if l.Swap != nil {
		swap = strconv.FormatInt(*l.Swap, 10)
	}
	weight := int64(100)
	if l.Weight != 0 {
		weight = l.Weight
	}
	period := int64(DefaultPeriod)
	if l.Period != 0 {
		period = l.Period
	}
	return []setting{
		{"memory", "memory.oom.group", "1", l.Memory != 0},
		{"memory", "memory.max", most(l.Memory), l.Memory != 0},
		{"memory", "memory.low", strconv.FormatInt(l.Reservation, 10), l.Reservation != 0},
		{"memory", "memory.swap.max", swap, l.Swap != nil},
		{"cpu", "cpu.max", fmt.Sprintf("%s %d", most(l.Quota), period), l.Quota != 0},
		{"cpu", "cpu.weight", strconv.FormatInt(weight, 10), l.Weight != 0},
		{"pids", "pids.max", most(l.Pids), l.Pids != 0},
	}
}

// Controllers are those that the limits need.
func (l Limits) Controllers() (names []string) {
	for _, s := range l.settings() {
		if s.said && !slices.Contains(names, s.controller) {
			names = append(names, s.controller)
		}
	}
	return names
}

// Usage is what a group uses.
type Usage struct {
	CPU time.Duration
	// Memory is what it has in memory, in bytes, without the files that could be given back at once (inactive_file), as docker stats counts.
	Memory int64
	// Limit is the memory that it may have, in bytes; 0 is no limit of its own.
	Limit int64
	// Throttled is for how long it was to wait for its quota.
	Throttled time.Duration
	// CPUPressure and MemoryPressure are for how long some of it waited for a processor and for memory (PSI, Linux 4.20).
	CPUPressure, MemoryPressure time.Duration
	Pids                        int64
}
