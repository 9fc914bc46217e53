package bundle

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// A service is what the file says of one service, before anything outside the file is looked at.
type service struct {
	name string
	at   compose.Pos
	node *compose.Node // for the search of private names
	// late are the problems that count only if the service is run: Compose accepts them.
	late compose.Problems
	// clean: it was read as it was meant, so that a command would have been seen; extends can bring one.
	clean bool
	// requires, notes and warnings are about its container.
	requires []Requirement
	notes    []Note
	warnings []Warning
	// passed are the keys that mean nothing here.
	passed []PassedOver

	entrypoint, command []string
	argvVars            []string // the variables that interpolation looked up for these
	environment         []variable
	envFiles            []envFile
	dir, user           string
	groups              []string
	profiles            []string
	labels              map[string]string
	dependsOn, implied  []dependency
	restart             *child.RestartPolicy
	policy              *restartPolicy // deploy.restart_policy, which wins over restart
	scale, replicas     *int
	update              *UpdateConfig
	stopSignal          syscall.Signal
	stopGrace           time.Duration // 0: not given
	attach              bool
	readOnly            bool
	process             process
	limits              limits
	health              *Healthcheck
	preStart            []hook
	postStart, preStop  []hook
	files               []fileRef
	own                 own
	job                 *triggers // nil: it is a service
}

// A dependency is an entry of depends_on.
type dependency struct {
	child.Dependency               // Name is that of a service
	name             *compose.Node // as written
}

// An envFile is an entry of env_file.
type envFile struct {
	path     string
	at       compose.Pos
	secret   bool // the path has the value of a variable in it, so it is not printed
	required bool
	raw      bool // format: raw
}

// services reads all services and jobs, in file order.
func (r *reader) services(tree *compose.Node) (out []*service) {
	for _, e := range tree.Keys {
		if e.Key != "services" && e.Key != "jobs" {
			continue
		}
		if e.Val.Kind != compose.Dict {
			r.want(e.Val, e.Key, "a mapping")
			continue
		}
		what := strings.TrimSuffix(e.Key, "s")
		for _, e := range e.Val.Keys {
			if !validName(e.Key) {
				r.probs.Add(e.At, "%q is not a valid %s name: use letters, digits, dots, dashes and underscores", e.Key, what)
				continue
			}
			if e.Key == supervisorName {
				r.probs.Add(e.At, "a %s cannot be called %s, as the supervisor itself is: give it another name", what, e.Key)
				continue
			}
			if i := slices.IndexFunc(out, func(o *service) bool { return o.name == e.Key }); i >= 0 {
				r.probs.Add(e.At, "%s is the name of a service and of a job (%s): rename one", e.Key, out[i].at)
				continue
			}
			s := &service{name: e.Key, at: e.At, node: e.Val, attach: true}
			read := r.serviceKey
			if what == "job" {
				s.job = &triggers{at: e.At}
				read = r.jobKey
			}
			before := r.probs.Count
			ok := r.mapping(e.Val, s.section()+"."+e.Key, nil, func(e compose.Entry) bool { return read(s, e) })
			if ok && s.job != nil && e.Val.Get("triggers") == nil {
				r.probs.Add(e.At, "the job %s needs triggers, such as {manual: true} or {schedule: [\"0 3 * * *\"]}", e.Key)
			}
			s.takeImplied()
			r.own(s, e.Val)
			s.clean = r.probs.Count == before && s.node.Child("extends") == nil
			out = append(out, s)
		}
	}
	return out
}

// section is the key at the top of the file under which it stands.
func (s *service) section() string {
	if s.job != nil {
		return "jobs"
	}
	return "services"
}

// supervisorName is the supervisor's in its log, and in the arguments of commands.
const supervisorName = "sidecar-init"

func validName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}

// serviceKey reads a key of a service; false is a key that nobody knows.
func (r *reader) serviceKey(s *service, e compose.Entry) bool {
	switch n := e.Val; e.Key {
	case "command":
		s.command = r.command(n, e.Key)
		s.argvVars = append(s.argvVars, n.Variables()...)
	case "entrypoint":
		s.entrypoint = r.command(n, e.Key)
		s.argvVars = append(s.argvVars, n.Variables()...)
	case "environment":
		s.environment = r.variables(n, e.Key)
	case "env_file":
		s.envFiles = r.envFiles(n)
	case "working_dir":
		s.dir = r.str(n, e.Key)
	case "user":
		s.user = r.str(n, e.Key)
	case "group_add":
		s.groups = r.groups(n)
	case "profiles":
		s.profiles = r.strings(n, e.Key, true)
	case "labels":
		s.labels = r.labels(n)
	case "depends_on":
		s.dependsOn = r.dependsOn(s, n)
	case "restart":
		s.restart = r.restart(s, n)
	case "deploy":
		r.deploy(s, n)
	case "scale":
		v := r.whole(n, e.Key, 0, maxReplicas)
		s.scale = &v
	case "stop_signal":
		if name := r.str(n, e.Key); name != "" {
			sig, err := ParseSignal(name)
			if err != nil {
				s.late.Add(n.At, "stop_signal must be a signal, such as SIGTERM, not %s", n.Show())
			}
			s.stopSignal = sig
		}
	case "stop_grace_period":
		s.stopGrace = max(r.duration(n, e.Key), time.Nanosecond) // 0s is said, so it must not look like "not given"
	case "read_only":
		r.readOnly(s, e)
	case "attach":
		s.attach = r.truth(n, e.Key)
	case "healthcheck":
		s.health = r.healthcheck(s, n)
	case "pre_start":
		s.preStart = r.hooks(s, n, e.Key)
	case "post_start":
		s.postStart = r.hooks(s, n, e.Key)
	case "pre_stop":
		s.preStop = r.hooks(s, n, e.Key)
	case "secrets", "configs":
		s.files = append(s.files, r.fileRefs(s, n, e.Key)...)
	case "volumes", "tmpfs", "extra_hosts", "dns", "dns_search", "dns_opt", "sysctls", "devices", "shm_size":
		r.container(s, e)
	case "links", "volumes_from", "network_mode", "ipc", "pid":
		r.joined(s, e)
	case "mem_limit", "mem_reservation", "memswap_limit", "cpus", "cpu_quota", "cpu_period", "cpu_shares", "pids_limit":
		r.confine(s, limitKeys[e.Key], e.Key, e)
	case "ulimits", "cap_add", "cap_drop", "security_opt", "oom_score_adj", "umask", "cpuset":
		r.process(s, e)
	default:
		switch {
		case passedOver[e.Key] != nil:
			r.passOver(s, e, passedOver[e.Key], s.section(), s.name, e.Key)
		case slices.Contains(refused, e.Key):
			if !empty(e.Key, n) {
				s.late.Add(e.At, "%s is not supported: %s", e.Key, why(e.Key))
			}
		default:
			return false
		}
	}
	return true
}

// maxReplicas bounds scale: each replica is a process.
const maxReplicas = 1000

// passOver notes a key of s that means nothing here, after a look at its type.
func (r *reader) passOver(s *service, e compose.Entry, kinds []compose.Kind, path ...string) {
	if !slices.Contains(kinds, e.Val.Kind) {
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = k.String()
		}
		r.want(e.Val, e.Key, or(names))
	}
	s.passed = append(s.passed, passed(e, path...))
}

// passed is a key that means nothing here.
func passed(e compose.Entry, path ...string) PassedOver {
	return PassedOver{strings.Join(path, "."), e.At.File, e.At.Line, e.At.Col}
}

func (r *reader) envFiles(n *compose.Node) (out []envFile) {
	if n.Kind == compose.Text {
		n = &compose.Node{Kind: compose.List, At: n.At, Items: []*compose.Node{n}}
	}
	if n.Kind != compose.List {
		r.want(n, "env_file", "a path or a list of paths")
		return nil
	}
	for _, item := range n.Items {
		f := envFile{at: item.At, required: true}
		switch item.Kind {
		case compose.Text:
			if item.Bad { // which was told
				continue
			}
			f.path, f.secret = r.str(item, "env_file"), len(item.Vars) > 0
		case compose.Dict:
			known := []string{"path", "required", "format"}
			for _, e := range item.Keys {
				switch e.Key {
				case "path":
					f.path, f.at, f.secret = r.str(e.Val, "path"), e.Val.At, len(e.Val.Vars) > 0
				case "required":
					f.required = r.truth(e.Val, "required")
				case "format":
					f.raw = r.oneOf(e.Val, "format", "raw", "", ".env") == "raw"
				default:
					r.unknown(e, "env_file", known)
				}
			}
			if e := item.Get("path"); e == nil || e.Val.Bad || e.Val.Kind != compose.Text {
				if e == nil {
					r.probs.Add(item.At, "an env_file needs a path")
				}
				continue
			}
		default:
			r.want(item, "an item of env_file", "a path or a mapping")
			continue
		}
		f.path = r.path(f.path)
		out = append(out, f)
	}
	return out
}

// groups reads group_add: names and numbers.
func (r *reader) groups(n *compose.Node) (out []string) {
	if n.Kind != compose.List {
		r.want(n, "group_add", "a list of groups")
		return nil
	}
	for i, item := range n.Items {
		_, whole := item.Val.(int)
		switch {
		case slices.ContainsFunc(n.Items[:i], item.Equal):
			r.probs.Add(item.At, "group_add has %s twice", item.Show())
		case item.Kind == compose.Text || item.Kind == compose.Number && whole:
			out = append(out, item.Sprint())
		default:
			r.want(item, "an item of group_add", "the name or number of a group")
		}
	}
	return out
}

func (r *reader) labels(n *compose.Node) map[string]string {
	vars := r.pairs(n, "labels")
	if len(vars) == 0 {
		return nil
	}
	out := make(map[string]string, len(vars))
	for _, v := range vars {
		out[v.key] = ""
		if v.value != nil {
			out[v.key] = *v.value
		}
	}
	return out
}

func (r *reader) dependsOn(s *service, n *compose.Node) (out []dependency) {
	if n.Kind == compose.List {
		r.strings(n, "depends_on", true)
		for _, item := range n.Items {
			if item.Kind == compose.Text && !item.Bad {
				out = append(out, dependency{child.Dependency{Name: item.Text, Condition: child.ServiceStarted}, item})
			}
		}
		return out
	}
	if n.Kind != compose.Dict {
		r.want(n, "depends_on", "a list or a mapping")
		return nil
	}
	for _, e := range n.Keys {
		if !validName(e.Key) {
			r.probs.Add(e.At, "%q is not a valid service name", e.Key)
			continue
		}
		d := dependency{child.Dependency{Name: e.Key, Condition: child.ServiceStarted}, &compose.Node{At: e.At, Text: e.Key, Vars: e.Val.Vars}}
		ok := r.mapping(e.Val, "depends_on."+e.Key, []string{"condition", "required", "restart"}, func(e compose.Entry) bool {
			switch e.Key {
			case "condition":
				d.Condition = child.Condition(r.oneOf(e.Val, e.Key, string(child.ServiceStarted), string(child.ServiceHealthy),
					string(child.ServiceCompletedSuccessfully)))
			case "required":
				if e.Val.Kind != compose.Truth {
					r.want(e.Val, "required", "true or false")
				}
				d.Optional = !r.truth(e.Val, "required")
			case "restart":
				d.Restart = r.truth(e.Val, "restart")
			default:
				return false
			}
			return true
		})
		if ok && e.Val.Get("condition") == nil {
			r.probs.Add(e.At, "depends_on.%s needs a condition, such as condition: service_started", e.Key)
		}
		out = append(out, d)
	}
	return out
}

// restart reads a restart policy; nil is the default.
func (r *reader) restart(s *service, n *compose.Node) *child.RestartPolicy {
	value := r.str(n, "restart")
	if value == "" {
		return nil
	}
	restart, err := ParseRestart(value)
	if err != nil {
		if len(n.Vars) > 0 {
			s.late.Add(n.At, "restart must be no, on-failure[:N], always or unless-stopped")
		} else {
			s.late.Add(n.At, "restart %v", err)
		}
		return nil
	}
	return &restart
}

// deploy reads what of deploy has a meaning here.
func (r *reader) deploy(s *service, n *compose.Node) {
	if n.Kind == compose.Null {
		return
	}
	known := []string{"replicas", "restart_policy", "labels", "mode", "endpoint_mode", "placement", "resources", "rollback_config", "update_config"}
	r.mapping(n, "deploy", known, func(e compose.Entry) bool {
		switch e.Key {
		case "replicas":
			v := r.whole(e.Val, "replicas", 0, maxReplicas)
			s.replicas = &v
		case "restart_policy":
			r.restartPolicy(s, e.Val)
		case "mode":
			switch mode := r.str(e.Val, "mode"); mode {
			case "", "replicated":
			case "global": // one on each node, of which there is one
				r.passOver(s, e, []compose.Kind{compose.Text}, s.section(), s.name, "deploy", e.Key)
			default:
				s.late.Add(e.Val.At, "deploy.mode %s is not supported: only replicated is, and global", e.Val.Show())
			}
		case "resources":
			r.resources(s, e.Val)
		case "update_config":
			s.update = r.updateConfig(s, e.Val)
		case "placement", "rollback_config":
			if e.Val.Kind != compose.Dict || meansDeep(e.Val) {
				r.passOver(s, e, []compose.Kind{compose.Dict}, s.section(), s.name, "deploy", e.Key)
			}
		case "labels":
			r.passOver(s, e, []compose.Kind{compose.Dict, compose.List}, s.section(), s.name, "deploy", e.Key)
		case "endpoint_mode":
			r.passOver(s, e, []compose.Kind{compose.Text}, s.section(), s.name, "deploy", e.Key)
		default:
			return false
		}
		return true
	})
}

// meansDeep reports whether anything but mappings is in n: docker compose config prints empty ones.
func meansDeep(n *compose.Node) bool {
	if n.Kind == compose.Dict {
		return slices.ContainsFunc(n.Keys, func(e compose.Entry) bool { return meansDeep(e.Val) })
	}
	return true
}

// A restartPolicy is deploy.restart_policy.
type restartPolicy struct {
	restart child.RestartPolicy
	backoff child.Backoff
}

// restartPolicy reads deploy.restart_policy. Its delay is fixed; max_attempts counts restarts in a row, anew after
// window; the condition is any where there is none.
func (r *reader) restartPolicy(s *service, n *compose.Node) {
	p := restartPolicy{restart: child.RestartPolicy{Policy: child.RestartAlways}}
	ok := r.mapping(n, "restart_policy", []string{"condition", "delay", "max_attempts", "window"}, func(e compose.Entry) bool {
		switch e.Key {
		case "condition":
			switch condition := r.str(e.Val, e.Key); condition { // docker compose config prints those of restart too
			case "", "any", "always":
			case "unless-stopped":
				p.restart.Policy = child.RestartUnlessStopped
			case "none", "no":
				p.restart.Policy = child.RestartNo
			case "on-failure":
				p.restart.Policy = child.RestartOnFailure
			default:
				s.late.Add(e.Val.At, "condition must be none, on-failure or any, not %s", e.Val.Show())
			}
		case "delay":
			p.backoff.Initial = r.duration(e.Val, e.Key)
			p.backoff.NoDelay, p.backoff.Fixed = p.backoff.Initial == 0, true
		case "max_attempts":
			p.restart.Max = r.whole(e.Val, e.Key, 0, math.MaxInt32)
		case "window":
			p.backoff.ResetAfter = r.duration(e.Val, e.Key)
		default:
			return false
		}
		return true
	})
	if ok {
		s.policy = &p
	}
}
