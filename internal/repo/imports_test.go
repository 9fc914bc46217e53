package repo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A rule says what a package may import besides the standard library, and what not of that. Names of packages of this
// module stand without its path; a name stands for the packages below it too.
type rule struct {
	may  []string
	why  string            // the reason why no more than may
	bans map[string]string // import → reason
}

// The bans that several rules share.
const (
	noSignals  = "an embedder's program has its own signal handlers; signals come in as messages"
	noLog      = "what happens is reported through Observe, so that embedders choose where it goes"
	noExec     = "processes are started in one place, package child, which the reaper is built around"
	noSyscalls = "system calls belong where a port to another system would look for them"
	noNetwork  = "a supervisor that embeds this must not link an HTTP stack"
	noRandom   = "the functional core and the queue must do the same thing every time"
)

// rules is the imports map: imports point downwards only. A package that is not in it, and not internal, is a new
// layer: say here what it rests on.
var rules = map[string]rule{
	"mailbox": {
		why: "the bottom layer is the standard library's alone, so that it can be read and trusted by itself",
		bans: map[string]string{
			"os": "a queue has nothing to do with the system", "os/exec": noExec, "os/signal": noSignals,
			"net": noNetwork, "math/rand": noRandom, "math/rand/v2": noRandom,
		},
	},
	"log": {
		may: []string{"internal/jsontext"},
		why: "the path of a log line must be short enough to be read whole",
		bans: map[string]string{
			"os/exec": noExec, "os/signal": noSignals, "net": noNetwork,
			"log": "the standard logger writes to fd 2 and may block",
		},
	},
	"actor": {
		may: []string{"mailbox", "internal/awake"},
		why: "an actor knows its queue and its timer, and nothing of what it is used for",
		bans: map[string]string{
			"os": "an actor has nothing to do with the system", "os/exec": noExec, "os/signal": noSignals,
			"net": noNetwork, "math/rand": noRandom, "math/rand/v2": noRandom,
		},
	},
	"child": {
		may: []string{"actor", "mailbox", "child", "internal/kernel", "internal/proc", "golang.org/x/sys"},
		why: "a daemon knows nothing of the other daemons",
		bans: map[string]string{
			"os/signal": noSignals, "log": noLog, "log/slog": noLog, "net": noNetwork,
		},
	},
	"root": {
		may: []string{"actor", "mailbox", "child", "golang.org/x/sync/errgroup"},
		why: "root speaks to the system through package child alone",
		bans: map[string]string{
			"os/exec": noExec, "os/signal": noSignals, "log": noLog, "log/slog": noLog, "net": noNetwork,
		},
	},
	"childtest": {
		may:  []string{"child", "log"},
		why:  "a test kit knows what it is for, and nothing above",
		bans: map[string]string{"os/exec": noExec, "os/signal": noSignals, "net": noNetwork},
	},
	"client": {
		may:  []string{},
		why:  "whoever speaks to a supervisor from outside need not link one",
		bans: map[string]string{"os/exec": noExec, "os/signal": noSignals},
	},
	"control": {
		may:  []string{"child", "client", "log", "root", "internal/control", "internal/events", "golang.org/x/sync/errgroup"},
		why:  "a door to what sidecar-init serves, and nothing of its own",
		bans: map[string]string{"os/exec": noExec, "os/signal": noSignals},
	},
	// internal and cmd wire the rest together: they may use the packages above and what go.mod names.
	"internal": {may: []string{""}},
	"cmd":      {may: []string{""}},
}

// TestImports holds the imports map.
func TestImports(t *testing.T) {
	t.Chdir(top)
	for _, p := range packages(t) {
		dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if dir == "" {
			dir = "."
		}
		top, _, _ := strings.Cut(dir, "/")
		r, ok := rules[top]
		if !ok {
			t.Errorf("%s is not in the imports map: say there what it may import, and why", dir)
			continue
		}
		for _, imp := range p.Imports {
			if why := r.bans[imp]; why != "" {
				t.Errorf("%s imports %s: %s", dir, imp, why)
			}
			if strings.HasPrefix(imp, "net/") && r.bans["net"] != "" {
				t.Errorf("%s imports %s: %s", dir, imp, r.bans["net"])
			}
			first, _, _ := strings.Cut(imp, "/")
			if !strings.Contains(first, ".") {
				continue // standard library
			}
			name := strings.TrimPrefix(imp, module+"/")
			if !allowed(name, r.may) {
				t.Errorf("%s imports %s: %s", dir, name, r.why)
			}
			if under(name, "internal/testproc") && !under(dir, "internal/testproc") {
				t.Errorf("%s imports %s: test programs do not belong into the binary", dir, name)
			}
		}
	}
}

func allowed(name string, may []string) bool {
	for _, m := range may {
		if m == "" || under(name, m) {
			return true
		}
	}
	return false
}

// TestPlatforms: os/exec and golang.org/x/sys only where processes are: in child, internal and cmd, and so is syscall's
// dangerous half.
func TestPlatforms(t *testing.T) {
	t.Chdir(top)
	for _, p := range packages(t) {
		dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if under(dir, "child") || under(dir, "internal") || under(dir, "cmd") {
			continue
		}
		for _, imp := range p.Imports {
			switch {
			case imp == "os/exec":
				t.Errorf("%s imports os/exec: %s", dir, noExec)
			case under(imp, "golang.org/x/sys"):
				t.Errorf("%s imports %s: %s", dir, imp, noSyscalls)
			}
		}
	}
}

// A pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
}

// packages lists the packages of the module, as built for Linux.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Env = linux()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fail(err))
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// linux is the environment of a build as `make build` makes it, whatever this machine is.
func linux() []string { return append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64") }

// tags are the build tags of `make build`.
func tags(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TAGS *:= (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("Makefile sets no TAGS")
	}
	return string(m[1])
}

// TestDockerfileSource: what is compiled inside Docker is compiled as `make build` does it.
func TestDockerfileSource(t *testing.T) {
	t.Chdir(top)
	text, err := os.ReadFile("Dockerfile.source")
	if err != nil {
		t.Fatal(err)
	}
	const want = `RUN make build VERSION="${VERSION}" BIN=/sidecar-init`
	if !strings.Contains(string(text), want) {
		t.Errorf("Dockerfile.source does not say %s", want)
	}
}

// fail is err with what the command said.
func fail(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errors.New(err.Error() + ": " + string(exit.Stderr))
	}
	return err
}

const depsFile = "cmd/sidecar-init/deps.txt"

// TestDeps compares what is linked into the binary with the list in the repository, so that a new dependency is seen in
// review. The standard library's own internal packages are left out: they are Go's business.
func TestDeps(t *testing.T) {
	t.Chdir(top)
	cmd := exec.Command("go", "list", "-deps", "-tags", tags(t), "./cmd/sidecar-init")
	cmd.Env = linux()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fail(err))
	}
	var got strings.Builder
	for line := range strings.Lines(string(out)) {
		std := !strings.Contains(strings.SplitN(line, "/", 2)[0], ".")
		if std && (strings.Contains("/"+strings.TrimSpace(line)+"/", "/internal/") || strings.HasPrefix(line, "vendor/")) {
			continue
		}
		got.WriteString(line)
	}
	sorted := sortLines(got.String())
	if *update {
		if err := os.WriteFile(depsFile, []byte(sorted), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(depsFile)
	if err != nil {
		t.Fatal(err)
	}
	if sorted != string(want) {
		t.Errorf("what is linked into sidecar-init has changed; if that is meant: go test -run TestDeps ./internal/repo -update\n%s",
			diff(string(want), sorted))
	}
}

// maxBinary is the budget of the binary: it is copied into every image, and PID 1 maps it.
const maxBinary = 12_000_000

// TestBinarySize holds it.
func TestBinarySize(t *testing.T) {
	t.Chdir(top)
	info, err := os.Stat(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("sidecar-init has %d bytes", info.Size())
	if info.Size() > maxBinary {
		t.Errorf("sidecar-init has %d bytes, want at most %d", info.Size(), maxBinary)
	}
}

// built is the folder of the binary that binary makes; TestMain removes it.
var built string

var build = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "sidecar-init-build"); err != nil {
		return "", err
	}
	bin := filepath.Join(built, "sidecar-init")
	cmd := exec.Command("make", "build", "BIN="+bin)
	cmd.Env = append(linux(), "MAKEFLAGS=", "MAKELEVEL=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

// binary is what `make build` makes. With -short the test is skipped.
func binary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the binary; -short is set")
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}
