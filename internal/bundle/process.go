package bundle

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/compose"
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
	cpusAt          compose.Pos
}

// process reads the keys of a process.
func (r *reader) process(s *service, e compose.Entry) {
	switch n, p := e.Val, &s.process; e.Key {
	case "ulimits":
		p.ulimits = r.ulimits(s, n)
	case "cap_add":
		p.capAdd = r.capabilities(s, n, e.Key)
	case "cap_drop":
		p.capDrop = r.capabilities(s, n, e.Key)
	case "security_opt":
		r.strings(n, e.Key, true)
		for _, item := range n.Items {
			switch item.Text {
			case "no-new-privileges", "no-new-privileges:true", "no-new-privileges=true":
				p.noNewPrivileges = true
			case "no-new-privileges:false", "no-new-privileges=false":
				p.noNewPrivileges = false
			default:
				s.late.Add(item.At, "security_opt can only have no-new-privileges:true here, not %s", item.Show())
			}
		}
	case "umask":
		if n.Kind == compose.Null {
			break
		}
		if v := r.whole(n, e.Key, 0, 0o7777); !n.Bad {
			p.umask = &v
		}
	case "cpuset":
		p.cpus, p.cpusAt = r.cpus(s, n), n.At
	case "oom_score_adj":
		if v := r.whole(n, e.Key, -1000, 1000); v != 0 {
			p.oomScoreAdj = &v
		}
	}
}

// maxCPU is the largest number of a processor that sched_setaffinity takes here (CPU_SETSIZE).
const maxCPU = 1023

// cpus reads cpuset: numbers of processors and ranges of them, such as 0-2,5.
func (r *reader) cpus(s *service, n *compose.Node) (out []int) {
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
			s.late.Add(n.At, "cpuset must have numbers of processors and ranges, such as 0-2,5, not %s", n.Show())
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

func (r *reader) ulimits(s *service, n *compose.Node) (out []Ulimit) {
	if n.Kind != compose.Dict {
		r.want(n, "ulimits", "a mapping")
		return nil
	}
	for _, e := range n.Keys {
		u := Ulimit{Name: e.Key, Resource: slices.Index(limitNames[:], e.Key)}
		switch e.Val.Kind {
		case compose.Number:
			u.Soft = r.limit(e.Val, e.Key)
			u.Hard = u.Soft
		case compose.Dict:
			what := "ulimits." + e.Key
			r.mapping(e.Val, what, []string{"soft", "hard"}, func(e compose.Entry) bool {
				switch e.Key {
				case "soft":
					u.Soft = r.limit(e.Val, e.Key)
				case "hard":
					u.Hard = r.limit(e.Val, e.Key)
				default:
					return false
				}
				return true
			})
			if e.Val.Get("soft") == nil || e.Val.Get("hard") == nil {
				r.probs.Add(e.At, "%s needs both soft and hard", what)
				continue
			}
		default:
			r.want(e.Val, e.Key, "a number, or a mapping of soft and hard")
			continue
		}
		switch {
		case u.Resource < 0:
			s.late.Add(e.At, "unknown ulimit %q%s", e.Key, compose.DidYouMean(e.Key, limitNames[:]))
		case u.Hard >= 0 && (u.Soft > u.Hard || u.Soft < 0):
			s.late.Add(e.Val.At, "the soft limit of %s must not be above the hard one", e.Key)
		}
		out = append(out, u)
	}
	return out
}

// limit reads one limit.
func (r *reader) limit(n *compose.Node, what string) int64 {
	if v, ok := n.Val.(int); ok && v >= -1 {
		return int64(v)
	}
	r.want(n, what, "a whole number, or -1 for no limit")
	return 0
}

// capabilities reads cap_add or cap_drop. Docker's spellings are accepted: with and without CAP_, in any case.
func (r *reader) capabilities(s *service, n *compose.Node, what string) []string {
	out := r.strings(n, what, true)
	if len(out) == 0 {
		return nil
	}
	known := kernel.Capabilities()
	for i, name := range out {
		out[i] = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	}
	for _, item := range n.Items {
		name := strings.TrimPrefix(strings.ToUpper(item.Text), "CAP_")
		if name != "ALL" && !slices.Contains(known, name) {
			s.late.Add(item.At, "%s has an unknown capability: %s", what, compose.Suggest(&compose.Node{Text: name, Vars: item.Vars}, known))
		}
	}
	return out
}
