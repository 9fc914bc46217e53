package metrics

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rules = "../../docs/alerts.yml"

// TestAlerts: each rule is about metrics that there are, and has its row on the page.
func TestAlerts(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	text, page, metrics := read(rules), read("../../docs/alerts.md"), read("testdata/metrics.txt")
	for _, name := range regexp.MustCompile(`sidecar_init_\w+`).FindAllString(text, -1) {
		if !strings.Contains(metrics, "# TYPE "+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	var alerts, rows []string
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(text, -1) {
		alerts = append(alerts, m[1])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(page, -1) {
		rows = append(rows, m[1])
	}
	if !slices.Equal(alerts, rows) {
		t.Errorf("the alerts are %v, the rows %v", alerts, rows)
	}
}

// TestAlertsFire: promtool lets each rule fire, for what it is meant for and for nothing else.
func TestAlertsFire(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; on Debian it is in the package prometheus")
	}
	file, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	// A sample each minute: of what is ill, and of what is well.
	const hour = 60
	cases := []struct{ alert, ill, labels, well string }{
		{"BundleUnhealthy", `sidecar_init_healthy{instance="a"}|0x200`, `instance: a`, `sidecar_init_healthy{instance="b"}|1x200`},
		{"DaemonCrashLoop", `sidecar_init_daemon_failures{daemon="a"}|3x200`, `daemon: a`, `sidecar_init_daemon_failures{daemon="b"}|2x200`},
		{"DaemonGaveUp", `sidecar_init_daemon_state{daemon="a",state="gave-up"}|1x200`, `{ daemon: a, state: gave-up }`, `sidecar_init_daemon_state{daemon="b",state="running"}|1x200`},
		{"DaemonKilledForMemory", `sidecar_init_daemon_oom_kills_total{daemon="a"}|0x115 1x100`, `daemon: a`, `sidecar_init_daemon_oom_kills_total{daemon="b"}|2x200`},
		{
			"DaemonSilent", `sidecar_init_log_last_line_timestamp_seconds{daemon="a"}|60x200 ; sidecar_init_daemon_up{daemon="a"}|1x200`, `daemon: a`,
			`sidecar_init_log_last_line_timestamp_seconds{daemon="b"}|60+60x200 ; sidecar_init_daemon_up{daemon="b"}|1x200 ; sidecar_init_log_last_line_timestamp_seconds{daemon="c"}|60x200 ; sidecar_init_daemon_up{daemon="c"}|0x200`,
		},
		{"LogLinesDropped", `sidecar_init_log_dropped_lines_total{daemon="a"}|0+5x200`, `daemon: a`, `sidecar_init_log_dropped_lines_total{daemon="b"}|7x200`},
		{"EventsDropped", `sidecar_init_events_dropped_total{sink="a"}|0+1x200`, `sink: a`, `sidecar_init_events_dropped_total{sink="b"}|0x200`},
		{"ReloadFailed", `sidecar_init_config_last_reload_successful{instance="a"}|0x200`, `instance: a`, `sidecar_init_config_last_reload_successful{instance="b"}|1x200`},
		{"JobFailed", `sidecar_init_job_runs_total{job="a",result="failed"}|0x100 1x100`, `{ job: a, result: failed }`, `sidecar_init_job_runs_total{job="b",result="succeeded"}|0+1x200`},
		{
			"JobIsLate", `sidecar_init_job_last_success_timestamp_seconds{job="a"}|0x2000 ; sidecar_init_job_next_fire_timestamp_seconds{job="a"}|9e9x2000`, `job: a`,
			`sidecar_init_job_last_success_timestamp_seconds{job="b"}|0+60x2000 ; sidecar_init_job_next_fire_timestamp_seconds{job="b"}|9e9x2000 ; sidecar_init_job_last_success_timestamp_seconds{job="c"}|0x2000 ; sidecar_init_job_next_fire_timestamp_seconds{job="c"}|0x2000`,
		},
	}
	var out strings.Builder
	fmt.Fprintf(&out, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", file)
	for _, c := range cases {
		out.WriteString("  - interval: 1m\n    input_series:\n")
		for series := range strings.SplitSeq(c.ill+" ; "+c.well, " ; ") {
			name, values, _ := strings.Cut(series, "|")
			fmt.Fprintf(&out, "      - { series: '%s', values: '%s' }\n", name, values)
		}
		at := 2 * hour
		if c.alert == "JobIsLate" {
			at = 28 * hour
		}
		labels := c.labels
		if !strings.HasPrefix(labels, "{") {
			labels = "{ " + labels + " }"
		}
		fmt.Fprintf(&out, "    alert_rule_test:\n      - { eval_time: %dm, alertname: %s, exp_alerts: [ { exp_labels: %s } ] }\n", at, c.alert, labels)
	}
	// What the summary says is not compared: promtool wants it whole.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bare := regexp.MustCompile(`(?m)^ +annotations: .*\n`).ReplaceAll(text, nil)
	test := strings.Replace(out.String(), fmt.Sprintf("%q", file), `"rules.yml"`, 1)
	for name, content := range map[string]string{"rules.yml": string(bare), "test.yml": test} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"check", "rules", file}, {"test", "rules", filepath.Join(dir, "test.yml")}} {
		if said, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, said)
		}
	}
}
