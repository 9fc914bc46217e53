package bundle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	oracle "github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/cgroup"
	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// The corpus, testdata/corpus: NAME.yaml, with NAME.2.yaml and so on merged into it. A file is accepted, unless a comment
// at its top says otherwise:
//
//	# invalid: TEXT     both refuse it, and our message has TEXT
//	# refused: TEXT     compose-go accepts it, and we refuse it, with TEXT
//	# profiles: a,b     these are active
//	# one-way: WHY      docker compose config prints something else
type corpusCase struct {
	name     string
	files    []string
	invalid  string
	refused  string
	profiles []string
	oneWay   bool
}

func corpus(t testing.TB) []corpusCase {
	t.Helper()
	paths, err := filepath.Glob("testdata/corpus/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*corpusCase{}
	for _, path := range paths {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".yaml"), ".")
		c := byName[name]
		if c == nil {
			c = &corpusCase{name: name}
			byName[name] = c
		}
		c.files = append(c.files, path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			key, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "# "), ": ")
			if !ok || !strings.HasPrefix(lines.Text(), "# ") {
				break
			}
			switch key {
			case "invalid":
				c.invalid = value
			case "refused":
				c.refused = value
			case "one-way":
				c.oneWay = true
			case "profiles":
				c.profiles = strings.Split(value, ",")
			}
		}
	}
	var cases []corpusCase
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		c := byName[name]
		slices.SortFunc(c.files, func(a, b string) int {
			if len(a) != len(b) {
				return len(a) - len(b) // NAME.yaml, NAME.2.yaml
			}
			return strings.Compare(a, b)
		})
		cases = append(cases, *c)
	}
	return cases
}

// corpusEnv is the environment of the corpus; testdata/corpus/.env is beside it.
func corpusEnv() []string {
	return []string{
		"PATH=/usr/bin:/bin", "HOME=" + os.Getenv("HOME"), "NAME=world", "EMPTY=", "NUM=3", "YES=true", "DURATION=5s",
		"DOLLAR=$x", "SPACES=a  b", "QUOTES=it's \"q\"", "EQUALS=a=b", "LINES=one\ntwo", "LIST=[a, b]",
	}
}

// theirs is compose-go's reading.
func theirs(t testing.TB, c corpusCase) (project *types.Project, err error) {
	t.Helper()
	defer func() { // some invalid files make compose-go panic
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	dir, err := filepath.Abs(filepath.Dir(c.files[0]))
	if err != nil {
		t.Fatal(err)
	}
	env := types.NewMapping(corpusEnv())
	var more types.Mapping
	if file := filepath.Join(dir, ".env"); exists(file) {
		if more, err = dotenv.GetEnvFromFile(env, []string{file}); err != nil {
			t.Fatal(err)
		}
	}
	details := types.ConfigDetails{WorkingDir: dir, Environment: env.Merge(more)}
	for _, f := range c.files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: f})
	}
	return oracle.LoadWithContext(t.Context(), details, func(o *oracle.Options) {
		o.SkipConsistencyCheck = true
		o.Profiles = c.profiles
		o.SetProjectName("without-a-name", false)
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestDifferential(t *testing.T) {
	registerRaw()
	cases := corpus(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			project, refusal := theirs(t, c)
			b, ours := loadFiles(Options{Files: c.files, Profiles: c.profiles, Env: corpusEnv()})
			switch {
			case c.invalid != "":
				if refusal == nil {
					t.Errorf("compose-go accepts what the corpus calls invalid")
				}
				if ours == nil || !strings.Contains(ours.Error(), c.invalid) {
					t.Errorf("got error %v, want %q", ours, c.invalid)
				}
			case c.refused != "":
				if refusal != nil {
					t.Errorf("compose-go refuses it too: %v", refusal)
				}
				if ours == nil || !strings.Contains(ours.Error(), c.refused) {
					t.Errorf("got error %v, want %q", ours, c.refused)
				}
			case refusal != nil:
				t.Errorf("compose-go refuses it: %v (we: %v)", refusal, ours)
			case ours != nil:
				t.Errorf("not accepted: %v", ours)
			default:
				compare(t, b, project)
				compareRequirements(t, b, project)
				compareOwn(t, c, project)
				if !c.oneWay {
					roundTrip(t, c, b, project)
				}
			}
		})
	}
	if len(cases) < 200 {
		t.Errorf("got %d cases, want 200 or more", len(cases))
	}
}

// roundTrip reads what docker compose config would print of the project: that must be the same bundle.
func roundTrip(t *testing.T, c corpusCase, b *Bundle, project *types.Project) {
	t.Helper()
	printed, err := project.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, map[string]string{"config.yaml": strings.ReplaceAll(string(printed), "$", "$$")})
	again, err := loadFiles(Options{Files: []string{path("config.yaml")}, Profiles: c.profiles, Env: corpusEnv()})
	if err != nil {
		t.Errorf("what docker compose config prints is not accepted: %v\n%s", err, printed)
		return
	}
	compare(t, again, project)
	compareRequirements(t, again, project)
	byName := func(b *Bundle) map[string]Daemon { // config sorts the services, and the variables
		m := map[string]Daemon{}
		for _, d := range b.Daemons {
			slices.Sort(d.Spec.Env)
			slices.Sort(d.HelperEnv)
			for _, steps := range [][]child.Step{d.Spec.PreStart, d.Spec.PostStart, d.Spec.PreStop} {
				for i := range steps {
					slices.Sort(steps[i].Env)
				}
			}
			slices.SortFunc(d.Spec.After, func(a, b child.Dependency) int { return strings.Compare(a.Name, b.Name) })
			slices.SortFunc(d.Ulimits, func(a, b Ulimit) int { return strings.Compare(a.Name, b.Name) })
			m[d.Spec.Name] = d
		}
		return m
	}
	before, after := byName(b), byName(again)
	for name := range before {
		if got, want := inJSON(t, after[name]), inJSON(t, before[name]); got != want {
			t.Errorf("read again from docker compose config:\ngot  %s\nwant %s", got, want)
		}
	}
}

// compareOwn compares the x-sidecar-init keys, as merged and interpolated.
func compareOwn(t *testing.T, c corpusCase, project *types.Project) {
	t.Helper()
	dir, err := filepath.Abs("testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	l := newLoader(Options{Env: corpusEnv()}, dir)
	l.dotEnv(filepath.Join(dir, ".env"))
	var sources []source
	for _, f := range c.files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source{f, data})
	}
	tree := l.merge(sources)
	want := func(what string, n *compose.Node, extensions types.Extensions) {
		if theirs := extensions["x-sidecar-init"]; n != nil || theirs != nil {
			if got, want := inJSON(t, plain(n)), inJSON(t, theirs); got != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
	}
	want("x-sidecar-init", tree.Child("x-sidecar-init"), project.Extensions)
	for name, s := range project.Services {
		want(name+".x-sidecar-init", tree.Child("services").Child(name).Child("x-sidecar-init"), s.Extensions)
	}
	for name, j := range project.Jobs {
		want(name+".x-sidecar-init", tree.Child("jobs").Child(name).Child("x-sidecar-init"), j.Extensions)
	}
}

// plain is a tree as encoding/json and the YAML library have it.
func plain(n *compose.Node) any {
	switch n.Kind {
	case compose.List:
		out := []any{}
		for _, item := range n.Items {
			out = append(out, plain(item))
		}
		return out
	case compose.Dict:
		out := map[string]any{}
		for _, e := range n.Keys {
			out[e.Key] = plain(e.Val)
		}
		return out
	case compose.Text:
		return n.Text
	}
	return n.Val
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// compare compares our reading with compose-go's, for what is honoured.
func compare(t *testing.T, b *Bundle, project *types.Project) {
	t.Helper()
	want := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", what, got, want)
		}
	}
	if project.Name != "without-a-name" || b.Name != "" {
		want("name", b.Name, project.Name)
	}
	all := workloads(project)
	var names []string
	for name, s := range all {
		switch n := s.GetScale(); n {
		case 1:
			names = append(names, name)
		default:
			for i := range n {
				names = append(names, fmt.Sprintf("%s-%d", name, i+1))
			}
		}
	}
	var got []string
	for _, d := range b.Daemons {
		got = append(got, d.Spec.Name)
	}
	slices.Sort(names)
	slices.Sort(got)
	want("daemons", got, names)
	for i := range b.Daemons {
		d := &b.Daemons[i]
		s := all[d.Spec.Service]
		want(d.Spec.Name+": triggers", triggersOf(d.Job), theirTriggers(project, d.Spec.Name))
		compareDaemon(func(what string, got, w any) { t.Helper(); want(d.Spec.Name+": "+what, got, w) }, d, &s, project)
	}
}

// workloads are the services and jobs.
func workloads(project *types.Project) map[string]types.ServiceConfig {
	all := maps.Clone(map[string]types.ServiceConfig(project.Services))
	if all == nil {
		all = map[string]types.ServiceConfig{}
	}
	for name, j := range project.Jobs {
		all[name] = types.ServiceConfig{Name: name, Profiles: j.Profiles, ContainerSpec: j.ContainerSpec, WorkloadSpec: j.WorkloadSpec, Extensions: j.Extensions}
	}
	return all
}

// triggersOf are ours, as theirTriggers are compose-go's.
func triggersOf(j *Job) (all []string) {
	if j == nil {
		return nil
	}
	all = []string{fmt.Sprint(j.Manual)}
	for _, t := range j.Triggers {
		all = append(all, fmt.Sprint(t.Cron, " ", t.Timezone, " ", t.Queue, " ", t.SkipMissed))
	}
	return all
}

func theirTriggers(project *types.Project, name string) (all []string) {
	j, ok := project.Jobs[name]
	if !ok {
		return nil
	}
	all = []string{fmt.Sprint(valueOr(j.Triggers.Manual, true))}
	for _, t := range j.Triggers.Schedule {
		all = append(all, fmt.Sprint(strings.TrimSpace(t.Cron), " ", orDefault(t.Timezone, "UTC"), " ", t.Concurrency == "queue", " ", t.MissedFires == "skip"))
	}
	return all
}

func compareDaemon(want func(what string, got, want any), d *Daemon, s *types.ServiceConfig, project *types.Project) {
	want("argv", d.Spec.Argv, slices.Concat([]string(s.Entrypoint), []string(s.Command)))
	want("environment", mapping(d.Spec.Env), environmentOf(project, d.Spec.Name, s.User, s.Environment))
	want("working_dir", d.Spec.Dir, s.WorkingDir)
	want("user", d.Spec.User, s.User)
	want("group_add", slices.Concat([]string{}, d.Spec.Groups), slices.Concat([]string{}, s.GroupAdd))
	want("labels", maps.Collect(maps.All(d.Labels)), maps.Collect(maps.All(map[string]string(s.Labels))))
	want("attach", !d.Detached, s.Attach == nil || *s.Attach)
	compareLimits(want, d, s)
	if s.Umask != nil {
		want("umask", valueOr(d.Umask, -1), int(*s.Umask))
	} else {
		want("umask", d.Umask, (*int)(nil))
	}
	want("oom_score_adj", valueOr(d.OOMScoreAdj, 0), int(s.OomScoreAdj))

	after, expected := map[string]child.Dependency{}, map[string]child.Dependency{}
	for _, dep := range d.Spec.After {
		if dep.Name != d.Spec.Service+"-1" { // of a pre_start that runs once
			after[dep.Name] = dep
		}
	}
	for name, dep := range s.DependsOn {
		on, ok := workloads(project)[name]
		if !ok {
			continue // of a profile that is not active: dropped
		}
		for i := range on.GetScale() {
			full := name
			if on.GetScale() > 1 {
				full = fmt.Sprintf("%s-%d", name, i+1)
			}
			expected[full] = child.Dependency{Name: full, Condition: child.Condition(dep.Condition), Optional: !dep.Required, Restart: dep.Restart}
		}
	}
	want("depends_on", after, expected)

	switch {
	case s.Deploy != nil && s.Deploy.RestartPolicy != nil:
		p := s.Deploy.RestartPolicy
		policy := map[string]child.Policy{
			"": "always", "any": "always", "always": "always", "unless-stopped": "unless-stopped", "none": "no", "no": "no", "on-failure": "on-failure",
		}[p.Condition]
		want("restart_policy", d.Spec.Restart, child.RestartPolicy{Policy: policy, Max: int(valueOr(p.MaxAttempts, 0))})
		if p.Delay != nil {
			want("delay", d.Spec.Backoff.Initial, time.Duration(*p.Delay))
		}
		if p.Window != nil {
			want("window", d.Spec.Backoff.ResetAfter, time.Duration(*p.Window))
		}
	default:
		want("restart", FormatRestart(d.Spec.Restart), orDefault(s.Restart, "no"))
	}
	want("update_config", d.Update, updateOf(s.Deploy))
	if s.StopSignal != "" {
		want("stop_signal", child.SignalName(d.Spec.StopSignal), signalOf(s.StopSignal))
	} else {
		want("stop_signal", d.Spec.StopSignal, syscall.Signal(0))
	}
	grace := time.Duration(valueOr(s.StopGracePeriod, 0))
	if s.StopGracePeriod != nil {
		grace = max(grace, 1)
	}
	want("stop_grace_period", d.Spec.StopGrace, grace)
	if d.Job == nil {
		want("healthcheck", d.Health, healthOf(s.HealthCheck))
	}

	want("ulimits", limitsOf(d.Ulimits), theirLimits(s.Ulimits))
	want("cap_add", d.CapAdd, capsOf(s.CapAdd))
	want("cap_drop", d.CapDrop, capsOf(s.CapDrop))
	want("no-new-privileges", d.NoNewPrivileges, slices.ContainsFunc(s.SecurityOpt, func(o string) bool {
		return o == "no-new-privileges" || o == "no-new-privileges:true" || o == "no-new-privileges=true"
	}))

	want("post_start", stepsOf(d.Spec.PostStart), hooksOf(project, d, s.PostStart, s))
	want("pre_stop", stepsOf(d.Spec.PreStop), hooksOf(project, d, s.PreStop, s))
	var steps []step
	for _, h := range s.PreStart {
		if !h.PerReplica && d.Replica > 1 {
			continue
		}
		steps = append(steps, step{
			slices.Concat([]string(h.Entrypoint), []string(h.Command)), environmentOf(project, d.Spec.Name, h.User, h.Environment), h.WorkingDir, h.User,
		})
	}
	want("pre_start", stepsOf(d.Spec.PreStart), steps)

	var files []File
	for _, f := range s.Secrets {
		files = append(files, fileOf("secret", types.FileReferenceConfig(f), types.FileObjectConfig(project.Secrets[f.Source]), s.User))
	}
	for _, f := range s.Configs {
		files = append(files, fileOf("config", types.FileReferenceConfig(f), types.FileObjectConfig(project.Configs[f.Source]), s.User))
	}
	byTarget := func(a, b File) int { return strings.Compare(a.Kind+a.Target, b.Kind+b.Target) }
	slices.SortFunc(files, byTarget)
	slices.SortFunc(d.Files, byTarget)
	ours := slices.Clone(d.Files)
	for i := range ours {
		ours[i].At = ""
	}
	want("secrets and configs", ours, files)
}

func fileOf(kind string, f types.FileReferenceConfig, source types.FileObjectConfig, user string) File {
	target := orDefault(f.Target, f.Source)
	if !filepath.IsAbs(target) {
		target = filepath.Join(map[string]string{"secret": "/run/secrets", "config": "/"}[kind], target)
	}
	out := File{Kind: kind, Name: f.Source, Source: source.File, Target: target, Variable: source.Environment}
	if source.File == "" {
		out.User, out.UID, out.GID, out.Mode = user, f.UID, f.GID, 0o400
		if f.Mode != nil {
			out.Mode = fs.FileMode(*f.Mode)
		}
		if _, set := mapping(corpusEnv())[source.Environment]; set || source.Environment == "" || source.Content != "" {
			out.Content = &source.Content
		}
	}
	return out
}

func valueOr[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func mapping(env []string) map[string]string {
	m := map[string]string{}
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		m[key] = value
	}
	return m
}

// environmentOf is what a daemon has: the supervisor's environment, but for what secrets come from, and for HOME where the user is another,
// then what Compose gives.
func environmentOf(project *types.Project, daemon, user string, given types.MappingWithEquals) map[string]string {
	env := mapping(corpusEnv())
	if name, _, _ := strings.Cut(user, ":"); name != "" {
		delete(env, "HOME")
	}
	for _, secret := range project.Secrets {
		delete(env, secret.Environment)
	}
	for key, value := range given {
		if value == nil {
			delete(env, key)
		} else {
			env[key] = *value
		}
	}
	env["SIDECAR_INIT_DAEMON"] = daemon
	return env
}

func signalOf(name string) string {
	sig, _ := ParseSignal(name)
	return child.SignalName(sig)
}

func healthOf(h *types.HealthCheckConfig) *Healthcheck {
	if h == nil || h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE" {
		return nil
	}
	out := &Healthcheck{
		Test: h.Test[1:], Interval: time.Duration(valueOr(h.Interval, 0)), Timeout: time.Duration(valueOr(h.Timeout, 0)),
		StartPeriod: time.Duration(valueOr(h.StartPeriod, 0)), StartInterval: time.Duration(valueOr(h.StartInterval, 0)),
		Retries: int(valueOr(h.Retries, 0)),
	}
	if h.Test[0] == "CMD-SHELL" {
		out.Test = append([]string{"/bin/sh", "-c"}, h.Test[1:]...)
	}
	out.Interval = orDefault(out.Interval, 30*time.Second)
	out.Timeout = orDefault(out.Timeout, 30*time.Second)
	out.StartInterval = orDefault(out.StartInterval, 5*time.Second)
	out.Retries = orDefault(out.Retries, 3)
	return out
}

func limitsOf(limits []Ulimit) map[string][2]int64 {
	m := map[string][2]int64{}
	for _, u := range limits {
		m[u.Name] = [2]int64{u.Soft, u.Hard}
	}
	return m
}

func theirLimits(limits map[string]*types.UlimitsConfig) map[string][2]int64 {
	m := map[string][2]int64{}
	for name, u := range limits {
		m[name] = [2]int64{int64(u.Soft), int64(u.Hard)}
		if u.Soft == 0 && u.Hard == 0 {
			m[name] = [2]int64{int64(u.Single), int64(u.Single)}
		}
	}
	return m
}

func capsOf(caps []string) (out []string) {
	for _, c := range caps {
		out = append(out, strings.TrimPrefix(strings.ToUpper(c), "CAP_"))
	}
	return out
}

type step struct {
	argv      []string
	env       map[string]string
	dir, user string
}

func stepsOf(steps []child.Step) (out []step) {
	for _, s := range steps {
		out = append(out, step{s.Argv, mapping(s.Env), s.Dir, s.User})
	}
	return out
}

// hooksOf are steps in the daemon's environment.
func hooksOf(project *types.Project, d *Daemon, hooks []types.ServiceHook, s *types.ServiceConfig) (out []step) {
	for _, h := range hooks {
		env := environmentOf(project, d.Spec.Name, orDefault(h.User, s.User), s.Environment)
		for key, value := range h.Environment {
			if value == nil {
				delete(env, key)
			} else {
				env[key] = *value
			}
		}
		out = append(out, step{h.Command, env, orDefault(h.WorkingDir, s.WorkingDir), orDefault(h.User, s.User)})
	}
	return out
}

// updateOf is what compose-go reads of an update_config, with the defaults of the Compose Specification.
func updateOf(deploy *types.DeployConfig) *UpdateConfig {
	if deploy == nil || deploy.UpdateConfig == nil || reflect.DeepEqual(*deploy.UpdateConfig, types.UpdateConfig{}) {
		return nil
	}
	u := deploy.UpdateConfig
	return &UpdateConfig{
		Parallelism: int(valueOr(u.Parallelism, 1)), Delay: time.Duration(u.Delay), Monitor: time.Duration(u.Monitor),
		Failure: orDefault(FailureAction(u.FailureAction), FailurePause), MaxFailureRatio: float32(u.MaxFailureRatio),
	}
}

// compareRequirements compares what is said of the container, service by service.
func compareRequirements(t *testing.T, b *Bundle, project *types.Project) {
	t.Helper()
	got, want := map[string][]string{}, map[string][]string{}
	for _, q := range b.Requirements {
		if q.Kind == NeedsNothing || strings.HasPrefix(q.Key, "x-sidecar-init.") {
			continue
		}
		line := fmt.Sprintf("%s %s %s %d", q.Kind, q.Target, q.Value, q.Size)
		if q.ReadOnly {
			line += " ro"
		}
		if !slices.Contains(got[q.Service], line) {
			got[q.Service] = append(got[q.Service], line)
		}
	}
	for name, s := range project.Services {
		if len(b.services[name]) == 0 {
			continue
		}
		add := func(kind RequirementKind, target, value string, size int64, more ...string) {
			if line := strings.Join(append([]string{fmt.Sprintf("%s %s %s %d", kind, target, value, size)}, more...), " "); !slices.Contains(want[name], line) {
				want[name] = append(want[name], line)
			}
		}
		if s.ReadOnly {
			add(NeedsReadOnly, "", "", 0)
		}
		for _, v := range s.Volumes {
			var more []string
			if v.ReadOnly {
				more = []string{"ro"}
			}
			switch v.Type {
			case types.VolumeTypeBind:
				add(NeedsPath, path.Clean(v.Target), v.Source, 0, more...)
			case types.VolumeTypeVolume:
				add(NeedsMount, path.Clean(v.Target), v.Source, 0, more...)
			case types.VolumeTypeTmpfs:
				add(NeedsTmpfs, path.Clean(v.Target), "", 0)
			}
		}
		for _, v := range s.Tmpfs {
			target, _, _ := strings.Cut(v, ":")
			add(NeedsTmpfs, path.Clean(target), "", 0)
		}
		for host, addresses := range s.ExtraHosts {
			for _, a := range addresses {
				add(NeedsHost, host, a, 0)
			}
		}
		for k, v := range s.Sysctls {
			add(NeedsSysctl, k, v, 0)
		}
		for _, d := range s.Devices {
			if strings.HasPrefix(d.Source, "/") {
				add(NeedsDevice, d.Target, d.Source, 0)
			}
		}
		if s.ShmSize > 0 {
			add(NeedsShm, "/dev/shm", "", int64(s.ShmSize))
		}
	}
	for _, m := range []map[string][]string{got, want} {
		for _, lines := range m {
			slices.Sort(lines)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("requirements: got %q, want %q", got, want)
	}
}

// compareLimits compares what limits a service has, in either spelling.
func compareLimits(want func(what string, got, want any), d *Daemon, s *types.ServiceConfig) {
	l := cgroup.Limits{Memory: int64(s.MemLimit), Reservation: int64(s.MemReservation), Quota: s.CPUQuota, Pids: max(s.PidsLimit, 0)}
	cpus, reserved := float64(s.CPUS), 0.0
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		most := s.Deploy.Resources.Limits
		l.Memory, l.Pids = max(l.Memory, int64(most.MemoryBytes)), max(l.Pids, most.Pids)
		cpus = max(cpus, float64(most.NanoCPUs))
	}
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil {
		l.Reservation = max(l.Reservation, int64(s.Deploy.Resources.Reservations.MemoryBytes))
		reserved = float64(s.Deploy.Resources.Reservations.NanoCPUs)
	}
	switch {
	case l.Quota != 0:
		l.Period = s.CPUPeriod
	case cpus != 0:
		l.Period = max(s.CPUPeriod, 0)
		if l.Period == 0 {
			l.Period = 100_000
		}
		l.Quota = int64(math.Round(cpus * float64(l.Period)))
	}
	if l.Memory != 0 && s.MemSwapLimit != -1 {
		swap := l.Memory
		if s.MemSwapLimit != 0 {
			swap = int64(s.MemSwapLimit) - l.Memory
		}
		l.Swap = &swap
	}
	if shares := s.CPUShares; shares != 0 {
		l.Weight = 1 + (shares-2)*9999/262142
	} else if reserved != 0 {
		l.Weight = 1 + (int64(reserved*1024)-2)*9999/262142
	}
	if got := d.Limits; got.Swap == nil || l.Swap == nil || *got.Swap != *l.Swap {
		want("swap", got.Swap, l.Swap)
	} else {
		got.Swap = l.Swap
		want("limits", got, l)
		return
	}
	want("limits", d.Limits, l)
}
