package plan

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// A key is a key of a service, and where its value stands in a daemon.
type key struct {
	name  string
	value func(d *bundle.Daemon) any
}

// executed are the keys that the program is executed with: another value takes another process.
var executed = []key{
	{"command", func(d *bundle.Daemon) any { return d.Spec.Argv }},
	{"environment", func(d *bundle.Daemon) any { return slices.Sorted(slices.Values(d.Spec.Env)) }},
	{"working_dir", func(d *bundle.Daemon) any { return d.Spec.Dir }},
	{"user", func(d *bundle.Daemon) any { return d.Spec.User }},
	{"group_add", func(d *bundle.Daemon) any { return d.Spec.Groups }},
	{"ulimits", func(d *bundle.Daemon) any { return d.Ulimits }},
	{"cap_add", func(d *bundle.Daemon) any { return d.CapAdd }},
	{"cap_drop", func(d *bundle.Daemon) any { return d.CapDrop }},
	{"security_opt", func(d *bundle.Daemon) any { return d.NoNewPrivileges }},
	{"oom_score_adj", func(d *bundle.Daemon) any { return d.OOMScoreAdj }},
	{"umask", func(d *bundle.Daemon) any { return d.Umask }},
	{"cpuset", func(d *bundle.Daemon) any { return d.CPUs }},
	{"limits", func(d *bundle.Daemon) any { return d.Limits }},
	{"walls", func(d *bundle.Daemon) any { return d.Wall }},
	{"read_only", func(d *bundle.Daemon) any { return d.ReadOnly }},
	{"writable", func(d *bundle.Daemon) any { return d.Writable }},
	{"volumes", func(d *bundle.Daemon) any { return d.Closed }},
	{"secrets", func(d *bundle.Daemon) any { return contents(d, "secret") }},
	{"configs", func(d *bundle.Daemon) any { return contents(d, "config") }},
	{"ready", func(d *bundle.Daemon) any { return d.Ready.Kind() }},
}

// supervised are the keys that say how the process is supervised: another value counts from now on.
var supervised = []key{
	{"restart", func(d *bundle.Daemon) any { return d.Spec.Restart }},
	{"backoff", func(d *bundle.Daemon) any { return d.Spec.Backoff }},
	{"limit", func(d *bundle.Daemon) any { return d.Spec.Limit }},
	{"stop_signal", func(d *bundle.Daemon) any { return d.Spec.StopSignal }},
	{"stop_grace_period", func(d *bundle.Daemon) any { return d.Spec.StopGrace }},
	{"kill_mode", func(d *bundle.Daemon) any { return d.Spec.KillMode }},
	{"healthcheck", func(d *bundle.Daemon) any { return d.Health }},
	{"ready", func(d *bundle.Daemon) any { return d.Ready }},
	{"pre_start", func(d *bundle.Daemon) any { return steps(d, d.Spec.PreStart) }},
	{"post_start", func(d *bundle.Daemon) any { return steps(d, d.Spec.PostStart) }},
	{"pre_stop", func(d *bundle.Daemon) any { return steps(d, d.Spec.PreStop) }},
	{"depends_on", func(d *bundle.Daemon) any { return dependencies(d) }},
	{"critical", func(d *bundle.Daemon) any { return d.Spec.Critical }},
	{"overflow", func(d *bundle.Daemon) any { return d.Overflow }},
	{"control", func(d *bundle.Daemon) any { return d.Control }},
	{"success_exit_codes", func(d *bundle.Daemon) any { return d.Spec.Success }},
	{"no_restart_exit_codes", func(d *bundle.Daemon) any { return d.Spec.NoRestart }},
	{"private_env", func(d *bundle.Daemon) any { return slices.Sorted(slices.Values(d.PrivateNames)) }}, // which hooks and probes do not see
	{"walls", func(d *bundle.Daemon) any { return d.HelperWall }},
	{"watch", func(d *bundle.Daemon) any { return d.Watch }},
	{"update_config", func(d *bundle.Daemon) any { return d.Update }},
	{"triggers", func(d *bundle.Daemon) any { return triggers(d.Job) }},
	{"timeout", func(d *bundle.Daemon) any { return d.Spec.Timeout }},
	{"attach", func(d *bundle.Daemon) any { return d.Detached }},
	{"labels", func(d *bundle.Daemon) any { return d.Labels }},
}

// differ are the names of the keys whose values differ.
func differ(keys []key, a, b *bundle.Daemon) (names []string) {
	for _, k := range keys {
		if !same(k.value(a), k.value(b)) {
			names = append(names, k.name)
		}
	}
	return names
}

// same is reflect.DeepEqual, for which an empty list or mapping is none.
func same(a, b any) bool {
	return reflect.DeepEqual(a, b) || empty(a) && empty(b)
}

func empty(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	}
	return false
}

// triggers are those of a job, and what belongs to them.
func triggers(j *bundle.Job) (all []any) {
	if j == nil {
		return nil
	}
	all = []any{j.Manual, j.Entrypoint}
	for _, t := range j.Triggers {
		t.When = nil // made of the others
		all = append(all, t)
	}
	return all
}

// contents are the files of a kind that the daemon reads, with what stands for their contents.
func contents(d *bundle.Daemon, kind string) (files []bundle.File) {
	for _, f := range d.Files {
		if f.Kind == kind {
			f.At = "" // where it stands makes no difference
			files = append(files, f)
		}
	}
	return files
}

// steps are steps without the part of their environment that is the daemon's: that it differs is said of the daemon.
func steps(d *bundle.Daemon, list []child.Step) (own []child.Step) {
	for _, s := range list {
		s.Env = slices.DeleteFunc(slices.Sorted(slices.Values(s.Env)), func(kv string) bool { return slices.Contains(d.HelperEnv, kv) })
		own = append(own, s)
	}
	return own
}

// dependencies are those of the daemon, in no order of the file.
func dependencies(d *bundle.Daemon) []child.Dependency {
	return slices.SortedFunc(slices.Values(d.Spec.After), func(a, b child.Dependency) int { return cmp.Compare(a.Name, b.Name) })
}
