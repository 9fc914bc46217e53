package child_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/testproc"
)

// TestSteps: what runs before and beside a daemon, at exactly which time. The steps are processes with names of their own.
func TestSteps(t *testing.T) {
	const s = time.Second
	step := func(names ...string) []child.Step {
		var list []child.Step
		for _, name := range names {
			list = append(list, child.Step{Name: name, Program: child.Program{Argv: []string{"/bin/" + name}}})
		}
		return list
	}
	once := func(list []child.Step, env ...string) []child.Step {
		for i := range list {
			list[i].Once, list[i].Env = true, env
		}
		return list
	}
	mixed := slices.Concat(once(step("pre")), step("each"), once(step("pre2")))
	changed := slices.Concat(once(step("pre")), step("each"), once(step("pre2"), "A=b"))
	pre, post, stop := step("pre", "pre2"), step("post"), step("stop")
	one := pre[:1]
	takes := func(d time.Duration, code int) []testproc.Life {
		return []testproc.Life{{ExitAfter: d, Exit: child.Exit{Code: code}}}
	}
	cannot := []testproc.Life{{StartError: &child.StartError{Reason: "no such file", Code: 127}}}
	always := child.RestartPolicy{Policy: child.RestartAlways}
	fixed := child.Backoff{Initial: s, Fixed: true}
	type lives = map[string][]testproc.Life
	type at struct {
		when time.Duration
		what child.Msg
	}
	final := child.Terminate{Final: true, Half: 4 * s}
	kill := at{60 * s, child.Kill{}}
	for _, tt := range []struct {
		name   string
		spec   child.Spec
		lives  lives
		told   []at // besides Start at 0
		events string
		trace  string // who was executed and how it ended; empty: it is not looked at
	}{
		{
			name: "pre_start, one after the other", spec: child.Spec{PreStart: pre},
			lives: lives{"pre": takes(s, 0), "pre2": takes(2*s, 0)}, told: []at{{9 * s, final}},
			events: `
				0s starting
				3s started
				9s exited with code -15 (SIGTERM), as requested`,
			trace: `
				pre/1 spawned
				pre/1 ended code 0
				pre2/1 spawned
				pre2/1 ended code 0
				web/1 spawned
				web/1 ended code -15 (SIGTERM)`,
		},
		{
			name: "pre_start fails", spec: child.Spec{PreStart: pre}, lives: lives{"pre": takes(s, 3)}, told: []at{{9 * s, final}},
			events: `
				0s starting
				1s exited with code 3`,
			trace: `
				pre/1 spawned
				pre/1 ended code 3`,
		},
		{
			name: "pre_start cannot be started", spec: child.Spec{PreStart: pre, Restart: always}, lives: lives{"pre": cannot}, told: []at{{9 * s, final}},
			events: `
				0s starting
				0s failed: no such file`,
		},
		{
			name: "pre_start runs again with each life", spec: child.Spec{PreStart: one, Restart: always, Backoff: fixed},
			lives: lives{"pre": {{ExitAfter: s, Exit: child.Exit{Code: 1}}, {ExitAfter: s}}}, told: []at{{9 * s, child.Restart{}}, {20 * s, final}},
			events: `
				0s starting
				1s exited with code 1, restart 1 in 1s
				2s starting
				3s started
				9s restarting
				9s exited with code -15 (SIGTERM), as requested
				10s started in place
				20s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "what is to run once does, when it has succeeded", spec: child.Spec{PreStart: mixed, Restart: always, Backoff: fixed},
			lives: lives{"pre": takes(s, 0), "each": takes(s, 0), "pre2": {{ExitAfter: s, Exit: child.Exit{Code: 1}}, {ExitAfter: s}}},
			told: []at{
				{10 * s, child.Restart{}},
				{20 * s, child.Revise{Spec: &child.Spec{Name: "web", Program: child.Program{Argv: []string{"web"}}, PreStart: changed}, Restart: true}},
				{30 * s, final},
			},
			events: `
				0s starting
				3s exited with code 1, restart 1 in 1s
				4s starting
				6s started
				10s restarting
				10s exited with code -15 (SIGTERM), as requested
				11s started in place
				20s restarting
				20s exited with code -15 (SIGTERM), as requested
				22s started in place
				30s exited with code -15 (SIGTERM), as requested`,
			trace: `
				pre/1 spawned
				pre/1 ended code 0
				each/1 spawned
				each/1 ended code 0
				pre2/1 spawned
				pre2/1 ended code 1
				each/2 spawned
				each/2 ended code 0
				pre2/2 spawned
				pre2/2 ended code 0
				web/1 spawned
				web/1 ended code -15 (SIGTERM)
				each/3 spawned
				each/3 ended code 0
				web/2 spawned
				web/2 ended code -15 (SIGTERM)
				each/4 spawned
				each/4 ended code 0
				pre2/3 spawned
				pre2/3 ended code 0
				web/3 spawned
				web/3 ended code -15 (SIGTERM)`,
		},
		{
			name: "pre_start is stopped", spec: child.Spec{PreStart: pre}, lives: lives{"pre": {{On: deaf}}},
			told: []at{{s, child.Terminate{}}, kill},
			events: `
				0s starting
				6s killed after 5s of SIGTERM
				6s exited with code -9 (SIGKILL), as requested
				6s stopped`,
		},
		{
			name: "the bundle ends during pre_start: the program is not started", spec: child.Spec{PreStart: pre},
			lives: lives{"pre": takes(2*s, 0)}, told: []at{{s, child.Retire{}}},
			events: `
				0s starting
				2s exited with code 0`,
			trace: `
				pre/1 spawned
				pre/1 ended code 0`,
		},
		{
			name: "post_start runs beside it, and ends with it", spec: child.Spec{PostStart: post}, lives: lives{"web": takes(2*s, 0)}, told: []at{kill},
			events: `
				0s starting
				0s started
				2s exited with code 0`,
			trace: `
				web/1 spawned
				post/1 spawned
				web/1 ended code 0
				post/1 ended code -9 (SIGKILL)`,
		},
		{
			name: "post_start fails", spec: child.Spec{PostStart: post}, lives: lives{"post": takes(s, 3)}, told: []at{{9 * s, final}},
			events: `
				0s starting
				0s started
				1s unhealthy: post_start (/bin/post) ended with code 3
				9s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "post_start cannot be started", spec: child.Spec{PostStart: post, Restart: always, Backoff: fixed},
			lives: lives{"post": append(slices.Clone(cannot), testproc.Life{ExitAfter: s})}, told: []at{{9 * s, final}},
			events: `
				0s starting
				0s started
				0s unhealthy: post_start cannot be started: no such file
				0s exited with code -15 (SIGTERM), restart 1 in 1s
				1s starting
				1s started
				9s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "pre_stop, then the stop signal", spec: child.Spec{PreStop: stop}, lives: lives{"stop": takes(s, 0)},
			told: []at{{s, child.Terminate{}}, kill},
			events: `
				0s starting
				0s started
				2s exited with code -15 (SIGTERM), as requested
				2s stopped`,
		},
		{
			name: "pre_stop fails", spec: child.Spec{PreStop: stop}, lives: lives{"stop": takes(s, 1), "web": {{On: deaf}}},
			told: []at{{s, child.Terminate{}}, kill},
			events: `
				0s starting
				0s started
				2s stepfailed: pre_stop (/bin/stop) ended with code 1
				6s killed after 5s of SIGTERM
				6s exited with code -9 (SIGKILL), as requested
				6s stopped`,
		},
		{
			name: "pre_stop hangs", spec: child.Spec{PreStop: stop}, lives: lives{"stop": {{On: deaf}}},
			told: []at{{s, child.Restart{}}, {s, child.Restart{}}, {9 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s restarting
				3.5s stepfailed: pre_stop took too long
				3.5s exited with code -15 (SIGTERM), as requested
				3.5s started in place
				9s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "the next life waits until the steps of the last one are gone", spec: child.Spec{PostStart: post},
			lives: lives{"post": {{KillDelay: 20 * time.Millisecond}}}, told: []at{{s, child.Restart{}}, {9 * s, final}},
			events: `
				0s starting
				0s started
				1s restarting
				1s exited with code -15 (SIGTERM), as requested
				1.02s started in place
				9s exited with code -15 (SIGTERM), as requested`,
			trace: `
				web/1 spawned
				post/1 spawned
				web/1 ended code -15 (SIGTERM)
				post/1 ended code -9 (SIGKILL)
				web/2 spawned
				post/2 spawned
				web/2 ended code -15 (SIGTERM)
				post/2 ended code -9 (SIGKILL)`,
		},
		{
			name: "but not for ever", spec: child.Spec{PreStop: stop, StopGrace: 4 * s}, lives: lives{"stop": {{KillDelay: 3 * s}}},
			told: []at{{s, child.Restart{}}, {9 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				1s restarting
				3s stepfailed: pre_stop took too long
				3s exited with code -15 (SIGTERM), as requested
				3.05s started in place
				9s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "pre_stop ends post_start", spec: child.Spec{PostStart: post, PreStop: stop}, lives: lives{"stop": takes(s, 0)},
			told: []at{{s, child.Terminate{}}, kill},
			events: `
				0s starting
				0s started
				2s exited with code -15 (SIGTERM), as requested
				2s stopped`,
		},
		{
			name: "the daemon ends during pre_stop", spec: child.Spec{PreStop: stop}, lives: lives{"web": takes(2*s, 5)},
			told: []at{{s, child.Terminate{}}, kill},
			events: `
				0s starting
				0s started
				2s exited with code 5, as requested
				2s stopped`,
		},
		{
			name: "no pre_stop if it ends by itself", spec: child.Spec{PreStop: stop}, lives: lives{"web": takes(2*s, 5)}, told: []at{kill},
			events: `
				0s starting
				0s started
				2s exited with code 5`,
		},
		{
			name: "pre_stop at the end has half of the grace", spec: child.Spec{PreStop: stop}, told: []at{{s, final}},
			events: `
				0s starting
				0s started
				5s stepfailed: pre_stop took too long
				5s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "also after a slow start", spec: child.Spec{PreStop: stop}, lives: lives{"web": {{StartDelay: 4 * s}}}, told: []at{{s, final}},
			events: `
				0s starting
				4s started
				5s stepfailed: pre_stop took too long
				5s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "or half of its own", spec: child.Spec{PreStop: stop, StopGrace: 3 * s}, lives: lives{"web": {{On: deaf}}}, told: []at{{s, final}},
			events: `
				0s starting
				0s started
				2.5s stepfailed: pre_stop took too long
				4s killed after 3s of SIGTERM
				4s exited with code -9 (SIGKILL), as requested`,
		},
		{
			name: "the bundle ends during pre_stop", spec: child.Spec{PreStop: stop}, told: []at{{s, child.Terminate{}}, {2 * s, final}},
			events: `
				0s starting
				0s started
				2s exited with code -15 (SIGTERM), as requested`,
		},
		{
			name: "kill during pre_stop", spec: child.Spec{PreStop: stop}, told: []at{{s, final}, {2 * s, child.Kill{}}},
			events: `
				0s starting
				0s started
				2s exited with code -9 (SIGKILL), as requested`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := experiment(t, tt.spec, tt.lives, func(l *lab) {
				l.tell(child.Start{})
				for _, told := range tt.told {
					l.at(told.when, told.what)
				}
			})
			want(t, "events", l.events, tt.events)
			if tt.trace != "" {
				trace := slices.DeleteFunc(l.fake.Trace(), func(s string) bool {
					return !strings.HasSuffix(s, "spawned") && !strings.Contains(s, "ended")
				})
				want(t, "trace", trace, tt.trace)
			}
		})
	}
}
