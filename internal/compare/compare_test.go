//go:build linux

package main

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/testproc/pidns"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == stageWord {
		panic(stage(os.Args[2:]))
	}
	pidns.Main()
	os.Exit(m.Run())
}

// TestCompare: one short round of everything with this program gives a page in which it loses nothing, and plots that are XML.
func TestCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute; -short is set")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make a pid namespace")
	}
	if reason, ok := pidns.Self.Supported(); !ok {
		t.Skip("no pid namespace: ", reason)
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("there is no C compiler")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "sidecar-init")
	build := exec.Command("go", "build", "-o", bin, "./cmd/sidecar-init")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := &options{bin: bin, out: filepath.Join(dir, "page"), only: "sidecar-init", times: 1, lines: 5000, orphans: 200}
	if err := o.compare(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(o.out + ".md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| sidecar-init |", "Start of 5 daemons, to the first's first instruction, ms | ",
		"Lines lost of 2,000, and the unfinished one, when a daemon exits, lines | **0** |", "The same, when it is killed, lines | **0** |",
		"Torn lines of 2,000, of 6,000 B, by 5 daemons at once, lines | **0** |", "orphans have ended, processes | **0** |", "## Configurations",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	plots, _ := filepath.Glob(o.out + "-*.svg")
	if len(plots) < 5 {
		t.Errorf("got the plots %v", plots)
	}
	for _, file := range plots {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(f); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("%s: %v", file, err)
				break
			}
		}
		f.Close()
	}
	if t.Failed() {
		t.Logf("%s", page)
	}
}
