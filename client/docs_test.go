package client

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestDocs: docs/control.md has a row for each state, each type of event and each key of its data.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]*) \|`).FindAllSubmatch(page, -1) {
		for key := range strings.SplitSeq(string(m[1]), ", ") {
			rows[strings.Trim(key, "`")] = true
		}
	}
	var want []string
	for _, s := range []State{
		StateWaiting, StateStarting, StateRunning, StateReady, StateUnhealthy, StatePaused, StateStopping, StateBackoff, StateExited,
		StateStopped, StateGaveUp, StateScheduled,
	} {
		want = append(want, string(s))
	}
	for _, kind := range []string{
		EventStarted, EventReady, EventUnhealthy, EventExited, EventRestarting, EventGaveUp, EventStopped, EventSignalled, EventPaused, EventUnpaused,
		EventAdded, EventRemoved, EventUpdated,
	} {
		want = append(want, strings.TrimPrefix(kind, "dev.sidecar-init.daemon."))
	}
	for _, kind := range []string{
		EventJobStarted, EventJobSucceeded, EventJobFailed, EventJobCancelled, EventJobSkipped, EventJobMissed,
	} {
		want = append(want, strings.TrimPrefix(kind, "dev.sidecar-init."))
	}
	data := reflect.TypeFor[EventData]()
	for i := range data.NumField() {
		key, _, _ := strings.Cut(data.Field(i).Tag.Get("json"), ",")
		want = append(want, key)
	}
	for _, key := range want {
		if !rows[key] {
			t.Errorf("docs/control.md has no row for %s", key)
		}
	}
	for _, kind := range []string{EventLost, EventReloaded, EventReloadFailed} {
		if !strings.Contains(string(page), kind) {
			t.Errorf("docs/control.md does not mention %s", kind)
		}
	}
}
