package bundle

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// A service is what the file says of one service, before anything outside the file is looked at.
type service struct {
	name string
	at   pos
	node *node // for the search of private names
	// late are the problems that count only if the service is run: Compose accepts them.
	late problems
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
	child.Dependency       // Name is that of a service
	name             *node // as written
}

// An envFile is an entry of env_file.
type envFile struct {
	path     string
	at       pos
	secret   bool // the path has the value of a variable in it, so it is not printed
	required bool
	raw      bool // format: raw
}

// services reads all services and jobs, in file order.
func (r *reader) services(tree *node) (out []*service) {
	for _, e := range tree.keys {
		if e.key != "services" && e.key != "jobs" {
			continue
		}
		if e.val.kind != dict {
			r.want(e.val, e.key, "a mapping")
			continue
		}
		what := strings.TrimSuffix(e.key, "s")
		for _, e := range e.val.keys {
			if !validName(e.key) {
				r.probs.add(e.at, "%q is not a valid %s name: use letters, digits, dots, dashes and underscores", e.key, what)
				continue
			}
			if e.key == supervisorName {
				r.probs.add(e.at, "a %s cannot be called %s, as the supervisor itself is: give it another name", what, e.key)
				continue
			}
			if i := slices.IndexFunc(out, func(o *service) bool { return o.name == e.key }); i >= 0 {
				r.probs.add(e.at, "%s is the name of a service and of a job (%s): rename one", e.key, out[i].at)
				continue
			}
			s := &service{name: e.key, at: e.at, node: e.val, attach: true}
			read := r.serviceKey
			if what == "job" {
				s.job = &triggers{at: e.at}
				read = r.jobKey
			}
			before := r.probs.count
			ok := r.mapping(e.val, s.section()+"."+e.key, nil, func(e entry) bool { return read(s, e) })
			if ok && s.job != nil && e.val.get("triggers") == nil {
				r.probs.add(e.at, "the job %s needs triggers, such as {manual: true} or {schedule: [\"0 3 * * *\"]}", e.key)
			}
			s.takeImplied()
			r.own(s, e.val)
			s.clean = r.probs.count == before && s.node.child("extends") == nil
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
func (r *reader) serviceKey(s *service, e entry) bool {
	switch n := e.val; e.key {
	case "command":
		s.command = r.command(n, e.key)
		s.argvVars = append(s.argvVars, n.variables()...)
	case "entrypoint":
		s.entrypoint = r.command(n, e.key)
		s.argvVars = append(s.argvVars, n.variables()...)
	case "environment":
		s.environment = r.variables(n, e.key)
	case "env_file":
		s.envFiles = r.envFiles(n)
	case "working_dir":
		s.dir = r.str(n, e.key)
	case "user":
		s.user = r.str(n, e.key)
	case "group_add":
		s.groups = r.groups(n)
	case "profiles":
		s.profiles = r.strings(n, e.key, true)
	case "labels":
		s.labels = r.labels(n)
	case "depends_on":
		s.dependsOn = r.dependsOn(s, n)
	case "restart":
		s.restart = r.restart(s, n)
	case "deploy":
		r.deploy(s, n)
	case "scale":
		v := r.whole(n, e.key, 0, maxReplicas)
		s.scale = &v
	case "stop_signal":
		if name := r.str(n, e.key); name != "" {
			sig, err := ParseSignal(name)
			if err != nil {
				s.late.add(n.at, "stop_signal must be a signal, such as SIGTERM, not %s", n.show())
			}
			s.stopSignal = sig
		}
	case "stop_grace_period":
		s.stopGrace = max(r.duration(n, e.key), time.Nanosecond) // 0s is said, so it must not look like "not given"
	case "read_only":
		r.readOnly(s, e)
	case "attach":
		s.attach = r.truth(n, e.key)
	case "healthcheck":
		s.health = r.healthcheck(s, n)
	case "pre_start":
		s.preStart = r.hooks(s, n, e.key)
	case "post_start":
		s.postStart = r.hooks(s, n, e.key)
	case "pre_stop":
		s.preStop = r.hooks(s, n, e.key)
	case "secrets", "configs":
		s.files = append(s.files, r.fileRefs(s, n, e.key)...)
	case "volumes", "tmpfs", "extra_hosts", "dns", "dns_search", "dns_opt", "sysctls", "devices", "shm_size":
		r.container(s, e)
	case "links", "volumes_from", "network_mode", "ipc", "pid":
		r.joined(s, e)
	case "mem_limit", "mem_reservation", "memswap_limit", "cpus", "cpu_quota", "cpu_period", "cpu_shares", "pids_limit":
		r.confine(s, limitKeys[e.key], e.key, e)
	case "ulimits", "cap_add", "cap_drop", "security_opt", "oom_score_adj", "umask", "cpuset":
		r.process(s, e)
	default:
		switch {
		case passedOver[e.key] != nil:
			r.passOver(s, e, passedOver[e.key], s.section(), s.name, e.key)
		case slices.Contains(refused, e.key):
			if !empty(e.key, n) {
				s.late.add(e.at, "%s is not supported: %s", e.key, why(e.key))
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
func (r *reader) passOver(s *service, e entry, kinds []kind, path ...string) {
	if !slices.Contains(kinds, e.val.kind) {
		names := make([]string, len(kinds))
		for i, k := range kinds {
			names[i] = k.String()
		}
		r.want(e.val, e.key, or(names))
	}
	s.passed = append(s.passed, passed(e, path...))
}

// passed is a key that means nothing here.
func passed(e entry, path ...string) PassedOver {
	return PassedOver{strings.Join(path, "."), e.at.file, e.at.line, e.at.col}
}

func (r *reader) envFiles(n *node) (out []envFile) {
	if n.kind == text {
		n = &node{kind: list, at: n.at, items: []*node{n}}
	}
	if n.kind != list {
		r.want(n, "env_file", "a path or a list of paths")
		return nil
	}
	for _, item := range n.items {
		f := envFile{at: item.at, required: true}
		switch item.kind {
		case text:
			if item.bad { // which was told
				continue
			}
			f.path, f.secret = r.str(item, "env_file"), len(item.vars) > 0
		case dict:
			known := []string{"path", "required", "format"}
			for _, e := range item.keys {
				switch e.key {
				case "path":
					f.path, f.at, f.secret = r.str(e.val, "path"), e.val.at, len(e.val.vars) > 0
				case "required":
					f.required = r.truth(e.val, "required")
				case "format":
					f.raw = r.oneOf(e.val, "format", "raw", "", ".env") == "raw"
				default:
					r.unknown(e, "env_file", known)
				}
			}
			if e := item.get("path"); e == nil || e.val.bad || e.val.kind != text {
				if e == nil {
					r.probs.add(item.at, "an env_file needs a path")
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
func (r *reader) groups(n *node) (out []string) {
	if n.kind != list {
		r.want(n, "group_add", "a list of groups")
		return nil
	}
	for i, item := range n.items {
		_, whole := item.val.(int)
		switch {
		case slices.ContainsFunc(n.items[:i], item.equal):
			r.probs.add(item.at, "group_add has %s twice", item.show())
		case item.kind == text || item.kind == number && whole:
			out = append(out, item.sprint())
		default:
			r.want(item, "an item of group_add", "the name or number of a group")
		}
	}
	return out
}

func (r *reader) labels(n *node) map[string]string {
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

func (r *reader) dependsOn(s *service, n *node) (out []dependency) {
	if n.kind == list {
		r.strings(n, "depends_on", true)
		for _, item := range n.items {
			if item.kind == text && !item.bad {
				out = append(out, dependency{child.Dependency{Name: item.text, Condition: child.ServiceStarted}, item})
			}
		}
		return out
	}
	if n.kind != dict {
		r.want(n, "depends_on", "a list or a mapping")
		return nil
	}
	for _, e := range n.keys {
		if !validName(e.key) {
			r.probs.add(e.at, "%q is not a valid service name", e.key)
			continue
		}
		d := dependency{child.Dependency{Name: e.key, Condition: child.ServiceStarted}, &node{at: e.at, text: e.key, vars: e.val.vars}}
		ok := r.mapping(e.val, "depends_on."+e.key, []string{"condition", "required", "restart"}, func(e entry) bool {
			switch e.key {
			case "condition":
				d.Condition = child.Condition(r.oneOf(e.val, e.key, string(child.ServiceStarted), string(child.ServiceHealthy),
					string(child.ServiceCompletedSuccessfully)))
			case "required":
				if e.val.kind != truth {
					r.want(e.val, "required", "true or false")
				}
				d.Optional = !r.truth(e.val, "required")
			case "restart":
				d.Restart = r.truth(e.val, "restart")
			default:
				return false
			}
			return true
		})
		if ok && e.val.get("condition") == nil {
			r.probs.add(e.at, "depends_on.%s needs a condition, such as condition: service_started", e.key)
		}
		out = append(out, d)
	}
	return out
}

// restart reads a restart policy; nil is the default.
func (r *reader) restart(s *service, n *node) *child.RestartPolicy {
	value := r.str(n, "restart")
	if value == "" {
		return nil
	}
	restart, err := ParseRestart(value)
	if err != nil {
		if len(n.vars) > 0 {
			s.late.add(n.at, "restart must be no, on-failure[:N], always or unless-stopped")
		} else {
			s.late.add(n.at, "restart %v", err)
		}
		return nil
	}
	return &restart
}

// deploy reads what of deploy has a meaning here.
func (r *reader) deploy(s *service, n *node) {
	if n.kind == null {
		return
	}
	known := []string{"replicas", "restart_policy", "labels", "mode", "endpoint_mode", "placement", "resources", "rollback_config", "update_config"}
	r.mapping(n, "deploy", known, func(e entry) bool {
		switch e.key {
		case "replicas":
			v := r.whole(e.val, "replicas", 0, maxReplicas)
			s.replicas = &v
		case "restart_policy":
			r.restartPolicy(s, e.val)
		case "mode":
			switch mode := r.str(e.val, "mode"); mode {
			case "", "replicated":
			case "global": // one on each node, of which there is one
				r.passOver(s, e, []kind{text}, s.section(), s.name, "deploy", e.key)
			default:
				s.late.add(e.val.at, "deploy.mode %s is not supported: only replicated is, and global", e.val.show())
			}
		case "resources":
			r.resources(s, e.val)
		case "update_config":
			s.update = r.updateConfig(s, e.val)
		case "placement", "rollback_config":
			if e.val.kind != dict || meansDeep(e.val) {
				r.passOver(s, e, []kind{dict}, s.section(), s.name, "deploy", e.key)
			}
		case "labels":
			r.passOver(s, e, []kind{dict, list}, s.section(), s.name, "deploy", e.key)
		case "endpoint_mode":
			r.passOver(s, e, []kind{text}, s.section(), s.name, "deploy", e.key)
		default:
			return false
		}
		return true
	})
}

// meansDeep reports whether anything but mappings is in n: docker compose config prints empty ones.
func meansDeep(n *node) bool {
	if n.kind == dict {
		return slices.ContainsFunc(n.keys, func(e entry) bool { return meansDeep(e.val) })
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
func (r *reader) restartPolicy(s *service, n *node) {
	p := restartPolicy{restart: child.RestartPolicy{Policy: child.RestartAlways}}
	ok := r.mapping(n, "restart_policy", []string{"condition", "delay", "max_attempts", "window"}, func(e entry) bool {
		switch e.key {
		case "condition":
			switch condition := r.str(e.val, e.key); condition { // docker compose config prints those of restart too
			case "", "any", "always":
			case "unless-stopped":
				p.restart.Policy = child.RestartUnlessStopped
			case "none", "no":
				p.restart.Policy = child.RestartNo
			case "on-failure":
				p.restart.Policy = child.RestartOnFailure
			default:
				s.late.add(e.val.at, "condition must be none, on-failure or any, not %s", e.val.show())
			}
		case "delay":
			p.backoff.Initial = r.duration(e.val, e.key)
			p.backoff.NoDelay, p.backoff.Fixed = p.backoff.Initial == 0, true
		case "max_attempts":
			p.restart.Max = r.whole(e.val, e.key, 0, math.MaxInt32)
		case "window":
			p.backoff.ResetAfter = r.duration(e.val, e.key)
		default:
			return false
		}
		return true
	})
	if ok {
		s.policy = &p
	}
}
