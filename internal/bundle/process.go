package bundle

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/kernel"
)

// process is what is set on the process of a daemon before its program is executed.
type process struct {
	ulimits         []Ulimit
	capAdd, capDrop []string
	noNewPrivileges bool
	oomScoreAdj     *int
	umask           *int
	cpus            []int
	cpusAt          pos
}

// process reads the keys of a process.
func (r *reader) process(s *service, e entry) {
	switch n, p := e.val, &s.process; e.key {
	case "ulimits":
		p.ulimits = r.ulimits(s, n)
	case "cap_add":
		p.capAdd = r.capabilities(s, n, e.key)
	case "cap_drop":
		p.capDrop = r.capabilities(s, n, e.key)
	case "security_opt":
		r.strings(n, e.key, true)
		for _, item := range n.items {
			switch item.text {
			case "no-new-privileges", "no-new-privileges:true", "no-new-privileges=true":
				p.noNewPrivileges = true
			case "no-new-privileges:false", "no-new-privileges=false":
				p.noNewPrivileges = false
			default:
				s.late.add(item.at, "security_opt can only have no-new-privileges:true here, not %s", item.show())
			}
		}
	case "umask":
		if n.kind == null {
			break
		}
		if v := r.whole(n, e.key, 0, 0o7777); !n.bad {
			p.umask = &v
		}
	case "cpuset":
		p.cpus, p.cpusAt = r.cpus(s, n), n.at
	case "oom_score_adj":
		if v := r.whole(n, e.key, -1000, 1000); v != 0 {
			p.oomScoreAdj = &v
		}
	}
}

// maxCPU is the largest number of a processor that sched_setaffinity takes here (CPU_SETSIZE).
const maxCPU = 1023

// cpus reads cpuset: numbers of processors and ranges of them, such as 0-2,5.
func (r *reader) cpus(s *service, n *node) (out []int) {
	for part := range strings.SplitSeq(r.str(n, "cpuset"), ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if part == "" {
			continue
		}
		from, err := strconv.ParseUint(low, 10, 16)
		to := from
		if err == nil && isRange {
			to, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil || to < from || to > maxCPU {
			s.late.add(n.at, "cpuset must have numbers of processors and ranges, such as 0-2,5, not %s", n.show())
			return nil
		}
		for c := from; c <= to; c++ {
			out = append(out, int(c))
		}
	}
	return out
}

// limitNames are the resources, by the kernel's number.
var limitNames = [...]string{
	unix.RLIMIT_AS: "as", unix.RLIMIT_CORE: "core", unix.RLIMIT_CPU: "cpu", unix.RLIMIT_DATA: "data",
	unix.RLIMIT_FSIZE: "fsize", unix.RLIMIT_LOCKS: "locks", unix.RLIMIT_MEMLOCK: "memlock",
	unix.RLIMIT_MSGQUEUE: "msgqueue", unix.RLIMIT_NICE: "nice", unix.RLIMIT_NOFILE: "nofile",
	unix.RLIMIT_NPROC: "nproc", unix.RLIMIT_RSS: "rss", unix.RLIMIT_RTPRIO: "rtprio", unix.RLIMIT_RTTIME: "rttime",
	unix.RLIMIT_SIGPENDING: "sigpending", unix.RLIMIT_STACK: "stack",
}

func (r *reader) ulimits(s *service, n *node) (out []Ulimit) {
	if n.kind != dict {
		r.want(n, "ulimits", "a mapping")
		return nil
	}
	for _, e := range n.keys {
		u := Ulimit{Name: e.key, Resource: slices.Index(limitNames[:], e.key)}
		switch e.val.kind {
		case number:
			u.Soft = r.limit(e.val, e.key)
			u.Hard = u.Soft
		case dict:
			what := "ulimits." + e.key
			r.mapping(e.val, what, []string{"soft", "hard"}, func(e entry) bool {
				switch e.key {
				case "soft":
					u.Soft = r.limit(e.val, e.key)
				case "hard":
					u.Hard = r.limit(e.val, e.key)
				default:
					return false
				}
				return true
			})
			if e.val.get("soft") == nil || e.val.get("hard") == nil {
				r.probs.add(e.at, "%s needs both soft and hard", what)
				continue
			}
		default:
			r.want(e.val, e.key, "a number, or a mapping of soft and hard")
			continue
		}
		switch {
		case u.Resource < 0:
			s.late.add(e.at, "unknown ulimit %q%s", e.key, didYouMean(e.key, limitNames[:]))
		case u.Hard >= 0 && (u.Soft > u.Hard || u.Soft < 0):
			s.late.add(e.val.at, "the soft limit of %s must not be above the hard one", e.key)
		}
		out = append(out, u)
	}
	return out
}

// limit reads one limit.
func (r *reader) limit(n *node, what string) int64 {
	if v, ok := n.val.(int); ok && v >= -1 {
		return int64(v)
	}
	r.want(n, what, "a whole number, or -1 for no limit")
	return 0
}

// capabilities reads cap_add or cap_drop. Docker's spellings are accepted: with and without CAP_, in any case.
func (r *reader) capabilities(s *service, n *node, what string) []string {
	out := r.strings(n, what, true)
	if len(out) == 0 {
		return nil
	}
	known := kernel.Capabilities()
	for i, name := range out {
		out[i] = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	}
	for _, item := range n.items {
		name := strings.TrimPrefix(strings.ToUpper(item.text), "CAP_")
		if name != "ALL" && !slices.Contains(known, name) {
			s.late.add(item.at, "%s has an unknown capability: %s", what, unknown(&node{text: name, vars: item.vars}, known))
		}
	}
	return out
}
