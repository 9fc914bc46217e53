package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNotices compares THIRD_PARTY_NOTICES with what is linked into the binary now.
func TestNotices(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	tags := regexp.MustCompile(`(?m)^TAGS\s*:=\s*(\S+)$`).FindSubmatch(makefile)
	if tags == nil {
		t.Fatal("Makefile has no TAGS")
	}
	got, err := notices("github.com/bot-bottle/sidecar-init/cmd/sidecar-init", string(tags[1]))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../THIRD_PARTY_NOTICES")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("what is linked into sidecar-init has other notices now: make notices")
	}
	// Each module that deps.txt names is there.
	deps, err := os.ReadFile("../../cmd/sidecar-init/deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	titles := regexp.MustCompile(`(?m)^={80}\n(\S+) v\S+: `).FindAllSubmatch(got, -1)
	for line := range strings.Lines(string(deps)) {
		dep := strings.TrimSpace(line)
		first, _, _ := strings.Cut(dep, "/")
		if !strings.Contains(first, ".") || strings.HasPrefix(dep, "github.com/bot-bottle/") {
			continue
		}
		if !slices.ContainsFunc(titles, func(m [][]byte) bool { return strings.HasPrefix(dep+"/", string(m[1])+"/") }) {
			t.Errorf("%s is linked, and there is no notice of it", dep)
		}
	}
}

func TestAdd(t *testing.T) {
	dir := t.TempDir()
	if err := add(new(bytes.Buffer), "m v1", dir); err == nil {
		t.Error("a module without a licence: got no error")
	}
	for name, text := range map[string]string{"NOTICE": "made by us\r\n", "LICENSE.txt": "\ndo what you like\n\n", "README": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := add(&b, "m v1", dir); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("=", 80)
	want := "\n" + line + "\nm v1: LICENSE.txt\n\ndo what you like\n\n" + line + "\nm v1: NOTICE\n\nmade by us\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
