package bundle

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// What the file says about a bundle that changes while it runs.

// A Watch is an item of x-sidecar-init.watch: something happens to the daemon when the content of a path has changed.
type Watch struct {
	// Path is that of a file or a directory, absolute.
	Path string
	// Action is what happens.
	Action WatchAction
	// Signal is sent to the daemon by WatchSignal.
	Signal syscall.Signal
	// Exec is executed by WatchExec, as a probe is.
	Exec []string
	// Debounce is how long the content must have been at rest; Poll, unless 0, how often it is looked at.
	Debounce, Poll time.Duration
	// Include, unless empty, are patterns of which a file in a directory must match one; Ignore are those that none may match.
	Include, Ignore []string
}

// A WatchAction is what happens when the content of a path has changed.
type WatchAction string

// The actions.
const (
	WatchRestart WatchAction = "restart"
	WatchSignal  WatchAction = "signal"
	WatchExec    WatchAction = "exec"
	WatchReload  WatchAction = "reload" // the bundle, not the daemon
)

// DefaultDebounce is the Debounce of a Watch that gives none.
const DefaultDebounce = 300 * time.Millisecond

var watchKeys = []string{"path", "action", "signal", "exec", "debounce", "poll", "include", "ignore"}

// watches reads watch.
func (r *reader) watches(n *node) (out []Watch) {
	if n.kind != list {
		r.want(n, "watch", "a list, such as [{path: /etc/app.conf, action: restart}]")
		return nil
	}
	for _, item := range n.items {
		w := Watch{Action: WatchRestart, Debounce: DefaultDebounce}
		ok := r.strict(item, "watch", watchKeys, func(e entry) bool {
			switch n := e.val; e.key {
			case "path":
				if w.Path = r.path(r.str(n, e.key)); w.Path == "" && n.kind == text {
					r.probs.bad(n, "path must not be empty")
				}
			case "action":
				w.Action = WatchAction(r.oneOf(n, e.key, string(WatchRestart), string(WatchSignal), string(WatchExec), string(WatchReload)))
			case "signal":
				sig, err := ParseSignal(r.str(n, e.key))
				if err != nil && n.kind == text {
					r.probs.bad(n, "signal must be a signal, such as SIGHUP, not %s", n.show())
				}
				w.Signal = sig
			case "exec":
				if w.Exec = r.command(n, e.key); len(w.Exec) == 0 || w.Exec[0] == "" {
					r.probs.bad(n, "exec must have a command, such as [/app/reload]")
				}
			case "debounce":
				w.Debounce = r.duration(n, e.key)
			case "poll":
				w.Poll = r.duration(n, e.key)
			case "include":
				w.Include = r.globs(n, e.key)
			case "ignore":
				w.Ignore = r.globs(n, e.key)
			default:
				return false
			}
			return true
		})
		if !ok {
			continue
		}
		if item.get("path") == nil {
			r.probs.add(item.at, "an item of watch needs a path")
		}
		for _, key := range []WatchAction{WatchSignal, WatchExec} {
			switch e := item.get(string(key)); {
			case e == nil && w.Action == key:
				r.probs.add(item.at, "the action %s needs the key %s", key, key)
			case e != nil && w.Action != key:
				r.probs.add(e.at, "%s goes with action: %s", key, key)
			}
		}
		out = append(out, w)
	}
	return out
}

// globs reads patterns of path.Match.
func (r *reader) globs(n *node, what string) []string {
	if n.kind == text {
		n = &node{kind: list, at: n.at, items: []*node{n}}
	}
	out := r.strings(n, what, true)
	for i, glob := range out {
		if _, err := filepath.Match(glob, ""); err != nil {
			r.probs.bad(n.items[i], "%s must have patterns such as *.conf, not %s", what, n.items[i].show())
		}
	}
	return out
}

// A Transient says what daemons may be added to the bundle while it runs, by hand.
type Transient struct {
	// Max is how many there can be at the same time.
	Max int
	// TTL, unless 0, is the longest time that one may live.
	TTL time.Duration
	// User is the one that they run as; empty means the supervisor's own.
	User string
}

// transient reads transient.
func (r *reader) transient(n *node) *Transient {
	t := &Transient{}
	ok := r.strict(n, "transient", []string{"max", "ttl", "user"}, func(e entry) bool {
		switch e.key {
		case "max":
			t.Max = r.whole(e.val, e.key, 1, maxReplicas)
		case "ttl":
			if t.TTL = r.duration(e.val, e.key); t.TTL == 0 {
				r.probs.bad(e.val, "ttl must be more than 0")
			}
		case "user":
			t.User = r.str(e.val, e.key)
		default:
			return false
		}
		return true
	})
	if ok && n.get("max") == nil {
		r.probs.add(n.at, "transient needs max: how many such daemons there can be")
	}
	return t
}

// An UpdateConfig is deploy.update_config: how the replicas of a scaled service are restarted when they must be.
type UpdateConfig struct {
	// Parallelism is how many are restarted at the same time; 0 is all.
	Parallelism int
	// Delay is the time between one group and the next.
	Delay time.Duration
	// Monitor is how long after its start a replica that fails counts as a failure of the update.
	Monitor time.Duration
	// FailureAction says what happens then: pause, continue or rollback.
	FailureAction string
	// MaxFailureRatio is the share of the replicas that may fail.
	MaxFailureRatio float64
}

// What happens when an update fails.
const (
	FailurePause    = "pause"
	FailureContinue = "continue"
	FailureRollback = "rollback"
)

// The defaults of an UpdateConfig, those of Swarm.
const (
	defaultParallelism = 1
	defaultMonitor     = 5 * time.Second
)

var updateKeys = []string{"parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"}

// updateConfig reads deploy.update_config.
func (r *reader) updateConfig(s *service, n *node) {
	u := UpdateConfig{Parallelism: defaultParallelism, Monitor: defaultMonitor, FailureAction: FailurePause}
	ok := r.mapping(n, "update_config", updateKeys, func(e entry) bool {
		switch n := e.val; e.key {
		case "parallelism":
			u.Parallelism = r.whole(n, e.key, 0, 1<<31)
		case "delay":
			u.Delay = r.duration(n, e.key)
		case "monitor":
			u.Monitor = orDefault(r.duration(n, e.key), defaultMonitor)
		case "failure_action":
			switch action := r.str(n, e.key); action {
			case FailurePause, FailureContinue, FailureRollback:
				u.FailureAction = action
			case "":
			default:
				s.late.add(n.at, "failure_action must be pause, continue or rollback, not %s", n.show())
			}
		case "max_failure_ratio":
			u.MaxFailureRatio = r.ratio(s, n, e.key)
		case "order":
			switch order := r.str(n, e.key); order {
			case "", "stop-first":
			case "start-first":
				s.late.add(n.at, "order start-first is not supported: for a moment there would be two of a replica, and they share the ports of one container; use stop-first")
			default:
				s.late.add(n.at, "order must be stop-first, not %s", n.show())
			}
		default:
			return false
		}
		return true
	})
	if ok {
		s.update = &u
	}
}

// ratio reads a number from 0 to 1.
func (r *reader) ratio(s *service, n *node, what string) float64 {
	var f float64
	var err error
	switch v := n.val.(type) {
	case int:
		f = float64(v)
	case float64:
		f = v
	default:
		if f, err = strconv.ParseFloat(n.text, 64); n.kind != text || err != nil {
			r.want(n, what, "a number")
			return 0
		}
	}
	if f < 0 || f > 1 {
		s.late.add(n.at, "%s must be between 0 and 1", what)
	}
	return f
}

// endings reads success_exit_codes: numbers are exit codes, names are signals that ended the process.
func (r *reader) endings(n *node) (codes []int, signals []syscall.Signal) {
	if n.kind != list {
		r.want(n, "success_exit_codes", "a list, such as [143, SIGTERM]")
		return nil, nil
	}
	for _, item := range n.items {
		if code, ok := exitCode(item); ok {
			codes = append(codes, code)
			continue
		}
		sig, err := ParseSignal(item.text)
		if item.kind != text || err != nil {
			r.probs.bad(item, "success_exit_codes must have exit codes from 0 to 255 and names of signals, not %s", item.show())
			continue
		}
		signals = append(signals, sig)
	}
	return codes, signals
}

// codes reads a list of exit codes.
func (r *reader) codes(n *node, what string) (out []int) {
	if n.kind != list {
		r.want(n, what, "a list of exit codes, such as [78]")
		return nil
	}
	for _, item := range n.items {
		code, ok := exitCode(item)
		if !ok {
			r.probs.bad(item, "%s must have exit codes from 0 to 255, not %s", what, item.show())
			continue
		}
		out = append(out, code)
	}
	return out
}

// exitCode is a number from 0 to 255; a string that is one serves too, as interpolation gives.
func exitCode(n *node) (int, bool) {
	code, ok := n.val.(int)
	if n.kind == text && strings.Trim(n.text, "0123456789") == "" {
		var err error
		code, err = strconv.Atoi(n.text)
		ok = err == nil
	}
	return code, ok && code >= 0 && code <= 255
}

// success is what a service counts for success.
func (o *own) success() child.Success {
	return child.Success{Codes: o.successCodes, Signals: o.successSignals}
}
