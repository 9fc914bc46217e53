package repo_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/bot-bottle/sidecar-init"

// top is the first directory of the repository, where every test goes, by itself: only so does the go command know what it reads, and that
// a result is out of date.
const top = "../.."

var update = flag.Bool("update", false, "rewrite the golden files")

// A source is a Go file of the module.
type source struct {
	path string // from the top of the module, with slashes
	dir  string // "." for the top
	file *ast.File
	test bool // a test, or part of what only tests link
}

var fset = token.NewFileSet()

// sources parses all Go files of the module once.
var sources = sync.OnceValues(func() ([]source, error) {
	var all []source
	err := walk(func(path string) error {
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		all = append(all, source{
			path: path, dir: dir, file: f,
			test: strings.HasSuffix(path, "_test.go") || under(dir, "internal/testproc"),
		})
		return nil
	})
	return all, err
})

// walk calls f with each file that belongs to the repository.
func walk(f func(path string) error) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == ".git" || path == "bin" || path == "dist" || path == "bench/out"):
			return fs.SkipDir
		case !d.Type().IsRegular() || path == ".git": // in a further work tree it is a file
			return nil
		}
		return f(filepath.ToSlash(path))
	})
}

// under reports whether a package's folder is top or lies below it.
func under(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

func mustSources(t *testing.T) []source {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d Go files", len(all))
	}
	return all
}

// where is the place of a node as FILE:LINE.
func where(n ast.Node) string {
	p := fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", filepath.ToSlash(p.Filename), p.Line)
}

// calls returns the nodes that mention name of the package with this import path, in the files for which keep holds.
func calls(t *testing.T, pkg, name string, keep func(source) bool) []call {
	t.Helper()
	var found []call
	for _, s := range mustSources(t) {
		if !keep(s) {
			continue
		}
		local := ""
		for _, imp := range s.file.Imports {
			if strings.Trim(imp.Path.Value, `"`) != pkg {
				continue
			}
			local = pkg[strings.LastIndex(pkg, "/")+1:]
			if imp.Name != nil {
				local = imp.Name.Name
			}
		}
		if local == "" {
			continue
		}
		for _, decl := range s.file.Decls {
			fn, _ := decl.(*ast.FuncDecl)
			ast.Inspect(decl, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != name {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
					c := call{source: s, node: sel}
					if fn != nil {
						c.fn = fn.Name.Name
					}
					found = append(found, c)
				}
				return true
			})
		}
	}
	return found
}

// A call is a place where some name is used.
type call struct {
	source source
	node   ast.Node
	fn     string // the function around it
}

func notTest(s source) bool { return !s.test }

// TestNoSleep: time passes in tests by testing/synctest or by bytes on a pipe, and in the program by the one timer of an
// actor. A sleep is a guess about how fast something else is.
func TestNoSleep(t *testing.T) {
	t.Chdir(top)
	for _, c := range calls(t, "time", "Sleep", notTest) {
		t.Errorf("%s: time.Sleep outside of tests", where(c.node))
	}
}

// TestNoSignalIgnore: an ignored signal is inherited by every daemon; signal.Notify and dropping it is not.
func TestNoSignalIgnore(t *testing.T) {
	t.Chdir(top)
	for _, c := range calls(t, "os/signal", "Ignore", notTest) {
		t.Errorf("%s: signal.Ignore outside of tests: daemons would inherit that", where(c.node))
	}
}

// lockers are the functions that may lock their goroutine to its thread, each with the reason why no thread that has
// children ends by it. A goroutine that ends while locked ends its thread, and the kernel ties parenthood (wait4 with
// __WNOTHREAD) and the parent-death signal to the thread that forked.
var lockers = map[string]string{
	"cmd/sidecar-init init": "main itself: reaps orphans, never forks, and ends with the process",
	"internal/demo init":    "main itself: forks once, and ends with the process",

	"cmd/sidecar-init reclaimTerminal": "unlocks what it locked, before its goroutine ends",

	"internal/reap onMainThread": "panics on any thread but the main one, which does not end before the process; unlocks what it locked",
	"internal/kernel landlocks":  "its thread, which has no_new_privs, does not end before the process: it may have forked before",
	"internal/shim Main":         "never unlocks and never forks: the process becomes a daemon, or ends",
	"internal/setup WarmThreads": "starts no process while locked, and unlocks before it ends",
}

// TestLockOSThread keeps goroutines that fork off locked threads.
func TestLockOSThread(t *testing.T) {
	t.Chdir(top)
	for _, c := range calls(t, "runtime", "LockOSThread", notTest) {
		if lockers[c.source.dir+" "+c.fn] == "" {
			t.Errorf("%s: runtime.LockOSThread in %s: give the reason why that is safe in lockers, or do without",
				where(c.node), c.fn)
		}
	}
}

// TestAsk: an actor that Asks another can wait for one that waits for it. So only the edges of the program ask; and package jobs, for
// them, and in a goroutine for each run that waits for what it depends on.
func TestAsk(t *testing.T) {
	t.Chdir(top)
	for _, c := range calls(t, module+"/actor", "Ask", notTest) {
		d := c.source.dir
		if !under(d, "cmd") && !under(d, "internal/control") && !under(d, "client") && !under(d, "internal/jobs") && c.fn != "ask" {
			t.Errorf("%s: actor.Ask in %s: only cmd, internal/control, internal/jobs, client and root's calls for outsiders may ask", where(c.node), d)
		}
	}
}

// TestPackageComments: each package says in its first sentence what it provides.
func TestPackageComments(t *testing.T) {
	t.Chdir(top)
	comments := map[string][]string{}
	for _, s := range mustSources(t) {
		if strings.HasSuffix(s.path, "_test.go") || strings.Contains(s.path, "testdata/") {
			continue
		}
		key := s.dir + " " + s.file.Name.Name
		if s.file.Doc != nil {
			comments[key] = append(comments[key], s.file.Doc.Text())
		} else if comments[key] == nil {
			comments[key] = []string{}
		}
	}
	for key, texts := range comments {
		_, name, _ := strings.Cut(key, " ")
		want := "Package " + name + " "
		if name == "main" {
			want = "Command "
		}
		switch {
		case len(texts) != 1:
			t.Errorf("%s: %d files have a package comment, want 1", key, len(texts))
		case !strings.HasPrefix(texts[0], want):
			t.Errorf("%s: the package comment begins with %.30q, want %q", key, texts[0], want)
		}
	}
}

// TestDocumented: every exported name has a comment of its own, or that of its group.
func TestDocumented(t *testing.T) {
	t.Chdir(top)
	for _, s := range mustSources(t) {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s is not documented", where(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					undocumented(t, d, spec)
				}
			}
		}
	}
}

// exportedReceiver reports whether a function is no method, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}

func undocumented(t *testing.T, d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
			t.Errorf("%s: %s is not documented", where(s), s.Name.Name)
		}
		if i, ok := s.Type.(*ast.InterfaceType); ok && s.Name.IsExported() {
			for _, m := range i.Methods.List {
				if len(m.Names) == 1 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil {
					t.Errorf("%s: %s.%s is not documented", where(m), s.Name.Name, m.Names[0].Name)
				}
			}
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				t.Errorf("%s: %s is not documented", where(s), n.Name)
			}
		}
	}
}

// maxLines is where a file has become too long to find one's way in. Tests are read case by case, and may be longer.
const (
	maxLines     = 600
	maxTestLines = 1000
)

func TestFileLength(t *testing.T) {
	t.Chdir(top)
	for _, s := range mustSources(t) {
		limit := maxLines
		if s.test {
			limit = maxTestLines
		}
		if n := fset.File(s.file.FileStart).LineCount(); n > limit {
			t.Errorf("%s has %d lines, want at most %d", s.path, n, limit)
		}
	}
}

// elsewhere matches what only makes sense to whoever sits where the project was written: paths of that machine, papers
// that are not in the repository, and the hosts of package registries, which a mirror or a proxy replaces. It is put
// together from parts, lest it match itself.
var elsewhere = regexp.MustCompile(strings.Join([]string{
	`/wo` + `rk\b`, `\bsha` + `red/`, `\bCON` + `TRACT\.md`, `\bC` + `§`, `\.lib` + `rary\b`, `\bissues sh` + `ow\b`,
	`proxy\.go` + `lang`, `sum\.go` + `lang`, `deb\.deb` + `ian`, `registry\.np` + `mjs`, `py` + `pi\.org`,
}, "|"))

func TestNoOutsideNames(t *testing.T) {
	t.Chdir(top)
	err := walk(func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if slices.Contains(text[:min(len(text), 512)], 0) {
			return nil // not a text
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			if m := elsewhere.FindString(line); m != "" {
				t.Errorf("%s:%d: %q means nothing to a reader of the repository", path, n, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDesignPages: a design page that is spoken of lies beside the file that does so.
func TestDesignPages(t *testing.T) {
	t.Chdir(top)
	for _, s := range mustSources(t) {
		for _, g := range s.file.Comments {
			if !strings.Contains(g.Text(), "DESIGN.md") {
				continue
			}
			if _, err := os.Stat(filepath.Join(s.dir, "DESIGN.md")); err != nil {
				t.Errorf("%s speaks of a DESIGN.md that is not there", where(g))
			}
		}
	}
}

// TestGoMod: a replace works for us and not for those who import us.
func TestGoMod(t *testing.T) {
	t.Chdir(top)
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Module  struct{ Path string }
		Replace []json.RawMessage
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if mod.Module.Path != module {
		t.Errorf("the module is %s, want %s", mod.Module.Path, module)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces modules: %s", mod.Replace)
	}
}

func TestChangelog(t *testing.T) {
	t.Chdir(top)
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^## \[Unreleased\]$`).Match(text) {
		t.Error("CHANGELOG.md has no line \"## [Unreleased]\"")
	}
}

// TestLinks: a link to a file of the repository leads somewhere.
func TestLinks(t *testing.T) {
	t.Chdir(top)
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`) // not to other sites, which have a colon
	err := walk(func(path string) error {
		if !strings.HasSuffix(path, ".md") || strings.Contains(path, "testdata/") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), string(m[1]))); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestADRs: every decision is in the list, every entry of the list exists, and each has its three parts.
func TestADRs(t *testing.T) {
	t.Chdir(top)
	list, err := os.ReadFile("docs/adr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`\]\((\d{4}-[a-z0-9-]+\.md)\)`).FindAllSubmatch(list, -1) {
		listed[string(m[1])] = true
	}
	files, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		base := filepath.Base(f)
		if !listed[base] {
			t.Errorf("docs/adr/README.md does not list %s", base)
		}
		delete(listed, base)
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"## Context", "## Decision", "## Consequences"} {
			if !strings.Contains(string(text), "\n"+part+"\n") {
				t.Errorf("%s has no %q", f, part)
			}
		}
	}
	for f := range listed {
		t.Errorf("docs/adr/README.md lists %s, which does not exist", f)
	}
}
