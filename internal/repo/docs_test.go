package repo_test

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

// A docBlock is a fenced piece of a page.
type docBlock struct {
	page string
	n    int // of the blocks of that page
	lang string
	text string
}

func (b docBlock) name() string { return fmt.Sprintf("%s %d", b.page, b.n) }

// docBlocks returns the blocks of all pages, or of those that are named.
func docBlocks(t *testing.T, pages ...string) []docBlock {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^([ \t]*)```([a-z]*)\n(.*?)^[ \t]*```$")
	var all []docBlock
	err := walk(func(path string) error {
		if filepath.Ext(path) != ".md" || len(pages) > 0 && !slices.Contains(pages, path) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, m := range fence.FindAllSubmatch(text, -1) {
			indent := regexp.MustCompile("(?m)^" + string(m[1]))
			all = append(all, docBlock{path, i + 1, strings.Replace(string(m[2]), "yml", "yaml", 1), indent.ReplaceAllString(string(m[3]), "")})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// kind says what a block of YAML is: a bundle file, unless it says otherwise.
func (b docBlock) kind() string {
	switch {
	case b.lang != "yaml":
		return b.lang
	case strings.HasPrefix(b.text, "# compose.yaml"):
		return "compose"
	case strings.Contains(b.text, "apiVersion:"):
		return "kubernetes"
	}
	return "bundle"
}

// TestDocsBundles: every bundle file on every page is one that "sidecar-init check" accepts, without a warning. One whose
// services have images is accepted by docker compose too.
func TestDocsBundles(t *testing.T) {
	t.Chdir(top)
	bin := binary(t)
	found := 0
	for _, b := range docBlocks(t) {
		if b.kind() != "bundle" {
			continue
		}
		found++
		t.Run(b.name(), func(t *testing.T) {
			checkBundle(t, bin, b.text)
			if strings.Contains(b.text, " image:") {
				loadCompose(t, b.text)
			}
		})
	}
	if found < 6 {
		t.Errorf("found %d bundle files on the pages, want at least 6", found)
	}
}

func checkBundle(t *testing.T, bin, text string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bundle.yaml"), text, 0o644)
	cmd := exec.Command(bin, "check", "-f", "bundle.yaml")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning") {
		t.Errorf("%v:\n%s\n%s", err, text, out)
	}
}

// TestDocsLinks: every page is reachable from README.md, by links that lead somewhere, to a heading if they name one.
func TestDocsLinks(t *testing.T) {
	t.Chdir(top)
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#([^)]*))?\)`)
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
			case len(m[2]) > 0 && !slices.Contains(headings(t, to), string(m[2])):
				t.Errorf("%s: %s has no heading %s", page, m[1], m[2])
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

// headings are those of a page, as links name them.
func headings(t *testing.T, page string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllSubmatch(text, -1) {
		name := regexp.MustCompile("[^a-z0-9_ -]").ReplaceAllString(strings.ToLower(string(m[1])), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}
