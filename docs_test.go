package sidecarinit_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsBundles: every bundle file on every page is one that "sidecar-init check" accepts, without a warning.
func TestDocsBundles(t *testing.T) {
	bin := binary(t)
	fence := regexp.MustCompile("(?ms)^([ \t]*)```ya?ml\n(.*?)^[ \t]*```$")
	found := 0
	err := walk(func(path string) error {
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, m := range fence.FindAllSubmatch(text, -1) {
			found++
			t.Run(fmt.Sprintf("%s %d", path, i+1), func(t *testing.T) {
				dir := t.TempDir()
				file := regexp.MustCompile("(?m)^"+string(m[1])).ReplaceAllString(string(m[2]), "")
				write(t, filepath.Join(dir, "bundle.yaml"), file, 0o644)
				cmd := exec.Command(bin, "check", "-f", "bundle.yaml")
				cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH")}
				out, err := cmd.CombinedOutput()
				if err != nil || strings.Contains(string(out), "warning") {
					t.Errorf("%v:\n%s\n%s", err, file, out)
				}
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 6 {
		t.Errorf("found %d bundle files on the pages, want at least 6", found)
	}
}

// TestDocsLinks: every page is reachable from README.md, by links that lead somewhere.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	seen := map[string]bool{}
	for todo := []string{"README.md"}; len(todo) > 0; {
		page := todo[0]
		todo = todo[1:]
		if seen[page] {
			continue
		}
		seen[page] = true
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			to := filepath.Join(filepath.Dir(page), string(m[1]))
			info, err := os.Stat(to)
			switch {
			case err != nil:
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			case info.IsDir():
				pages, _ := filepath.Glob(filepath.Join(to, "*.md"))
				todo = append(todo, pages...)
			case filepath.Ext(to) == ".md":
				todo = append(todo, to)
			}
		}
	}
	err := walk(func(path string) error {
		if filepath.Ext(path) == ".md" && !seen[path] && !strings.HasSuffix(path, "/DESIGN.md") && !strings.Contains(path, "testdata/") {
			t.Errorf("no link leads from README.md to %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
