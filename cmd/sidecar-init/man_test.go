package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestManPages: docs/man has a page for each command, which is what the command says of itself.
func TestManPages(t *testing.T) {
	const dir = "../../docs/man"
	made := t.TempDir()
	p := &program{}
	if err := doc.GenManTree(documented(p.command()), &doc.GenManHeader{Section: "1", Source: "sidecar-init", Manual: "sidecar-init", Date: &time.Time{}}, made); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	files, err := os.ReadDir(made)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(made, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want[f.Name()] = strings.Replace(string(text), `"Jan 0001"`, `""`, 1) // what they say depends on no date
	}
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	have, err := os.ReadDir(dir)
	if err != nil || len(have) != len(want) {
		t.Errorf("docs/man has %d pages (%v), want %d: go test -run TestManPages ./cmd/sidecar-init -update", len(have), err, len(want))
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("docs/man/%s is not what the command says (%v): go test -run TestManPages ./cmd/sidecar-init -update", name, err)
		}
	}
}

// documented is a tree of commands without the line by which cobra would sign and date each page.
func documented(cmd *cobra.Command) *cobra.Command {
	cmd.DisableAutoGenTag = true
	for _, c := range cmd.Commands() {
		documented(c)
	}
	return cmd
}
