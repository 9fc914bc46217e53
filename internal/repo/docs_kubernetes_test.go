package repo_test

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestDocsKubernetes: what is for Kubernetes is YAML with a kind and a name; sidecar-init knows the calls and the variables
// in it, and accepts the bundle files.
func TestDocsKubernetes(t *testing.T) {
	t.Chdir(top)
	bin := binary(t)
	help, err := exec.Command(bin, "run", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				look(item)
			}
		case map[string]any:
			if argv := append(words(v["command"]), words(v["args"])...); isOurs(argv) {
				takes(t, bin, argv)
				calls++
			}
			name, _ := v["name"].(string)
			if flag, ours := strings.CutPrefix(name, "SIDECAR_INIT_"); ours && flag != "DAEMONS" &&
				!strings.Contains(string(help), "--"+strings.ToLower(strings.ReplaceAll(flag, "_", "-"))+" ") {
				t.Errorf("no flag of run has the variable %s", name)
			}
			for _, item := range v {
				look(item)
			}
		}
	}
	for _, b := range docBlocks(t) {
		if b.kind() != "kubernetes" {
			continue
		}
		for dec := yaml.NewDecoder(strings.NewReader(b.text)); ; {
			var doc map[string]any
			if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", b.name(), err)
			}
			meta, _ := doc["metadata"].(map[string]any)
			if doc["kind"] == nil || meta["name"] == nil {
				t.Errorf("%s: an object without kind or name", b.name())
			}
			look(doc)
			if data, ok := doc["data"].(map[string]any); ok {
				for _, text := range data {
					checkBundle(t, bin, text.(string))
				}
			}
		}
	}
	if calls < 4 {
		t.Errorf("found %d calls of sidecar-init for Kubernetes, want at least 4", calls)
	}
}

// words are the strings of a list.
func words(v any) (all []string) {
	list, _ := v.([]any)
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}
