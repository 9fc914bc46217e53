package bundle

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestReaders: check says who can read a secret by the mode of its file; of one that is there already only in the container.
func TestReaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for _, mode := range []os.FileMode{0o644, 0o600} {
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		for _, here := range []bool{false, true} {
			b := mustLoad(t, `services:
  a: {command: [x], secrets: [s, k], user: "5:6"}
  b: {command: [x], secrets: [{source: s, target: /b}]}
  c: {command: [x], secrets: [{source: s, target: /c, mode: 0444}]}
  d: {command: [x], user: root, secrets: [{source: s, target: /d, mode: 0440, uid: "7"}]}
secrets: {s: {environment: S}, k: {file: `+file+`}}
`, Options{Env: []string{"S=x"}, Here: here})
			own := "whoever may read " + file
			if here && mode == 0o644 {
				own = "every user"
			}
			want := []string{"user 5 (a), root (d)", own, "the supervisor's user (b, c), root (d)", "every user", "user 7, group of that user, root (d)"}
			var got []string
			for _, s := range b.Plan().Secrets {
				got = append(got, s.Readers)
			}
			if here && mode == 0o600 {
				got[1] = own // whose test it is
			}
			if !slices.Equal(got, want) {
				t.Errorf("here %t, %v: got %q, want %q", here, mode, got, want)
			}
		}
	}
}
