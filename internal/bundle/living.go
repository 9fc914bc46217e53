package bundle

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
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
func (r *reader) watches(n *compose.Node) (out []Watch) {
	if n.Kind != compose.List {
		r.want(n, "watch", "a list, such as [{path: /etc/app.conf, action: restart}]")
		return nil
	}
	for _, item := range n.Items {
		w := Watch{Action: WatchRestart, Debounce: DefaultDebounce}
		ok := r.strict(item, "watch", watchKeys, func(e compose.Entry) bool {
			switch n := e.Val; e.Key {
			case "path":
				if w.Path = r.path(r.str(n, e.Key)); w.Path == "" && n.Kind == compose.Text {
					r.probs.Bad(n, "path must not be empty")
				}
			case "action":
				w.Action = WatchAction(r.oneOf(n, e.Key, string(WatchRestart), string(WatchSignal), string(WatchExec), string(WatchReload)))
			case "signal":
				sig, err := ParseSignal(r.str(n, e.Key))
				if err != nil && n.Kind == compose.Text {
					r.probs.Bad(n, "signal must be a signal, such as SIGHUP, not %s", n.Show())
				}
				w.Signal = sig
			case "exec":
				if w.Exec = r.command(n, e.Key); len(w.Exec) == 0 || w.Exec[0] == "" {
					r.probs.Bad(n, "exec must have a command, such as [/app/reload]")
				}
			case "debounce":
				w.Debounce = r.duration(n, e.Key)
			case "poll":
				w.Poll = r.duration(n, e.Key)
			case "include":
				w.Include = r.globs(n, e.Key)
			case "ignore":
				w.Ignore = r.globs(n, e.Key)
			default:
				return false
			}
			return true
		})
		if !ok {
			continue
		}
		if item.Get("path") == nil {
			r.probs.Add(item.At, "an item of watch needs a path")
		}
		for _, key := range []WatchAction{WatchSignal, WatchExec} {
			switch e := item.Get(string(key)); {
			case e == nil && w.Action == key:
				r.probs.Add(item.At, "the action %s needs the key %s", key, key)
			case e != nil && w.Action != key:
				r.probs.Add(e.At, "%s goes with action: %s", key, key)
			}
		}
		out = append(out, w)
	}
	return out
}

// globs reads patterns of path.Match.
func (r *reader) globs(n *compose.Node, what string) []string {
	if n.Kind == compose.Text {
		n = &compose.Node{Kind: compose.List, At: n.At, Items: []*compose.Node{n}}
	}
	out := r.strings(n, what, true)
	for i, glob := range out {
		if _, err := filepath.Match(glob, ""); err != nil {
			r.probs.Bad(n.Items[i], "%s must have patterns such as *.conf, not %s", what, n.Items[i].Show())
		}
	}
	return out
}

// endings reads success_exit_codes: numbers are exit codes, names are signals that ended the process.
func (r *reader) endings(n *compose.Node) (codes []int, signals []syscall.Signal) {
	if n.Kind != compose.List {
		r.want(n, "success_exit_codes", "a list, such as [143, SIGTERM]")
		return nil, nil
	}
	for _, item := range n.Items {
		if code, ok := exitCode(item); ok {
			codes = append(codes, code)
			continue
		}
		sig, err := ParseSignal(item.Text)
		if item.Kind != compose.Text || err != nil {
			r.probs.Bad(item, "success_exit_codes must have exit codes from 0 to 255 and names of signals, not %s", item.Show())
			continue
		}
		signals = append(signals, sig)
	}
	return codes, signals
}

// codes reads a list of exit codes.
func (r *reader) codes(n *compose.Node, what string) (out []int) {
	if n.Kind != compose.List {
		r.want(n, what, "a list of exit codes, such as [78]")
		return nil
	}
	for _, item := range n.Items {
		code, ok := exitCode(item)
		if !ok {
			r.probs.Bad(item, "%s must have exit codes from 0 to 255, not %s", what, item.Show())
			continue
		}
		out = append(out, code)
	}
	return out
}

// exitCode is a number from 0 to 255; a string that is one serves too, as interpolation gives.
func exitCode(n *compose.Node) (int, bool) {
	code, ok := n.Val.(int)
	if n.Kind == compose.Text && strings.Trim(n.Text, "0123456789") == "" {
		var err error
		code, err = strconv.Atoi(n.Text)
		ok = err == nil
	}
	return code, ok && code >= 0 && code <= 255
}

// success is what a service counts for success.
func (o *own) success() child.Success {
	return child.Success{Codes: o.successCodes, Signals: o.successSignals}
}
