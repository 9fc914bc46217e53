package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocs: docs/control.md has each metric, with its labels, in this order.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got, want strings.Builder
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z, ]*)\\|").FindAllSubmatch(page, -1) {
		if strings.Contains(string(m[1]), "_") {
			got.WriteString(string(m[1]) + " " + strings.TrimSpace(string(m[2])) + "\n")
		}
	}
	label := regexp.MustCompile(`([a-z]+)="`)
	last := ""
	for line := range strings.Lines(string(golden)) {
		name := strings.FieldsFunc(line, func(r rune) bool { return r == '{' || r == ' ' })[0]
		if name == "#" || name == last {
			continue
		}
		var labels []string
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			labels = append(labels, m[1])
		}
		want.WriteString(name + " " + strings.Join(labels, ", ") + "\n")
		last = name
	}
	if got.String() != want.String() {
		t.Errorf("docs/control.md has\n%s\nwant\n%s", got.String(), want.String())
	}
}
