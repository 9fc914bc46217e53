package bundle

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDocs: the page has a row for each key that is honoured, passed over or our own.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../docs/bundle-file.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for key := range strings.SplitSeq(cells[1], ",") {
				rows[strings.Trim(key, " `")] = true
			}
		}
	}
	keys := slices.Concat(honoured, joined, keysOf(passedOver), honouredTop, keysOf(passedTop), keysOf(refusedTop), ownKeys, topKeys)
	for _, key := range keys {
		if !rows[key] {
			t.Errorf("docs/bundle-file.md has no row for %s", key)
		}
	}
	for _, key := range slices.Concat(readyKeys, []string{"fd:N", "SIDECAR_INIT_DAEMON", "!reset", "!override"}) {
		if !strings.Contains(string(data), key) {
			t.Errorf("docs/bundle-file.md does not mention %s", key)
		}
	}
}
