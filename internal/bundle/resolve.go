package bundle

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// resolve turns the merged tree into a bundle: which daemons, with what environment, and who is told what by which
// signal. The error is an *UnknownDaemonError; what is wrong with the file is in the problems.
func (l *loader) resolve(tree *compose.Node) (*Bundle, error) {
	services := l.services
	t := l.reader.top(tree)
	files := map[string]map[string]fileSource{
		"secrets": l.reader.fileSources(tree, "secrets"), "configs": l.reader.fileSources(tree, "configs"),
	}
	l.vault = newVault(services, files["secrets"])
	l.topKeys(tree)
	l.checkAll(l.behind("COMPOSE_PROJECT_NAME"), nil, compose.Pos{File: filepath.Join(l.reader.base, ".env"), Line: 1, Col: 1})
	g := &graph{loader: l, services: services, byName: map[string]*service{}, daemons: map[string]*service{}}
	g.enable(l.profiles())
	g.bring()
	for _, s := range services {
		g.names(s)
		l.vault.search(s.node, s, l.probs)
	}
	if len(services) == 0 && len(l.probs.List) == 0 {
		l.probs.Add(tree.At, "no services: a bundle file must have the key services, with a daemon in it")
	}
	g.dependencies()
	g.jobDependencies()
	b := &Bundle{
		Name: l.name, Grace: orDefault(l.options.Grace, orDefault(t.grace, DefaultGrace)),
		Log: t.log, Notify: t.notify, AutoReload: t.reload, Transient: t.transient, Requires: t.requires, Walls: orDefault(t.walls, WallsAuto), wallsAt: t.wallsAt, Limits: t.limits,
		private: slices.Clone(l.vault.all), here: l.options.Here, services: map[string][]string{},
	}
	b.exposed = exposed(services)
	err := g.choose(b)
	if !g.bound() {
		return b, err
	}
	l.routes(b, g, t.routes)
	if e := l.exitCodeFrom(b, g, t.exitCodeFrom); err == nil {
		err = e
	}

	all := l.environ(nil, nil, "")
	b.Env = without(all, l.vault.private)
	b.Private = len(b.Env) < len(all)
	var running []*service
	for _, s := range services {
		s.passFiles(files)
		b.PassedOver = append(b.PassedOver, s.passed...)
		if !g.enabled[s] {
			b.Unselected, b.services[s.name] = append(b.Unselected, s.name), nil
			continue
		}
		limits := s.takeLimits()
		for _, p := range s.late.List {
			l.probs.Add(p.Pos(), "%s", compose.Phrase(p.Message))
		}
		if len(s.entrypoint)+len(s.command) == 0 && s.clean {
			l.probs.Add(s.at, "the %s %s has no command, and nothing supplies one here: give it a command or an entrypoint", strings.TrimSuffix(s.section(), "s"), s.name)
		}
		d := l.daemon(s, files)
		b.wall(&d)
		if at := s.limits.place(); !limits.None() {
			d.Limits, d.LimitsAt = limits, compose.Problem{File: at.File, Line: at.Line, Col: at.Col, Message: strings.Join(s.limits.keys(), ", ")}
		}
		selected := g.selectedOf(s)
		if len(selected) == 0 {
			b.Unselected = append(b.Unselected, s.name)
		}
		b.services[s.name] = selected
		d.Job = l.makeJob(s)
		d.Spec.Job = d.Job.kind()
		if len(selected) > 0 {
			l.suspect(s)
			l.suspectWall(s, &d)
			running = append(running, s)
			b.Requirements, b.Notes = append(b.Requirements, s.requires...), append(b.Notes, s.notes...)
		}
		for _, name := range selected {
			b.Daemons = append(b.Daemons, g.replica(d, s, name, selected[0]))
		}
	}
	if t.hosts != nil {
		b.HostsAt = t.hosts.String()
		for _, s := range running {
			if s.job == nil {
				b.Hosts = append(b.Hosts, s.name)
			}
		}
	}
	l.suspectAll(running, t.hosts != nil)
	b.Warnings = l.warnings
	for _, e := range tree.Keys {
		if _, ok := passedTop[e.Key]; ok {
			b.PassedOver = append(b.PassedOver, passed(e, e.Key))
		}
	}
	return b, err
}

// topKeys checks the keys at the top.
func (l *loader) topKeys(tree *compose.Node) {
	for _, e := range tree.Keys {
		want, passed := passedTop[e.Key]
		empty, refused := refusedTop[e.Key]
		switch {
		case slices.Contains(honouredTop, e.Key):
			if e.Key == "name" {
				l.reader.str(e.Val, "name")
			}
			if e.Key != "services" && e.Key != "jobs" {
				l.vault.search(e.Val, nil, l.probs)
			}
		case refused:
			if e.Val.Kind != empty || len(e.Val.Keys)+len(e.Val.Items) > 0 {
				l.probs.Add(e.At, "%s is not supported: %s", e.Key, why(e.Key))
			}
		case passed && want == compose.Text:
			l.reader.str(e.Val, e.Key)
		case passed && e.Val.Kind != want:
			l.reader.want(e.Val, e.Key, want.String())
		case passed:
		case !strings.HasPrefix(e.Key, "x-"):
			l.reader.unknown(e, "", slices.Concat(honouredTop, keysOf(passedTop), keysOf(refusedTop)))
		}
	}
}

// profiles are the active ones.
func (l *loader) profiles() []string {
	if len(l.options.Profiles) > 0 {
		return l.options.Profiles
	}
	value, _ := l.lookup("COMPOSE_PROFILES")
	var out []string
	for p := range strings.SplitSeq(value, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// environ is the environment of a program of s that runs as user: the supervisor's without private names, then what the file
// gives. The supervisor's HOME is not for another user: package child finds the right one when the program starts.
func (l *loader) environ(s *service, own []variable, user string) []string {
	name, _, _ := strings.Cut(user, ":")
	last := make(map[string]int, len(own)) // of several values for a name
	for i, v := range own {
		last[v.key] = i
	}
	out := make([]string, 0, len(l.env.pairs)+len(own)+1)
	for _, kv := range l.env.pairs {
		key, _, _ := strings.Cut(kv, "=")
		if _, given := last[key]; !given && (s == nil || !l.vault.hidden(key, s)) && (key != "HOME" || name == "") {
			out = append(out, kv)
		}
	}
	for i, v := range own {
		if v.value != nil && last[v.key] == i {
			out = append(out, v.key+"="+*v.value)
		}
	}
	return out
}

// daemon is what all replicas of s have in common.
func (l *loader) daemon(s *service, files map[string]map[string]fileSource) Daemon {
	own := l.own(s, s.envFiles, s.environment)
	d := Daemon{
		Spec: child.Spec{
			Service: s.name, Critical: s.own.critical, Readiness: s.own.ready != nil || s.health != nil,
			Program: child.Program{Argv: slices.Concat(s.entrypoint, s.command), Env: l.environ(s, own, s.user), Dir: s.dir, User: s.user, Groups: s.groups},
			Restart: l.options.Restart, Limit: s.own.limit, Success: s.own.success(), NoRestart: s.own.noRestartCodes, StopSignal: s.stopSignal, StopGrace: s.stopGrace,
			KillMode: child.KillMode(orDefault(string(s.own.killMode), string(child.KillGroup))),
		},
		Overflow: orDefault(s.own.overflow, OverflowBlock), Control: s.own.control, Detached: !s.attach,
		Ready: s.own.ready, Health: s.health, Labels: s.labels, Watch: s.own.watch, Update: s.update,
		Ulimits: s.process.ulimits, CapAdd: s.process.capAdd, CapDrop: s.process.capDrop,
		NoNewPrivileges: s.process.noNewPrivileges, OOMScoreAdj: s.process.oomScoreAdj,
		Umask: s.process.umask, CPUs: s.process.cpus, WallsOff: s.own.wallsOff, ReadOnly: s.readOnly,
		CPUsAt: compose.Problem{File: s.process.cpusAt.File, Line: s.process.cpusAt.Line, Col: s.process.cpusAt.Col},
	}
	d.Writable, d.Closed = s.changes()
	for _, name := range s.argvVars {
		if l.vault.private(name) && !slices.Contains(d.argvPrivate, name) {
			d.argvPrivate = append(d.argvPrivate, name)
		}
	}
	if s.job != nil {
		d.Spec.Restart, d.Spec.Timeout = child.RestartPolicy{}, s.job.timeout
	}
	if s.restart != nil {
		d.Spec.Restart = *s.restart
	}
	if s.own.backoff != nil {
		d.Spec.Backoff = *s.own.backoff
	}
	if p := s.policy; p != nil {
		d.Spec.Restart = p.restart
		if p.backoff.Fixed {
			d.Spec.Backoff.Initial, d.Spec.Backoff.NoDelay, d.Spec.Backoff.Fixed = p.backoff.Initial, p.backoff.NoDelay, true
			d.Spec.Backoff.Max = 0
		}
		d.Spec.Backoff.ResetAfter = orDefault(p.backoff.ResetAfter, d.Spec.Backoff.ResetAfter)
	}
	for _, p := range s.own.private {
		d.Private = append(d.Private, p.glob)
	}
	for _, kv := range d.Spec.Env {
		if name, _, _ := strings.Cut(kv, "="); l.vault.private(name) {
			d.PrivateNames = append(d.PrivateNames, name)
		}
	}
	d.HelperEnv = without(d.Spec.Env, l.vault.private)
	for _, h := range s.preStart {
		d.Spec.PreStart = append(d.Spec.PreStart, l.preStart(s, h))
	}
	d.Spec.PostStart = l.hooks(s, own, s.postStart)
	d.Spec.PreStop = l.hooks(s, own, s.preStop)
	for _, f := range s.files {
		if file, ok := l.file(s, f, files[f.kind]); ok {
			d.Files = append(d.Files, file)
		}
	}
	return d
}

func keysOf[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// preStart is a step of pre_start: a container of its own in Compose, which has what the service has where it says
// nothing itself.
func (l *loader) preStart(s *service, h hook) child.Step {
	argv := h.entrypoint
	if !h.hasEntrypoint {
		argv = s.entrypoint
	}
	if h.command != nil {
		argv = slices.Concat(argv, h.command)
	} else {
		argv = slices.Concat(argv, s.command)
	}
	if len(argv) == 0 {
		l.probs.Add(h.at, "the step of pre_start has no command")
	}
	files := s.envFiles
	for _, f := range h.envFiles {
		if !slices.ContainsFunc(files, func(o envFile) bool { return o.path == f.path && o.required == f.required && o.raw == f.raw }) {
			files = append(slices.Clip(files), f)
		}
	}
	vars := slices.DeleteFunc(slices.Clone(s.environment), func(v variable) bool {
		return slices.ContainsFunc(h.environment, func(o variable) bool { return o.key == v.key })
	})
	own := l.own(s, files, append(vars, h.environment...))
	user := orDefault(h.user, s.user)
	return child.Step{Once: !s.own.preStartEach, Program: child.Program{
		Argv: argv, Env: without(l.environ(s, own, user), l.vault.private), Dir: orDefault(h.dir, s.dir), User: user, Groups: s.groups,
	}}
}

// hooks are post_start or pre_stop: programs with the daemon's environment, in which own is what the file gives.
func (l *loader) hooks(s *service, own []variable, hooks []hook) (out []child.Step) {
	for _, h := range hooks {
		for _, v := range h.environment {
			l.vault.check(v.key, s, v.at, l.probs)
		}
		user := orDefault(h.user, s.user)
		env := without(l.environ(s, own, user), func(name string) bool {
			return l.vault.private(name) || slices.ContainsFunc(h.environment, func(v variable) bool { return v.key == name })
		})
		for _, v := range h.environment {
			if v.value != nil && !l.vault.private(v.key) {
				env = append(env, v.key+"="+*v.value)
			}
		}
		out = append(out, child.Step{Program: child.Program{
			Argv: h.command, Env: env, Dir: orDefault(h.dir, s.dir), User: user, Groups: s.groups,
		}})
	}
	return out
}

// routes resolves the names in signals.
func (l *loader) routes(b *Bundle, g *graph, routes []route) {
	b.Routes, b.DroppedRoutes = map[syscall.Signal]Route{}, map[syscall.Signal][]string{}
	for _, to := range routes {
		forward, restart := g.address(b, to.signal, to.forward), g.address(b, to.signal, to.restart)
		for _, name := range restart {
			if s := g.serviceOf(name); s != nil && s.job != nil {
				l.probs.Add(to.at, "%s cannot restart %s, which is a job", child.SignalName(to.signal), name)
			}
			if slices.Contains(forward, name) {
				l.probs.Add(to.at, "%s cannot both be forwarded to %s and restart it", child.SignalName(to.signal), name)
			}
		}
		if len(forward)+len(restart) > 0 || to.shutdown || to.reload {
			b.Routes[to.signal] = Route{forward, restart, to.shutdown, to.reload}
		}
	}
}

// exitCodeFrom resolves the daemon whose exit code counts; of a scaled service it is the largest of all replicas.
func (l *loader) exitCodeFrom(b *Bundle, g *graph, from *compose.Node) error {
	name := l.options.ExitCodeFrom
	switch {
	case name == "" && from == nil:
		return nil
	case name == "":
		name = from.Text
	}
	s := g.serviceOf(name)
	if s != nil && s.job != nil {
		reason := fmt.Sprintf("%s is a job, and no job counts for the exit code of the bundle: name a service", name)
		if l.options.ExitCodeFrom != "" {
			return errors.New(reason)
		}
		l.probs.Add(from.At, "exit_code_from: %s", compose.Phrase(reason))
		return nil
	}
	if s == nil {
		known := append(keysOf(g.byName), keysOf(g.daemons)...)
		if l.options.ExitCodeFrom != "" {
			return &UnknownDaemonError{Name: name, Nearest: compose.Nearest(name, known)}
		}
		l.probs.Add(from.At, "exit_code_from names an unknown daemon: %s", compose.Suggest(from, known))
		return nil
	}
	if g.selected[name] || s.name == name && len(g.selectedOf(s)) > 0 {
		b.ExitCodeFrom = name
	}
	return nil
}
