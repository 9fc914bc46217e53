package embedtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// first is the first test of somebody who embeds a bundle, in a module of his own: its function has ten lines.
const first = `package shop

import (
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/childtest"
	"github.com/bot-bottle/sidecar-init/root"
)

func TestShop(t *testing.T) {
	lines := childtest.NewLines(t)
	web := child.Spec{Name: "web", Program: child.Program{Argv: []string{"/bin/sh", "-c", "echo listening; exec sleep 600"}}}
	shop, err := root.New(root.Config{Specs: []child.Spec{web}, Spawner: lines.Spawner()})
	if err != nil {
		t.Fatal(err)
	}
	go shop.RunContext(t.Context())
	if _, err := lines.Wait(t.Context(), "web", "listening"); err != nil {
		t.Fatal(err)
	}
}
`

// wrong are programs that must not compile, each with a word of the compiler's about it.
var wrong = map[string]string{
	"a fact is no command":        `var _ = root.Do{Name: "web", Msg: child.Ready{}}`,
	"a command is no fact":        `var _ child.Fact = child.Restart{}`,
	"what is ours is no command":  `type mine struct{}; var _ child.Command = mine{}`,
	"what is ours is no root.Msg": `type mine struct{}; var _ root.Msg = mine{}`,
}

// TestForeignModule: in a module that only requires this one the first test is green at once, and a wrong message does not compile.
func TestForeignModule(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs; -short is set")
	}
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// What this module requires, so that nothing has to be looked up.
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	const us = "github.com/bot-bottle/sidecar-init"
	text := strings.Replace(string(mod), "module "+us+"\n", "module example.com/shop\n", 1) + "\nrequire " + us + " v0.0.0\nreplace " + us + " => " + top + "\n"
	sum, err := os.ReadFile(filepath.Join(top, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(t *testing.T, source string) (string, error) {
		dir := t.TempDir()
		for name, text := range map[string]string{"go.mod": text, "go.sum": string(sum), "shop_test.go": source} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("go", "test", "-vet=off", "-mod=mod", "./...")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if body := first[strings.Index(first, "func TestShop"):]; strings.Count(body, "\n") > 12 {
		t.Errorf("the first test has %d lines, want ten in its braces", strings.Count(body, "\n")-2)
	}
	if out, err := run(t, first); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, line := range wrong {
		out, err := run(t, "package shop\n\nimport (\n\t_ \"testing\"\n\n\t\"github.com/bot-bottle/sidecar-init/child\"\n\t\"github.com/bot-bottle/sidecar-init/root\"\n)\n\nvar _ child.Msg\nvar _ root.Root\n\n"+line+"\n")
		if err == nil || !strings.Contains(out, "does not implement") {
			t.Errorf("%s: got %v\n%s", name, err, out)
		}
	}
}
