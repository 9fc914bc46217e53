//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/plan"
)

// variants are lines of a service, of which each has one of some values, or is not there.
func variants(dir string) map[string][]string {
	return map[string][]string{
		"command":           {"[a]", "[a, b]", "a"},
		"entrypoint":        {"[e]", "[]"},
		"environment":       {"{ A: x }", "{ A: y }", "[A=x]", "{ A: x, TOKEN_1: z }"},
		"env_file":          {dir + "/one.env", dir + "/two.env"},
		"working_dir":       {"/", "/tmp"},
		"user":              {"root", "nobody"},
		"group_add":         {"[tty]", "['5', adm]"},
		"restart":           {"always", "'no'", "on-failure:3"},
		"deploy":            {"{ restart_policy: { condition: any, delay: 2s } }", "{ update_config: { delay: 1s } }", "{ update_config: { delay: 2s } }"},
		"stop_signal":       {"SIGINT", "TERM"},
		"stop_grace_period": {"1s", "2s"},
		"healthcheck":       {"{ test: [CMD, x] }", "{ test: [CMD, x], interval: 9s }", "{ disable: true }"},
		"ulimits":           {"{ nofile: 100 }", "{ nofile: { soft: 100, hard: 100 } }"},
		"cap_add":           {"[NET_RAW]", "[ALL]"},
		"cap_drop":          {"[ALL]", "[KILL]"},
		"security_opt":      {"['no-new-privileges:true']"},
		"oom_score_adj":     {"5", "0"},
		"umask":             {"022", "0", "'077'"},
		"mem_limit":         {"64m", "32m", "0"},
		"memswap_limit":     {"64m", "96m", "-1"},
		"cpus":              {"0.5", "'1'"},
		"cpuset":            {"'0'", "0-1"},
		"secrets":           {"[one]", "[{ source: one, target: two }]"},
		"configs":           {"[{ source: c, target: /c }]"},
		"pre_start":         {"[{ command: [p] }]", "[{ command: [p], environment: { B: c } }]"},
		"post_start":        {"[{ command: [p] }]", "[{ command: [q] }]"},
		"pre_stop":          {"[{ command: [p] }]", "[{ command: [p], user: nobody }]"},
		"labels":            {"{ a: b }", "[a=c]"},
		"attach":            {"true", "false"},
		"image":             {"one", "two"},
		"x-sidecar-init": {
			"{ critical: true }", "{ critical: false }", "{ ready: { tcp: 80 } }", "{ ready: { tcp: 81 } }", "{ ready: { exec: [x] } }", "{ kill_mode: process }",
			"{ backoff: { initial: 2s } }", "{ limit: { restarts: 2, window: 1m } }", "{ private_env: ['TOKEN_*'] }", "{ overflow: drop }", "{ overflow: block }",
			"{ watch: [{ path: /x }] }", "{ watch: [{ path: /y, action: reload }] }", "{ success_exit_codes: [3] }", "{ no_restart_exit_codes: [3] }",
			"{ ready: { log: up } }", "{ ready: { log: up, timeout: 3s } }", "{ ready: { notify: sd } }",
		},
	}
}

// TestPlanIsCompare: what the plan of a reload says of a daemon, and what root does with its two definitions, is the same, for random
// changes of random keys.
func TestPlanIsCompare(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"one.env": "V=1\n", "two.env": "V=2\n", "secret": "s"} {
		write(t, filepath.Join(dir, name), text)
	}
	all := variants(dir)
	keys := slices.Sorted(maps.Keys(all))
	load := func(rt *rapid.T, lines map[string]string) *bundle.Bundle {
		var b strings.Builder
		fmt.Fprintf(&b, "secrets: { one: { file: %s/secret } }\nconfigs: { c: { file: %s/secret } }\nservices:\n  other: { command: [o] }\n  a:\n", dir, dir)
		for _, k := range slices.Sorted(maps.Keys(lines)) {
			fmt.Fprintf(&b, "    %s: %s\n", k, lines[k])
		}
		file := filepath.Join(dir, "bundle.yaml")
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			rt.Fatal(err)
		}
		got, err := bundle.Load(bundle.Options{Files: []string{file}, Env: []string{"PATH=/bin", "TOKEN_2=x"}})
		if err != nil {
			rt.Skip(err) // such as a deploy that disagrees
		}
		digest(got)
		return got
	}
	rapid.Check(t, func(rt *rapid.T) {
		before := map[string]string{"command": "[a]"}
		for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 6, rapid.ID[string]).Draw(rt, "keys") {
			before[k] = rapid.SampledFrom(all[k]).Draw(rt, k)
		}
		after := maps.Clone(before)
		for _, k := range rapid.SliceOfN(rapid.SampledFrom(keys), 0, 3).Draw(rt, "changed") {
			if rapid.Bool().Draw(rt, "gone") && k != "command" {
				delete(after, k)
			} else {
				after[k] = rapid.SampledFrom(all[k]).Draw(rt, k)
			}
		}
		old, next := load(rt, before), load(rt, after)
		p := plan.New(old, next, map[string]child.State{"a": child.StateRunning, "other": child.StateRunning})
		for i := range next.Daemons {
			was, err := (&workshop{limits: &limits{}}).define(&old.Daemons[i], &runFlags{})
			if err != nil {
				rt.Fatal(err)
			}
			will, err := (&workshop{limits: &limits{}}).define(&next.Daemons[i], &runFlags{})
			if err != nil {
				rt.Fatal(err)
			}
			want := map[child.Change]plan.Action{child.SameSpec: "", child.OtherRules: plan.Update, child.OtherProgram: plan.Restart}[was.Compare(&will)]
			if got := p.Action(will.Name); got != want {
				rt.Errorf("%s: the plan says %q, root would do %q\n%v\n%v\n%s", will.Name, got, want, before, after, p.Text())
			}
		}
	})
}
