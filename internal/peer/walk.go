package peer

import "github.com/bot-bottle/sidecar-init/internal/proc"

// maxDepth is how many generations there are, at most, between a peer and us: the longest way is a peer's to choose, and
// each step costs two reads of some 10 µs.
const maxDepth = 128

// walk returns a process and its ancestors, up to the child of self, or up to one that has no parent here.
//
// Each is read twice: first from the process up, then all again. The parent of a process changes only by that one's end, and
// then to one that is alive already; so if it is the same in both readings, it was the same process all the time between
// them. All these times have the moment between the two rounds in common: then they all were what they were read to be.
func walk(read func(pid int) proc.Stat, self, pid int) (way []proc.Stat, ok bool) {
	for next := pid; ; {
		s := read(next)
		if s.PID == 0 || len(way) == maxDepth {
			return nil, false
		}
		way = append(way, s)
		if next = s.Parent; next == self || next == 0 {
			break
		}
	}
	for _, s := range way {
		if again := read(s.PID); again.Start != s.Start || again.Parent != s.Parent {
			return nil, false
		}
	}
	return way, !way[0].Dead()
}
