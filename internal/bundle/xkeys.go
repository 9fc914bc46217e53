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
	"github.com/bot-bottle/sidecar-init/internal/compose"
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
	at   compose.Pos
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
func (r *reader) own(s *service, n *compose.Node) {
	e := n.Get("x-sidecar-init")
	if e == nil {
		return
	}
	known := ownKeys
	if s.job != nil {
		known = jobKeys
	}
	r.strict(e.Val, "x-sidecar-init", known, func(e compose.Entry) bool {
		if !slices.Contains(known, e.Key) {
			return false
		}
		switch n := e.Val; e.Key {
		case "timeout":
			if s.job.timeout = r.duration(n, e.Key); s.job.timeout == 0 {
				r.probs.Bad(n, "timeout must be more than 0")
			}
		case "private_env":
			for i, glob := range r.strings(n, e.Key, false) {
				at := n.Items[i].At
				if _, err := path.Match(glob, ""); err != nil || glob == "" || strings.Contains(glob, "=") {
					r.probs.Bad(n.Items[i], "private_env must have names or patterns such as TOKEN_*, not %s", n.Items[i].Show())
					continue
				}
				s.own.private = append(s.own.private, pattern{glob, at})
			}
		case "ready":
			s.own.ready = r.ready(n)
		case "kill_mode":
			s.own.killMode = child.KillMode(r.oneOf(n, e.Key, string(child.KillGroup), string(child.KillProcess)))
		case "critical":
			s.own.critical = r.truth(n, e.Key)
		case "backoff":
			s.own.backoff = r.backoff(n)
		case "limit":
			s.own.limit = r.limits(n)
		case "overflow":
			s.own.overflow = Overflow(r.oneOf(n, e.Key, string(OverflowBlock), string(OverflowDrop)))
		case "control":
			s.own.control = Control(r.oneOf(n, e.Key, string(ControlNone), string(ControlRead), string(ControlFull)))
		case "watch":
			s.own.watch = r.watches(n)
		case "pre_start":
			s.own.preStartEach = r.oneOf(n, e.Key, "once", "each") == "each"
		case "walls":
			s.own.wallsOff = r.oneOf(n, e.Key, "off") == "off"
		case "writable":
			r.writable(s, n)
		case "success_exit_codes":
			s.own.successCodes, s.own.successSignals = r.endings(n)
		case "no_restart_exit_codes":
			s.own.noRestartCodes = r.codes(n, e.Key)
		default:
			return false
		}
		return true
	})
}

// strict is mapping, where an x- key is unknown too.
func (r *reader) strict(n *compose.Node, what string, known []string, read func(e compose.Entry) bool) bool {
	if n.Kind != compose.Dict {
		r.want(n, what, "a mapping")
		return false
	}
	for _, e := range n.Keys {
		if !read(e) {
			r.unknown(e, what, known)
		}
	}
	return true
}

func (r *reader) backoff(n *compose.Node) *child.Backoff {
	var b child.Backoff
	r.strict(n, "backoff", []string{"initial", "max", "reset_after"}, func(e compose.Entry) bool {
		switch e.Key {
		case "initial":
			b.Initial = r.duration(e.Val, e.Key)
			b.NoDelay = b.Initial == 0
		case "max":
			b.Max = r.duration(e.Val, e.Key)
		case "reset_after":
			b.ResetAfter = r.duration(e.Val, e.Key)
		default:
			return false
		}
		return true
	})
	if b.Max > 0 && b.Max < b.Initial {
		r.probs.Add(n.At, "the max of backoff must not be below its initial")
	}
	return &b
}

func (r *reader) limits(n *compose.Node) (l child.Limit) {
	ok := r.strict(n, "limit", []string{"restarts", "window"}, func(e compose.Entry) bool {
		switch e.Key {
		case "restarts":
			l.Restarts = r.whole(e.Val, e.Key, 1, math.MaxInt32)
		case "window":
			if l.Window = r.duration(e.Val, e.Key); l.Window == 0 {
				r.probs.Bad(e.Val, "window must be more than 0")
			}
		default:
			return false
		}
		return true
	})
	if ok && (n.Get("restarts") == nil || n.Get("window") == nil) {
		r.probs.Add(n.At, "limit needs both restarts and window, such as {restarts: 5, window: 1m}")
	}
	return l
}

var readyKeys = []string{"tcp", "http", "exec", "log", "notify"} // beside timeout

// ready reads x-sidecar-init.ready: exactly one way.
func (r *reader) ready(n *compose.Node) *Ready {
	ready := &Ready{Timeout: DefaultReadyTimeout}
	ways := 0
	ok := r.strict(n, "ready", append(slices.Clip(readyKeys), "timeout"), func(e compose.Entry) bool {
		ways++
		switch n := e.Val; e.Key {
		case "timeout":
			ways--
			if ready.Timeout = r.duration(n, e.Key); ready.Timeout == 0 {
				r.probs.Bad(n, "timeout must be more than 0")
			}
		case "tcp":
			ready.TCP = r.tcp(n)
		case "http":
			if ready.HTTP = r.str(n, "http"); !validURL(ready.HTTP, "http", "https") {
				r.want(n, "http", `a URL, such as "http://127.0.0.1:8080/healthz"`)
			}
		case "exec":
			if ready.Exec = r.command(n, "exec"); len(ready.Exec) == 0 || ready.Exec[0] == "" {
				r.probs.Bad(n, "exec must have a command, such as [/app/probe]")
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
		r.probs.Add(n.At, "ready must have exactly one of %s", or(readyKeys))
	}
	return ready
}

// tcp reads PORT or HOST:PORT.
func (r *reader) tcp(n *compose.Node) string {
	if port, ok := n.Val.(int); ok && port > 0 && port < 1<<16 {
		return "127.0.0.1:" + strconv.Itoa(port)
	}
	if n.Kind == compose.Text {
		host, port, err := net.SplitHostPort(n.Text)
		if err != nil {
			host, port = "", n.Text
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
func (r *reader) notify(n *compose.Node, ready *Ready) {
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
	exitCodeFrom *compose.Node
	log          LogOptions
	notify       []Sink
	reload       bool
	transient    *Transient
	requires     string
	walls        Walls
	wallsAt      compose.Pos
	limits       string
	hosts        *compose.Pos // nil: no
}

// A route is an entry of signals.
type route struct {
	signal           syscall.Signal
	at               compose.Pos
	forward, restart []*compose.Node // names
	shutdown, reload bool
}

// What max_line can be: there must be room for what stands around a line, and a few lines are in memory at once.
const (
	minLine = 1 << 10
	maxLine = 1 << 20
)

var topKeys = []string{"grace_period", "signals", "notify", "log", "exit_code_from", "reload", "requires", "transient", "walls", "limits", "hosts"}

// top reads the x-sidecar-init at the top.
func (r *reader) top(tree *compose.Node) (t top) {
	e := tree.Get("x-sidecar-init")
	if e == nil {
		return t
	}
	r.strict(e.Val, "x-sidecar-init", topKeys, func(e compose.Entry) bool {
		switch n := e.Val; e.Key {
		case "grace_period":
			if t.grace = r.duration(n, e.Key); t.grace == 0 {
				r.probs.Bad(n, "grace_period must be more than 0")
			}
		case "signals":
			t.routes = r.routes(n)
		case "reload":
			t.reload = r.oneOf(n, e.Key, "auto", "manual") == "auto"
		case "requires":
			t.requires = r.oneOf(n, e.Key, RequiresRefuse, RequiresWarn)
		case "walls":
			t.wallsAt = e.At
			t.walls = Walls(r.oneOf(n, e.Key, string(WallsAuto), string(WallsOn), string(WallsOff), string(WallsRequired)))
		case "limits":
			if r.oneOf(n, e.Key, "auto", LimitsRequired) == LimitsRequired {
				t.limits = LimitsRequired
			}
		case "hosts":
			if r.truth(n, e.Key) {
				t.hosts = &n.At
			}
		case "transient":
			t.transient = r.transient(n)
		case "notify":
			t.notify = r.sinks(n)
		case "log":
			r.strict(n, "log", []string{"format", "timestamps", "hold", "max_line"}, func(e compose.Entry) bool {
				switch e.Key {
				case "format":
					t.log.Format = r.oneOf(e.Val, e.Key, "text", "json")
				case "timestamps":
					t.log.Timestamps = r.truth(e.Val, e.Key)
				case "hold":
					t.log.Hold = new(time.Duration)
					if e.Val.Kind != compose.Number || e.Val.Text != "0" { // 0 needs no unit
						*t.log.Hold = r.duration(e.Val, e.Key)
					}
				case "max_line":
					t.log.MaxLine = int(r.size(e.Val, e.Key, minLine, maxLine, "between 1kb and 1mb"))
				default:
					return false
				}
				return true
			})
		case "exit_code_from":
			if r.str(n, e.Key); !n.Bad {
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
func (r *reader) routes(n *compose.Node) (out []route) {
	if n.Kind != compose.Dict {
		r.want(n, "signals", "a mapping of signals, such as HUP: {forward: web}")
		return nil
	}
	for _, e := range n.Keys {
		sig, err := ParseSignal(e.Key)
		if err != nil {
			r.probs.Add(e.At, "%v", err)
			continue
		}
		if reason := unroutable(sig); reason != "" {
			r.probs.Add(e.At, "%s cannot be routed: %s", e.Key, reason)
		}
		if i := slices.IndexFunc(out, func(o route) bool { return o.signal == sig }); i >= 0 {
			r.probs.Add(e.At, "%s is routed at %s already", child.SignalName(sig), out[i].at)
			continue
		}
		to := route{signal: sig, at: e.At}
		ok := r.strict(e.Val, e.Key, []string{"forward", "restart", "reload", "shutdown"}, func(e compose.Entry) bool {
			switch e.Key {
			case "forward":
				to.forward = r.names(e.Val, e.Key)
			case "restart":
				to.restart = r.names(e.Val, e.Key)
			case "reload":
				to.reload = r.truth(e.Val, e.Key)
			case "shutdown":
				to.shutdown = r.truth(e.Val, e.Key)
			default:
				return false
			}
			return true
		})
		off := func(key string, on bool) bool {
			e := e.Val.Get(key)
			return e != nil && !e.Val.Bad && !on
		}
		if ok && !slices.ContainsFunc(e.Val.Keys, func(e compose.Entry) bool {
			return !(e.Key == "shutdown" && off(e.Key, to.shutdown) || e.Key == "reload" && off(e.Key, to.reload))
		}) {
			r.probs.Add(e.Val.At, "%s must have forward, restart, reload or shutdown, such as {forward: web}", e.Key)
		}
		if to.shutdown && (e.Val.Get("restart") != nil || to.reload) {
			r.probs.Add(e.At, "%s cannot both restart or reload something and shut the bundle down", e.Key)
		}
		out = append(out, to)
	}
	return out
}

// names reads a name, or a list of names.
func (r *reader) names(n *compose.Node, what string) []*compose.Node {
	if n.Kind == compose.List {
		r.strings(n, what, true)
		return slices.DeleteFunc(slices.Clone(n.Items), func(item *compose.Node) bool { return item.Kind != compose.Text })
	}
	if n.Kind == compose.Text {
		return []*compose.Node{n}
	}
	r.want(n, what, "a daemon, or a list of daemons")
	return nil
}

// sinks reads notify: a list of {url: …} or {exec: […]}.
func (r *reader) sinks(n *compose.Node) (out []Sink) {
	if n.Kind != compose.List {
		r.want(n, "notify", "a list, such as [{url: \"http://127.0.0.1:9100/events\"}]")
		return nil
	}
	for _, item := range n.Items {
		var sink Sink
		ok := r.strict(item, "notify", []string{"url", "exec"}, func(e compose.Entry) bool {
			switch e.Key {
			case "url":
				sink.URL = r.str(e.Val, e.Key)
				if program, ok := strings.CutPrefix(sink.URL, "exec:"); ok && strings.HasPrefix(program, "/") {
					sink = Sink{Exec: []string{program}}
				} else if !validURL(sink.URL, "http", "https", "unix") {
					r.want(e.Val, "url", "a URL that starts with http://, https://, unix:/// or exec:/")
				}
			case "exec":
				if sink.Exec = r.command(e.Val, e.Key); len(sink.Exec) == 0 || sink.Exec[0] == "" {
					r.probs.Bad(e.Val, "exec must have a command, such as [/app/notify]")
				}
			default:
				return false
			}
			return true
		})
		if ok && len(item.Keys) != 1 {
			r.probs.Add(item.At, "an item of notify must have either url or exec")
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
