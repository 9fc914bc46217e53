package repo_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	compose "github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/termination"
)

// takes holds that sidecar-init knows a command and its flags; argv[0] is the program, wherever it is.
func takes(t *testing.T, bin string, argv []string) {
	t.Helper()
	args := argv[1:]
	usage := "Usage:\n  sidecar-init [flags]"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		usage = "Usage:\n  sidecar-init " + args[0]
	}
	at := slices.Index(args, "--") // what follows is a command of its own
	if at < 0 {
		at = len(args)
	}
	out, err := exec.Command(bin, slices.Insert(slices.Clone(args), at, "--help")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), usage) {
		t.Errorf("sidecar-init does not know %q: %v: %s", argv, err, out)
	}
}

// isOurs reports whether argv calls this program.
func isOurs(argv []string) bool { return len(argv) > 0 && filepath.Base(argv[0]) == "sidecar-init" }

// TestDocsShell: what a page tells the reader to type is something that a shell understands, and that sidecar-init does.
func TestDocsShell(t *testing.T) {
	t.Chdir(top)
	bin := binary(t)
	call := regexp.MustCompile(`(?m)(?:^|[\s(])(?:\S*/)?sidecar-init( [^|;&<>()#\n]*)?`)
	for _, b := range docBlocks(t) {
		if b.lang != "sh" && b.lang != "bash" || !strings.HasPrefix(b.page, "docs/") {
			continue
		}
		t.Run(b.name(), func(t *testing.T) {
			cmd := exec.Command("bash", "-n")
			cmd.Stdin = strings.NewReader(b.text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s\n%s", err, out, b.text)
			}
			for _, m := range call.FindAllStringSubmatch(b.text, -1) {
				takes(t, bin, append([]string{"sidecar-init"}, strings.Fields(m[1])...))
			}
		})
	}
}

// loadCompose reads a Compose file as docker compose does, and returns it.
func loadCompose(t *testing.T, text string) *types.Project {
	t.Helper()
	details := types.ConfigDetails{
		WorkingDir: t.TempDir(), Environment: types.Mapping{},
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
	}
	p, err := compose.LoadWithContext(t.Context(), details, func(o *compose.Options) {
		o.SetProjectName("docs", false)
		o.SkipConsistencyCheck = !strings.Contains(text, " image:") // a file to be merged with another
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

// TestDocsJSON: what the pages show as JSON is what the program writes, but for white space: each key, in its order.
func TestDocsJSON(t *testing.T) {
	t.Chdir(top)
	for _, b := range docBlocks(t) {
		if b.lang != "json" || !strings.HasPrefix(b.page, "docs/") {
			continue
		}
		var v any = &client.Daemon{}
		switch {
		case strings.Contains(b.text, `"specversion"`):
			v = &client.Event{}
		case strings.Contains(b.text, `"exit_code"`):
			v = &termination.Record{}
		case strings.Contains(b.text, `"error"`):
			v = &struct {
				Error   string          `json:"error"`
				Nearest string          `json:"nearest,omitempty"`
				Daemons []client.Daemon `json:"daemons,omitempty"`
			}{}
		}
		dec := json.NewDecoder(strings.NewReader(b.text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			t.Errorf("%s: %v", b.name(), err)
			continue
		}
		var got bytes.Buffer
		if err := json.Compact(&got, []byte(b.text)); err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(v)
		if err != nil || got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s, %v", b.name(), got.String(), want, err)
		}
	}
}

// TestDocsGo compiles the programs of the pages.
func TestDocsGo(t *testing.T) {
	t.Chdir(top)
	if testing.Short() {
		t.Skip("compiles programs; -short is set")
	}
	for _, b := range docBlocks(t) {
		if b.lang != "go" || !strings.HasPrefix(b.page, "docs/") {
			continue
		}
		dir := t.TempDir()
		source := filepath.Join(dir, "main.go")
		write(t, source, b.text, 0o644)
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), source) // as part of this module
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", b.name(), err, out)
		}
	}
}
