package bundle

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/child"
)

// FuzzLoad: whatever is in a file, reading it ends, without a panic; what is accepted, compose-go accepts, and reads alike.
// Seeds are the corpus and testdata/fuzz.
func FuzzLoad(f *testing.F) {
	registerRaw()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	for i, c := range corpus(f) {
		if len(c.files) == 1 && (fuzzing || i%8 == 0) { // TestDifferential reads them all
			data, err := os.ReadFile(c.files[0])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "bundle.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := loadFiles(Options{Files: []string{path}, Env: corpusEnv()})
		if err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a value is in the error: %v", err)
			}
			return
		}
		if err := b.Check(new(strings.Builder), "text"); err != nil {
			t.Error(err)
		}
		project, err := theirs(t, corpusCase{files: []string{path}})
		if err != nil {
			if len(b.PassedOver) == 0 { // what is in these is not looked at
				t.Fatalf("accepted, but compose-go refuses it: %v", err)
			}
			return
		}
		compare(t, b, project)
	})
}

// FuzzParseSignal: a signal that is read has a name, and that name reads as the same signal.
func FuzzParseSignal(f *testing.F) {
	for _, s := range []string{"HUP", "SIGHUP", "sighup", "1", "RTMIN+1", "SIGRTMAX-3", "RTMIN", "0", "65", "SIG", "", "RTMIN+31", "SIGSIGHUP", "IOT", "POLL", "33"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := ParseSignal(s)
		if err != nil {
			return
		}
		if sig < 1 || sig > 64 {
			t.Fatalf("%q: got signal %d", s, sig)
		}
		name := child.SignalName(sig)
		if strings.HasPrefix(name, "signal ") {
			return // 32 and 33 belong to the C library and have no name
		}
		if again, err := ParseSignal(name); err != nil || again != sig {
			t.Errorf("%q is %s, which reads as %d, %v", s, name, again, err)
		}
	})
}
