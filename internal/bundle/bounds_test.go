package bundle

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBounds: a small file that comes to more than a machine has is refused at once, with the place.
func TestBounds(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("${A:-", n) + "x" + strings.Repeat("}", n) }
	chain := "services:\n"
	for i := range 6 {
		chain += fmt.Sprintf("  s%d: {command: [x], scale: 1000, depends_on: %s}\n", i, map[bool]string{true: "[]", false: fmt.Sprintf("[s%d]", i-1)}[i == 0])
	}
	many := "services:\n"
	for i := range 11 {
		many += fmt.Sprintf("  s%d: {command: [x], scale: 1000}\n", i)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"edges":     {chain, "bundle.yaml:3:3: with s1 there are 1000000 dependencies between daemons"},
		"daemons":   {many, "bundle.yaml:12:3: with s10 there are 11000 daemons, and 10000 are the most"},
		"too deep":  {"services: {a: {command: [\"" + nested(65) + "\"]}}", "bundle.yaml:1:26: it cannot be expanded: references stand in each other more than 64 deep"},
		"very deep": {"services: {a: {command: [\"" + nested(100_000) + "\"]}}", "references stand in each other more than 64 deep"},
		"deep":      {"services: {a: {command: [\"" + nested(64) + "\"]}}", ""},
		"wide":      {"services: {a: {command: [\"" + strings.Repeat("${A:-x}", 100_000) + "\"]}}", ""},
		"open":      {"services: {a: {command: [\"" + strings.Repeat("${A:-", 100_000) + "\"]}}", "is not a valid interpolation"},
	} {
		begin := time.Now()
		_, err := loadText(t, tt.text, Options{})
		if took := time.Since(begin); took > 10*time.Second { // it was minutes
			t.Errorf("%s: took %v", name, took)
		}
		if got := fmt.Sprint(err); (err == nil) != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %.200s, want %s", name, got, tt.want)
		}
	}
}

// TestOneReason: what is wrong is told once, without what follows from it.
func TestOneReason(t *testing.T) {
	for text, want := range map[string][]string{
		`labels: ["k=${V?not set}"]`:         {"the variable V must be set: not set"},
		`environment: ["A=${W:?no W}"]`:      {"the variable W must be set: no W"},
		`env_file: ["${E:?none}"]`:           {"the variable E must be set: none"},
		`env_file: [{path: "${E:?none}"}]`:   {"the variable E must be set: none"},
		`env_file: [{required: true}]`:       {"an env_file needs a path"},
		`ulimits: {nofile: {soft: 5}}`:       {"ulimits.nofile needs both soft and hard"},
		`ulimits: [nproc=1]`:                 {"ulimits must be a mapping, not a list"},
		`environment: {A: "${X:?red \e[m}"}`: {"the variable X must be set: red  [m"},
		`"k\ne\e[mk": 1`:                     {`unknown key "k\ne\x1b[mk" in services.a`},
	} {
		_, err := loadText(t, "services:\n  a:\n    command: [x]\n    "+text+"\n", Options{})
		lines := strings.Split(fmt.Sprint(err), "\n")
		if len(lines) != len(want) {
			t.Errorf("%s: got %q, want %q", text, lines, want)
			continue
		}
		for i, line := range lines {
			if !strings.HasSuffix(line, want[i]) {
				t.Errorf("%s: got %q, want %q", text, line, want[i])
			}
		}
	}
	long := strings.Repeat("k", 100_000)
	if _, err := loadText(t, "services: {a: {command: [x], "+long+": 1}}", Options{}); err == nil || len(err.Error()) > 1000 {
		t.Errorf("a long key: a message of %d bytes", len(fmt.Sprint(err)))
	}
}
