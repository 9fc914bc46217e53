package selftest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPage: docs/guarantees.md has the guarantees of the program, each with a test that is there, and what the program says.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	rows := regexp.MustCompile(`(?m)^\| (G\d+) \| (.*?) \| .* \| \[(\w+)\]\((.*?)\) \|$`).FindAllStringSubmatch(page, -1)
	all := Guarantees()
	if len(rows) != len(all) {
		t.Fatalf("the page has %d rows, the program %d guarantees", len(rows), len(all))
	}
	for i, row := range rows {
		if g := all[i]; g.ID != row[1] || g.Promise != row[2] || g.ID != fmt.Sprint("G", i+1) {
			t.Errorf("row %d: the page has %s %s, the program %s %s", i+1, row[1], row[2], g.ID, g.Promise)
		}
		source, err := os.ReadFile(filepath.Join("../../docs", row[4]))
		if err != nil || !strings.Contains(string(source), "func "+row[3]+"(t *testing.T) {") {
			t.Errorf("%s: there is no test %s in %s: %v", row[1], row[3], row[4], err)
		}
	}
	for _, s := range []Status{Holds, OtherWay, Cannot, Fails} {
		if !strings.Contains(page, "| `"+string(s)+"` |") {
			t.Errorf("the page does not say what %q means", s)
		}
	}
}
