package bundle

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestUpdateConfig(t *testing.T) {
	for _, tt := range []struct {
		config string
		want   *UpdateConfig
	}{
		{`{}`, nil},
		{`{parallelism: 2}`, &UpdateConfig{Parallelism: 2, Failure: FailurePause}},
		{`{order: stop-first, x-note: any}`, &UpdateConfig{Parallelism: 1, Failure: FailurePause}},
		{
			`{parallelism: 0, delay: 1s, monitor: 1m30s, failure_action: rollback, max_failure_ratio: 0.5, order: stop-first}`,
			&UpdateConfig{Delay: time.Second, Monitor: 90 * time.Second, Failure: FailureRollback, MaxFailureRatio: 0.5},
		},
		{
			`{parallelism: "${TWO}", failure_action: continue, max_failure_ratio: "${HALF}"}`,
			&UpdateConfig{Parallelism: 2, Failure: FailureContinue, MaxFailureRatio: 0.5},
		},
	} {
		b := mustLoad(t, "services: {a: {command: [a], scale: 2, deploy: {update_config: "+tt.config+"}}}", Options{Env: []string{"TWO=2", "HALF=0.5"}})
		for i := range b.Daemons {
			if got := b.Daemons[i].Update; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: got %+v, want %+v", tt.config, got, tt.want)
			}
		}
		if len(b.PassedOver) > 0 {
			t.Errorf("%s: passed over: %v", tt.config, b.PassedOver)
		}
	}
}

func TestUpdateConfigIsWrong(t *testing.T) {
	for config, want := range map[string]string{
		`all`:                         "update_config must be a mapping",
		`{parallelism: -1}`:           "parallelism must be between 0",
		`{parallelism: half}`:         "parallelism must be a whole number, not ",
		`{delay: 5}`:                  "delay must be a duration",
		`{monitor: -1s}`:              "monitor must be a duration",
		`{max_failure_ratio: 1.5}`:    "max_failure_ratio must be between 0 and 1",
		`{max_failure_ratio: .nan}`:   ".nan is not a number here",
		`{max_failure_ratio: [1]}`:    "max_failure_ratio must be a number between 0 and 1",
		`{max_failure_ratio: "half"}`: `max_failure_ratio must be a number, not "half"`,
		`{failure_action: rolback}`:   `failure_action must be pause, continue or rollback, not "rolback"`,
		`{order: start-first}`:        "order: start-first is not supported: for a while two replicas would want one port; use stop-first",
		`{order: last}`:               "order must be stop-first or start-first",
		`{parallel: 2}`:               `unknown key "parallel" in update_config`,
	} {
		_, err := loadText(t, "services:\n  a:\n    command: [a]\n    deploy:\n      update_config: "+config, Options{})
		if got := fmt.Sprint(err); !strings.Contains(got, want) || !strings.Contains(got, "bundle.yaml:5:") {
			t.Errorf("%s: got %v, want line 5: %s", config, err, want)
		}
	}
	mustLoad(t, "services: {a: {command: [a]}, b: {profiles: [x], deploy: {update_config: {order: start-first}}}}", Options{})
}

// TestProcessors: which processors a cpuset means.
func TestProcessors(t *testing.T) {
	for text, want := range map[string][]int{"0": {0}, "0-2,5": {0, 1, 2, 5}, " 1 , 3-3": {1, 3}, "": nil} {
		b := mustLoad(t, "services: {a: {command: [a], cpuset: \""+text+"\"}}", Options{})
		if got := b.Daemons[0].CPUs; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"a", "2-1", "1-", "-1", "0-5000", "1;2"} {
		if _, err := loadText(t, "services: {a: {command: [a], cpuset: \""+text+"\"}}", Options{}); err == nil || !strings.Contains(err.Error(), "cpuset must have numbers") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
