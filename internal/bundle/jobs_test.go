package bundle

import (
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
)

// TestJobMistakes: what only the whole of a file shows.
func TestJobMistakes(t *testing.T) {
	const services = "services:\n  web: { command: [w] }\n"
	for _, tt := range []struct{ name, text, want string }{
		{"a service on a job", "services:\n  web: { command: [w], depends_on: [j] }\njobs:\n  j: { command: [x], triggers: { manual: true } }\n", "2:37: the service web cannot depend on the job j"},
		{"one name", services + "jobs:\n  web: { command: [x], triggers: { manual: true } }\n", "4:3: web is the name of a service and of a job"},
		{"on itself", services + "jobs:\n  j: { command: [x], depends_on: [j], triggers: { manual: true } }\n", "j waits for itself: j → j"},
		{"on nobody", services + "jobs:\n  j: { command: [x], depends_on: [wbe], triggers: { manual: true } }\n", `j depends on an unknown service: "wbe"; did you mean "web"?`},
		{"the supervisor's name", services + "jobs:\n  sidecar-init: { command: [x], triggers: { manual: true } }\n", "a job cannot be called sidecar-init"},
		{"restarted by a signal", "x-sidecar-init: { signals: { HUP: { restart: j } } }\n" + services + "jobs:\n  j: { command: [x], triggers: { manual: true } }\n", "SIGHUP cannot restart j, which is a job"},
		{"the exit code", "x-sidecar-init: { exit_code_from: j }\n" + services + "jobs:\n  j: { command: [x], triggers: { manual: true } }\n", "exit_code_from: j is a job"},
		{"ready", services + "jobs:\n  j: { command: [x], triggers: { manual: true }, x-sidecar-init: { ready: { tcp: 1 } } }\n", `unknown key "ready" in x-sidecar-init`},
		{"timeout of a service", "services:\n  web: { command: [w], x-sidecar-init: { timeout: 1s } }\n", `unknown key "timeout" in x-sidecar-init`},
		{"no time", services + "jobs:\n  j: { command: [x], triggers: { manual: true }, x-sidecar-init: { timeout: 0s } }\n", "timeout must be more than 0"},
		{"no command", services + "jobs:\n  j: { triggers: { manual: true } }\n", "4:3: the job j has no command"},
		{"somebody's secret", "services:\n  web: { command: [w], x-sidecar-init: { private_env: [TOKEN] } }\njobs:\n  j: { command: [x], environment: [TOKEN], triggers: { manual: true } }\n", "TOKEN is private to web"},
	} {
		_, err := loadText(t, tt.text, Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestJob(t *testing.T) {
	b, err := loadText(t, `
services:
  db: { command: [d], restart: always }
jobs:
  j:
    entrypoint: [run]
    command: [it]
    depends_on: [db]
    triggers: { schedule: [ "0 3 * * *", { cron: "@hourly", concurrency: queue, missed_fires: skip, timezone: UTC } ] }
    x-sidecar-init: { timeout: 90s, critical: true }
  k: { command: [x], triggers: { manual: false } }
`, Options{Env: []string{"TZ=Europe/Berlin"}, Restart: child.RestartPolicy{Policy: child.RestartAlways}})
	if err != nil {
		if strings.Contains(err.Error(), "time zone") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	d := b.Daemons[1]
	if d.Spec.Job != child.TriggerSchedule || d.Spec.Restart.Policy != "" || d.Spec.Timeout != 90*time.Second || !d.Spec.Critical || len(d.Spec.After) != 1 {
		t.Errorf("got %+v", d.Spec)
	}
	if j := d.Job; !j.Manual || len(j.Triggers) != 2 || j.Triggers[0].Timezone != "Europe/Berlin" || j.Triggers[0].Queue || !j.Triggers[1].Queue || !j.Triggers[1].SkipMissed || j.Triggers[1].Timezone != "UTC" || j.Entrypoint[0] != "run" {
		t.Errorf("got %+v", j)
	}
	var notes []string
	for _, n := range b.Notes {
		notes = append(notes, n.Text)
	}
	for _, want := range []string{"in the zone of the variable TZ, Europe/Berlin", "has @hourly", "several schedules"} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("no note says %q: %q", want, notes)
		}
	}
	if len(b.Warnings) != 1 || !strings.Contains(b.Warnings[0].Text, "k never runs") {
		t.Errorf("the warnings are %v", b.Warnings)
	}
	if plan := b.Plan(); len(plan.Jobs) != 2 || len(plan.Daemons) != 1 || len(plan.StartWaves) != 1 || len(plan.Stop) != 3 {
		t.Errorf("the plan is %+v", plan)
	}
}

// TestJobsAlone: a bundle needs no services, but jobs by hand keep none running.
func TestJobsAlone(t *testing.T) {
	for triggers, warns := range map[string]bool{`{ schedule: ["0 3 * * *"] }`: false, "{ manual: true }": true} {
		b, err := loadText(t, "jobs:\n  j: { command: [x], triggers: "+triggers+" }\n", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(b.Plan().Warnings, "\n"), "run would end at once"); got != warns {
			t.Errorf("%s: warned: %v", triggers, got)
		}
	}
}

// TestBadTZ: a schedule that is in the zone of TZ, which there is not.
func TestBadTZ(t *testing.T) {
	_, err := loadText(t, "jobs:\n  j: { command: [x], triggers: { schedule: [\"0 3 * * *\"] } }\n", Options{Env: []string{"TZ=Mars/Base"}})
	if err == nil || !strings.Contains(err.Error(), "2:45: the schedule is in the zone of the variable TZ: ") {
		t.Errorf("got %v", err)
	}
}
