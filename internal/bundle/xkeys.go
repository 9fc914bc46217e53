package bundle

import (
	"math"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// own is the x-sidecar-init of a service. The keys and their types are in schema.go too, for editors.
type own struct {
	private  []pattern
	ready    *Ready
	killMode child.KillMode
	critical bool
	backoff  *child.Backoff
	limit    child.Limit
	overflow Overflow
	control  Control
	watch    []Watch
	wallsOff bool
	writable []string

	preStartEach bool

	successCodes, noRestartCodes []int
	successSignals               []syscall.Signal
}

// A pattern is an item of private_env.
type pattern struct {
	glob string
	at   pos
}

// matches reports whether a name of a variable is meant.
func (p pattern) matches(name string) bool {
	ok, err := path.Match(p.glob, name)
	return ok && err == nil
}

var ownKeys = []string{"private_env", "ready", "kill_mode", "critical", "backoff", "limit", "overflow", "control", "watch", "pre_start", "success_exit_codes", "no_restart_exit_codes", "walls", "writable"}

// jobKeys are those of a job.
var jobKeys = []string{"private_env", "kill_mode", "critical", "overflow", "control", "success_exit_codes", "timeout", "walls", "writable"}

// own reads the x-sidecar-init of a service.
func (r *reader) own(s *service, n *node) {
	e := n.get("x-sidecar-init")
	if e == nil {
		return
	}
	known := ownKeys
	if s.job != nil {
		known = jobKeys
	}
	r.strict(e.val, "x-sidecar-init", known, func(e entry) bool {
		if !slices.Contains(known, e.key) {
			return false
		}
		switch n := e.val; e.key {
		case "timeout":
			if s.job.timeout = r.duration(n, e.key); s.job.timeout == 0 {
				r.probs.bad(n, "timeout must be more than 0")
			}
		case "private_env":
			for i, glob := range r.strings(n, e.key, false) {
				at := n.items[i].at
				if _, err := path.Match(glob, ""); err != nil || glob == "" || strings.Contains(glob, "=") {
					r.probs.bad(n.items[i], "private_env must have names or patterns such as TOKEN_*, not %s", n.items[i].show())
					continue
				}
				s.own.private = append(s.own.private, pattern{glob, at})
			}
		case "ready":
			s.own.ready = r.ready(n)
		case "kill_mode":
			s.own.killMode = child.KillMode(r.oneOf(n, e.key, string(child.KillGroup), string(child.KillProcess)))
		case "critical":
			s.own.critical = r.truth(n, e.key)
		case "backoff":
			s.own.backoff = r.backoff(n)
		case "limit":
			s.own.limit = r.limits(n)
		case "overflow":
			s.own.overflow = Overflow(r.oneOf(n, e.key, string(OverflowBlock), string(OverflowDrop)))
		case "control":
			s.own.control = Control(r.oneOf(n, e.key, string(ControlNone), string(ControlRead), string(ControlFull)))
		case "watch":
			s.own.watch = r.watches(n)
		case "pre_start":
			s.own.preStartEach = r.oneOf(n, e.key, "once", "each") == "each"
		case "walls":
			s.own.wallsOff = r.oneOf(n, e.key, "off") == "off"
		case "writable":
			r.writable(s, n)
		case "success_exit_codes":
			s.own.successCodes, s.own.successSignals = r.endings(n)
		case "no_restart_exit_codes":
			s.own.noRestartCodes = r.codes(n, e.key)
		default:
			return false
		}
		return true
	})
}

// strict is mapping, where an x- key is unknown too.
func (r *reader) strict(n *node, what string, known []string, read func(e entry) bool) bool {
	if n.kind != dict {
		r.want(n, what, "a mapping")
		return false
	}
	for _, e := range n.keys {
		if !read(e) {
			r.unknown(e, what, known)
		}
	}
	return true
}

func (r *reader) backoff(n *node) *child.Backoff {
	var b child.Backoff
	r.strict(n, "backoff", []string{"initial", "max", "reset_after"}, func(e entry) bool {
		switch e.key {
		case "initial":
			b.Initial = r.duration(e.val, e.key)
			b.NoDelay = b.Initial == 0
		case "max":
			b.Max = r.duration(e.val, e.key)
		case "reset_after":
			b.ResetAfter = r.duration(e.val, e.key)
		default:
			return false
		}
		return true
	})
	if b.Max > 0 && b.Max < b.Initial {
		r.probs.add(n.at, "the max of backoff must not be below its initial")
	}
	return &b
}

func (r *reader) limits(n *node) (l child.Limit) {
	ok := r.strict(n, "limit", []string{"restarts", "window"}, func(e entry) bool {
		switch e.key {
		case "restarts":
			l.Restarts = r.whole(e.val, e.key, 1, math.MaxInt32)
		case "window":
			if l.Window = r.duration(e.val, e.key); l.Window == 0 {
				r.probs.bad(e.val, "window must be more than 0")
			}
		default:
			return false
		}
		return true
	})
	if ok && (n.get("restarts") == nil || n.get("window") == nil) {
		r.probs.add(n.at, "limit needs both restarts and window, such as {restarts: 5, window: 1m}")
	}
	return l
}

var readyKeys = []string{"tcp", "http", "exec", "log", "notify"} // beside timeout

// ready reads x-sidecar-init.ready: exactly one way.
func (r *reader) ready(n *node) *Ready {
	ready := &Ready{Timeout: DefaultReadyTimeout}
	ways := 0
	ok := r.strict(n, "ready", append(slices.Clip(readyKeys), "timeout"), func(e entry) bool {
		ways++
		switch n := e.val; e.key {
		case "timeout":
			ways--
			if ready.Timeout = r.duration(n, e.key); ready.Timeout == 0 {
				r.probs.bad(n, "timeout must be more than 0")
			}
		case "tcp":
			ready.TCP = r.tcp(n)
		case "http":
			if ready.HTTP = r.str(n, "http"); !validURL(ready.HTTP, "http", "https") {
				r.want(n, "http", `a URL, such as "http://127.0.0.1:8080/healthz"`)
			}
		case "exec":
			if ready.Exec = r.command(n, "exec"); len(ready.Exec) == 0 || ready.Exec[0] == "" {
				r.probs.bad(n, "exec must have a command, such as [/app/probe]")
			}
		case "log":
			ready.Log = r.str(n, "log")
			if _, err := regexp.Compile(ready.Log); err != nil || ready.Log == "" {
				r.want(n, "log", "a regular expression in Go's syntax")
			}
		case "notify":
			r.notify(n, ready)
		default:
			return false
		}
		return true
	})
	if ok && ways != 1 {
		r.probs.add(n.at, "ready must have exactly one of %s", or(readyKeys))
	}
	return ready
}

// tcp reads PORT or HOST:PORT.
func (r *reader) tcp(n *node) string {
	if port, ok := n.val.(int); ok && port > 0 && port < 1<<16 {
		return "127.0.0.1:" + strconv.Itoa(port)
	}
	if n.kind == text {
		host, port, err := net.SplitHostPort(n.text)
		if err != nil {
			host, port = "", n.text
		}
		if p, err := strconv.ParseUint(port, 10, 16); err == nil && p > 0 {
			if host == "" {
				host = "127.0.0.1"
			}
			return net.JoinHostPort(host, port)
		}
	}
	r.want(n, "tcp", "PORT or HOST:PORT")
	return ""
}

// notify reads how a daemon notifies: sd, or fd:N.
func (r *reader) notify(n *node, ready *Ready) {
	how := r.str(n, "notify")
	if how == "sd" {
		ready.NotifySD = true
		return
	}
	number, ok := strings.CutPrefix(how, "fd:")
	fd, err := strconv.ParseUint(number, 10, 10)
	if !ok || err != nil || fd < 3 {
		r.want(n, "notify", "sd, or fd:N with N at least 3")
		return
	}
	ready.NotifyFD = int(fd)
}

// top is the x-sidecar-init at the top.
type top struct {
	grace        time.Duration
	routes       []route
	exitCodeFrom *node
	log          LogOptions
	notify       []Sink
	reload       bool
	transient    *Transient
	requires     string
	walls        Walls
	wallsAt      pos
	limits       string
	hosts        *pos // nil: no
}

// A route is an entry of signals.
type route struct {
	signal           syscall.Signal
	at               pos
	forward, restart []*node // names
	shutdown, reload bool
}

// What max_line can be: there must be room for what stands around a line, and a few lines are in memory at once.
const (
	minLine = 1 << 10
	maxLine = 1 << 20
)

var topKeys = []string{"grace_period", "signals", "notify", "log", "exit_code_from", "reload", "requires", "transient", "walls", "limits", "hosts"}

// top reads the x-sidecar-init at the top.
func (r *reader) top(tree *node) (t top) {
	e := tree.get("x-sidecar-init")
	if e == nil {
		return t
	}
	r.strict(e.val, "x-sidecar-init", topKeys, func(e entry) bool {
		switch n := e.val; e.key {
		case "grace_period":
			if t.grace = r.duration(n, e.key); t.grace == 0 {
				r.probs.bad(n, "grace_period must be more than 0")
			}
		case "signals":
			t.routes = r.routes(n)
		case "reload":
			t.reload = r.oneOf(n, e.key, "auto", "manual") == "auto"
		case "requires":
			t.requires = r.oneOf(n, e.key, RequiresRefuse, RequiresWarn)
		case "walls":
			t.wallsAt = e.at
			t.walls = Walls(r.oneOf(n, e.key, string(WallsAuto), string(WallsOn), string(WallsOff), string(WallsRequired)))
		case "limits":
			if r.oneOf(n, e.key, "auto", LimitsRequired) == LimitsRequired {
				t.limits = LimitsRequired
			}
		case "hosts":
			if r.truth(n, e.key) {
				t.hosts = &n.at
			}
		case "transient":
			t.transient = r.transient(n)
		case "notify":
			t.notify = r.sinks(n)
		case "log":
			r.strict(n, "log", []string{"format", "timestamps", "hold", "max_line"}, func(e entry) bool {
				switch e.key {
				case "format":
					t.log.Format = r.oneOf(e.val, e.key, "text", "json")
				case "timestamps":
					t.log.Timestamps = r.truth(e.val, e.key)
				case "hold":
					t.log.Hold = new(time.Duration)
					if e.val.kind != number || e.val.text != "0" { // 0 needs no unit
						*t.log.Hold = r.duration(e.val, e.key)
					}
				case "max_line":
					t.log.MaxLine = int(r.size(e.val, e.key, minLine, maxLine, "between 1kb and 1mb"))
				default:
					return false
				}
				return true
			})
		case "exit_code_from":
			if r.str(n, e.key); !n.bad {
				t.exitCodeFrom = n
			}
		default:
			return false
		}
		return true
	})
	return t
}

// routes reads signals.
func (r *reader) routes(n *node) (out []route) {
	if n.kind != dict {
		r.want(n, "signals", "a mapping of signals, such as HUP: {forward: web}")
		return nil
	}
	for _, e := range n.keys {
		sig, err := ParseSignal(e.key)
		if err != nil {
			r.probs.add(e.at, "%v", err)
			continue
		}
		if reason := unroutable(sig); reason != "" {
			r.probs.add(e.at, "%s cannot be routed: %s", e.key, reason)
		}
		if i := slices.IndexFunc(out, func(o route) bool { return o.signal == sig }); i >= 0 {
			r.probs.add(e.at, "%s is routed at %s already", child.SignalName(sig), out[i].at)
			continue
		}
		to := route{signal: sig, at: e.at}
		ok := r.strict(e.val, e.key, []string{"forward", "restart", "reload", "shutdown"}, func(e entry) bool {
			switch e.key {
			case "forward":
				to.forward = r.names(e.val, e.key)
			case "restart":
				to.restart = r.names(e.val, e.key)
			case "reload":
				to.reload = r.truth(e.val, e.key)
			case "shutdown":
				to.shutdown = r.truth(e.val, e.key)
			default:
				return false
			}
			return true
		})
		off := func(key string, on bool) bool {
			e := e.val.get(key)
			return e != nil && !e.val.bad && !on
		}
		if ok && !slices.ContainsFunc(e.val.keys, func(e entry) bool {
			return !(e.key == "shutdown" && off(e.key, to.shutdown) || e.key == "reload" && off(e.key, to.reload))
		}) {
			r.probs.add(e.val.at, "%s must have forward, restart, reload or shutdown, such as {forward: web}", e.key)
		}
		if to.shutdown && (e.val.get("restart") != nil || to.reload) {
			r.probs.add(e.at, "%s cannot both restart or reload something and shut the bundle down", e.key)
		}
		out = append(out, to)
	}
	return out
}

// names reads a name, or a list of names.
func (r *reader) names(n *node, what string) []*node {
	if n.kind == list {
		r.strings(n, what, true)
		return slices.DeleteFunc(slices.Clone(n.items), func(item *node) bool { return item.kind != text })
	}
	if n.kind == text {
		return []*node{n}
	}
	r.want(n, what, "a daemon, or a list of daemons")
	return nil
}

// sinks reads notify: a list of {url: …} or {exec: […]}.
func (r *reader) sinks(n *node) (out []Sink) {
	if n.kind != list {
		r.want(n, "notify", "a list, such as [{url: \"http://127.0.0.1:9100/events\"}]")
		return nil
	}
	for _, item := range n.items {
		var sink Sink
		ok := r.strict(item, "notify", []string{"url", "exec"}, func(e entry) bool {
			switch e.key {
			case "url":
				sink.URL = r.str(e.val, e.key)
				if program, ok := strings.CutPrefix(sink.URL, "exec:"); ok && strings.HasPrefix(program, "/") {
					sink = Sink{Exec: []string{program}}
				} else if !validURL(sink.URL, "http", "https", "unix") {
					r.want(e.val, "url", "a URL that starts with http://, https://, unix:/// or exec:/")
				}
			case "exec":
				if sink.Exec = r.command(e.val, e.key); len(sink.Exec) == 0 || sink.Exec[0] == "" {
					r.probs.bad(e.val, "exec must have a command, such as [/app/notify]")
				}
			default:
				return false
			}
			return true
		})
		if ok && len(item.keys) != 1 {
			r.probs.add(item.at, "an item of notify must have either url or exec")
		}
		out = append(out, sink)
	}
	return out
}

// validURL reports whether s is a URL of one of these schemes, with a host, or for unix with a path.
func validURL(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	switch {
	case err != nil || !slices.Contains(schemes, u.Scheme):
		return false
	case u.Scheme == "unix":
		return u.Host == "" && len(u.Path) > 1 && u.Path[0] == '/'
	}
	return u.Host != ""
}
