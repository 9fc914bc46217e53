package repo_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestDocsCompose: the Compose files that are about the container are such, and their health checks are calls of ours.
func TestDocsCompose(t *testing.T) {
	t.Chdir(top)
	bin := binary(t)
	for _, b := range docBlocks(t) {
		switch {
		case b.kind() == "compose":
			t.Run(b.name(), func(t *testing.T) {
				for _, s := range loadCompose(t, b.text).Services {
					if h := s.HealthCheck; h != nil && len(h.Test) > 1 && isOurs(h.Test[1:]) {
						takes(t, bin, h.Test[1:])
					}
				}
			})
		case b.lang == "dockerfile":
			_, check, found := strings.Cut(b.text, "HEALTHCHECK ")
			if !found {
				continue
			}
			check, _, _ = strings.Cut(check, "\n")
			t.Run(b.name(), func(t *testing.T) {
				var argv []string
				if err := json.Unmarshal([]byte(check[strings.Index(check, "["):]), &argv); err != nil || !isOurs(argv) {
					t.Fatalf("%v: %s", err, b.text)
				}
				takes(t, bin, argv)
			})
		}
	}
}
