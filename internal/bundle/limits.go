package bundle

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// LimitsRequired is Bundle.Limits where nothing is to be started unless all limits hold.
const LimitsRequired = "required"

// Ways to have control groups that can be written, for messages.
const writableCgroups = "docker run --security-opt writable-cgroups=true, podman run --security-opt unmask=/sys/fs/cgroup, or the cgroupOptions of Kubernetes"

// A limit is what one of the spellings of a limit says.
type limit struct {
	key   string // as in the file, such as deploy.resources.limits.memory
	at    compose.Pos
	value float64 // 0 is no limit
}

// limits are those of a service, by what they limit.
type limits map[string]limit

// What a limit can be on.
const (
	onMemory      = "memory"
	onReservation = "reserved memory"
	onSwap        = "swap"
	onCPUs        = "processors"
	onQuota       = "quota"
	onPeriod      = "period"
	onShares      = "shares"
	onPids        = "processes"
	onReserved    = "reserved processors"
)

// limitKeys are the keys of a service that limit it.
var limitKeys = map[string]string{
	"mem_limit": onMemory, "mem_reservation": onReservation, "memswap_limit": onSwap, "cpus": onCPUs,
	"cpu_quota": onQuota, "cpu_period": onPeriod, "cpu_shares": onShares, "pids_limit": onPids,
}

// Bounds of limits: those of Docker and of the kernel.
const (
	minMemory            = 1 << 20
	minQuota, minPeriod  = 1000, 1000 // µs
	maxPeriod            = 1_000_000
	minShares, maxShares = 2, 262144
	maxPids              = 1 << 22 // the kernel's PID_MAX_LIMIT
	maxCPUs              = 1 << 16
)

// confine reads one spelling of a limit.
func (r *reader) confine(s *service, on, key string, e compose.Entry) {
	n := e.Val
	v := 0.0
	switch on {
	case onMemory, onReservation:
		if v = float64(r.size(n, key, 0, math.MaxInt64, "0 or more")); v > 0 && v < minMemory {
			s.late.Add(n.At, "%s must be at least 1mb, not %s", key, n.Show())
		}
	case onSwap:
		if n.Kind == compose.Number && n.Text == "-1" || n.Kind == compose.Text && n.Text == "-1" {
			v = -1
		} else {
			v = float64(r.size(n, key, 0, math.MaxInt64, "-1, or 0 or more"))
		}
	case onCPUs, onReserved:
		v = r.fraction(s, n, key, 0.01, maxCPUs)
	case onQuota:
		v = r.fraction(s, n, key, minQuota, math.MaxInt32)
	case onPeriod:
		v = r.fraction(s, n, key, minPeriod, maxPeriod)
	case onShares:
		v = r.fraction(s, n, key, minShares, maxShares)
	case onPids:
		v = r.fraction(s, n, key, 1, maxPids)
	}
	if n.Bad {
		return
	}
	had, said := s.limits[on]
	switch {
	case said && had.value != v:
		s.late.Add(n.At, "%s is %s, and %s (%s) says otherwise: leave one of them away", key, n.Show(), had.key, had.at)
	case !said:
		if s.limits == nil {
			s.limits = limits{}
		}
		s.limits[on] = limit{key, n.At, v}
	}
}

// fraction reads a number that is 0, or -1, for no limit, or is between low and high.
func (r *reader) fraction(s *service, n *compose.Node, key string, low, high float64) float64 {
	v, err := 0.0, strconv.ErrSyntax
	switch n.Kind {
	case compose.Text, compose.Number:
		v, err = strconv.ParseFloat(n.Text, 64)
	}
	switch {
	case err != nil:
		r.want(n, key, "a number")
	case v == 0 || v == -1:
		return 0
	case v < low || v > high:
		s.late.Add(n.At, "%s must be between %s and %s, not %s", key, decimal(low), decimal(high), n.Show())
	}
	return v
}

// decimal writes a number without an exponent.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// resources reads deploy.resources.
func (r *reader) resources(s *service, n *compose.Node) {
	r.mapping(n, "deploy.resources", []string{"limits", "reservations"}, func(e compose.Entry) bool {
		on := map[string]string{"cpus": onCPUs, "memory": onMemory, "pids": onPids}
		switch e.Key {
		case "limits":
		case "reservations":
			on = map[string]string{"cpus": onReserved, "memory": onReservation}
		default:
			return false
		}
		path := "deploy.resources." + e.Key
		r.mapping(e.Val, path, []string{"cpus", "memory", "pids", "generic_resources", "devices"}, func(e compose.Entry) bool {
			switch {
			case on[e.Key] != "":
				r.confine(s, on[e.Key], path+"."+e.Key, e)
			case e.Key == "pids" || e.Key == "generic_resources" || e.Key == "devices":
				if e.Val.Kind != compose.Null && (e.Val.Kind != compose.List || len(e.Val.Items) > 0) {
					s.late.Add(e.At, "%s.%s is not supported: it cannot be had for one daemon of a container", path, e.Key)
				}
			default:
				return false
			}
			return true
		})
		return true
	})
}

// takeLimits makes one of what a service says of its limits.
func (s *service) takeLimits() (out cgroup.Limits) {
	get := func(on string) int64 { return int64(s.limits[on].value) }
	out = cgroup.Limits{Memory: get(onMemory), Reservation: get(onReservation), Quota: get(onQuota), Pids: get(onPids)}
	if period := get(onPeriod); out.Quota != 0 {
		out.Period = period
	} else if cpus := s.limits[onCPUs]; cpus.value != 0 {
		out.Period = orDefault(period, cgroup.DefaultPeriod)
		out.Quota = max(int64(math.Round(cpus.value*float64(out.Period))), minQuota)
	}
	if quota, cpus := s.limits[onQuota], s.limits[onCPUs]; quota.value != 0 && cpus.value != 0 {
		if is := quota.value / float64(orDefault(out.Period, cgroup.DefaultPeriod)); math.Abs(is-cpus.value) > 0.001 {
			s.late.Add(quota.at, "cpu_quota gives %s processors, and %s (%s) says %s: leave one of them away", decimal(is), cpus.key, cpus.at, decimal(cpus.value))
		}
	}
	swap, said := s.limits[onSwap]
	switch {
	case said && swap.value > 0 && out.Memory == 0:
		s.late.Add(swap.at, "memswap_limit is of memory and swap together, so it needs mem_limit")
	case said && swap.value > 0 && int64(swap.value) < out.Memory:
		s.late.Add(swap.at, "memswap_limit is of memory and swap together, so it must be at least mem_limit")
	case said && swap.value > 0:
		v := int64(swap.value) - out.Memory
		out.Swap = &v
	case out.Memory != 0 && swap.value != -1: // as with Docker: as much again
		v := out.Memory
		out.Swap = &v
	}
	if low := s.limits[onReservation]; out.Memory != 0 && out.Reservation > out.Memory {
		s.late.Add(low.at, "%s must not be more than the limit of memory", low.key)
	}
	shares := s.limits[onShares].value
	if reserved := s.limits[onReserved].value; shares == 0 && reserved != 0 { // as Kubernetes has it
		shares = min(max(reserved*1024, minShares), maxShares)
	}
	if shares != 0 { // as runc and crun have it
		out.Weight = 1 + (int64(shares)-2)*9999/262142
	}
	return out
}

// place is that of the first of the limits.
func (l limits) place() (at compose.Pos) {
	for _, one := range l {
		if at.Line == 0 || one.at.Line < at.Line {
			at = one.at
		}
	}
	return at
}

// keys are the spellings of the limits, in order.
func (l limits) keys() (keys []string) {
	for _, one := range l {
		if one.value != 0 {
			keys = append(keys, one.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Limited are the daemons that have limits.
func (b *Bundle) Limited() (names []string) {
	for i := range b.Daemons {
		if !b.Daemons[i].Limits.None() {
			names = append(names, b.Daemons[i].Spec.Name)
		}
	}
	return names
}

// Confine says what of the limits holds: lacks is why that of a daemon does not; "" if it does. memory is the most that the container
// gets, in bytes; 0 if that is not limited. It adds a warning for each service, and returns the lines that run has to say. The error, an *Errors, is that limits are
// required and do not hold.
func (b *Bundle) Confine(lacks func(*Daemon) string, memory int64) (lines []string, err error) {
	var probs compose.Problems
	unheld := map[string][]string{}
	var whys []string
	told := map[string]bool{}
	for i := range b.Daemons {
		d := &b.Daemons[i]
		if d.Limits.None() {
			continue
		}
		at := d.LimitsAt.Pos()
		if why := lacks(d); why != "" {
			text := fmt.Sprintf("the limits of %s (%s) do not hold here: %s. They take a writable cgroup v2: %s", d.Spec.Service, d.LimitsAt.Message, why, writableCgroups)
			switch {
			case told[d.Spec.Service]:
			case b.Limits == LimitsRequired:
				probs.Add(at, "limits are required, and %s", strings.TrimPrefix(text, "the "))
			default:
				b.Warnings = append(b.Warnings, Warning{File: at.File, Line: at.Line, Col: at.Col, Text: text})
			}
			told[d.Spec.Service] = true
			if unheld[why] == nil {
				whys = append(whys, why)
			}
			unheld[why] = append(unheld[why], d.Spec.Name)
		} else if memory != 0 && d.Limits.Memory > memory && !told[d.Spec.Service] {
			told[d.Spec.Service] = true
			b.Warnings = append(b.Warnings, Warning{File: at.File, Line: at.Line, Col: at.Col, Run: true, Text: fmt.Sprintf(
				"%s may have %s of memory, and all of the container %s, which counts: give the container more, or the daemon less", d.Spec.Service, bytesText(d.Limits.Memory), bytesText(memory))})
		}
	}
	for _, why := range whys {
		lines = append(lines, fmt.Sprintf("warning: the limits of %s do not hold: %s. They take a writable cgroup v2: %s", strings.Join(unheld[why], ", "), why, writableCgroups))
	}
	return lines, probs.Err(b.Files)
}

// bytesText is a number of bytes as it is written in a file.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "g"}, {1 << 20, "m"}, {1 << 10, "k"}} {
		if n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// MayMove reports whether the daemon runs as a user who may write to the control groups, which belong to owner: as that one, as root, or
// as one whose name nobody knows yet.
func (d *Daemon) MayMove(owner int) bool {
	id := userID(d.Spec.User)
	n, err := strconv.Atoi(id)
	return err != nil || n == 0 || n == owner
}
