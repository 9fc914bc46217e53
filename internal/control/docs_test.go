package control

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestDocs: docs/control.md has a row for each route, and no other.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST|PUT|DELETE) [^`]*)` \\|").FindAllSubmatch(page, -1) {
		got = append(got, string(m[1]))
	}
	for _, r := range (&Server{}).table() {
		want = append(want, r.method+" "+r.path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("docs/control.md has %q, want %q", got, want)
	}
}
