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
