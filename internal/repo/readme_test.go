package repo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A block is a fenced piece of README.md.
type block struct{ lang, text string }

func readme(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllSubmatch(text, -1) {
		all = append(all, block{string(m[1]), string(m[2])})
	}
	return all
}

// the returns the one block of README.md in a language.
func the(t *testing.T, lang string) string {
	t.Helper()
	var found []string
	for _, b := range readme(t) {
		if b.lang == lang {
			found = append(found, b.text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README.md has %d blocks of %s, want 1", len(found), lang)
	}
	return found[0]
}

// commands are those that README.md and examples/README.md tell the reader to type, each with the test that runs it.
var commands = map[string]string{
	"make run":  "internal/demo TestMake",
	"make test": "what runs this",

	"sidecar-init check -f bundle.yaml":      "TestReadmeBundle",
	"sidecar-init run -f bundle.yaml":        "TestReadmeBundle",
	"sidecar-init run -- api --listen :8080": "TestReadmeBundle",

	"sidecar-init status":                         "TestReadmeControl",
	"sidecar-init logs -n 20 worker":              "TestReadmeControl",
	"sidecar-init restart worker":                 "TestReadmeControl",
	"sidecar-init signal HUP api":                 "TestReadmeControl",
	"sidecar-init stop worker":                    "TestReadmeControl",
	"sidecar-init start worker":                   "TestReadmeControl",
	"sidecar-init wait --for ready --timeout 10s": "TestReadmeControl",
	"sidecar-init healthy":                        "TestReadmeControl",
	"sidecar-init events":                         "TestReadmeControl",
	"sidecar-init timeline":                       "TestReadmeControl",

	"docker build -t shop .":                "internal/dockertest TestReadme",
	"docker run --rm --name shop shop":      "internal/dockertest TestReadme",
	"docker exec shop /sidecar-init status": "internal/dockertest TestReadme",
	"docker kill -s USR1 shop":              "internal/dockertest TestReadme",
	"docker stop shop":                      "internal/dockertest TestReadme",

	"bin/sidecar-init run -f examples/demo/bundle.yaml": "internal/demo TestDemo",
	"make image": "internal/dockertest TestMain, its docker build",
	"docker build -f examples/docker/Dockerfile -t bottle examples": "internal/dockertest TestExample",
	"docker run --rm --name bottle bottle":                          "internal/dockertest TestExample",
	"docker kill -s HUP bottle":                                     "internal/dockertest TestExample",
	"docker kill -s USR1 bottle":                                    "internal/dockertest TestExample",
	"docker stop bottle":                                            "internal/dockertest TestExample",
}

// TestReadmeCommands: whatever the reader is told to type is run by some test.
func TestReadmeCommands(t *testing.T) {
	t.Chdir(top)
	seen := map[string]bool{}
	for _, file := range []string{"README.md", "examples/README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllSubmatch(text, -1) {
			for line := range strings.Lines(string(m[1])) {
				line = strings.TrimSpace(line)
				if commands[line] == "" {
					t.Errorf("%s: no test runs %q", file, line)
				}
				seen[line] = true
			}
		}
	}
	for c := range commands {
		if !seen[c] {
			t.Errorf("%q is not in a README any more", c)
		}
	}
	for _, b := range readme(t) {
		switch b.lang {
		case "sh", "yaml", "go", "dockerfile", "text": // each has a test
		default:
			t.Errorf("README.md has a block of %q, which no test looks at:\n%s", b.lang, b.text)
		}
	}
}

// TestReadmeDocker: the lines for a Dockerfile are those of the example, which internal/dockertest builds, but for names.
func TestReadmeDocker(t *testing.T) {
	t.Chdir(top)
	example, err := os.ReadFile("examples/docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("/etc/bundle.yaml", "/examples/demo/bundle.yaml")
	for line := range strings.Lines(the(t, "dockerfile")) {
		if !strings.HasPrefix(line, "COPY bundle.yaml ") && !strings.HasPrefix(line, "FROM ") && !strings.Contains(string(example), other.Replace(line)) {
			t.Errorf("examples/docker/Dockerfile does not have %q", line)
		}
	}
}

// TestReadmeBundle runs the bundle of README.md, with scripts for its programs.
func TestReadmeBundle(t *testing.T) {
	t.Chdir(top)
	bin := binary(t)
	dir, env := programs(t, bin)
	write(t, filepath.Join(dir, "bundle.yaml"), the(t, "yaml"), 0o644)

	cmd := exec.Command(bin, "check", "-f", "bundle.yaml")
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "worker") {
		t.Errorf("check: %v: %s", err, out)
	}

	// The log that README shows is that of the first seconds. Lines of different daemons come in any order.
	want := the(t, "text")
	out := runUntil(t, bin, dir, env, want, "run", "-f", "bundle.yaml")
	for line := range strings.Lines(want) {
		if !strings.Contains(out, line) {
			t.Errorf("the log has no line %q:\n%s", line, out)
		}
	}
	if !strings.HasSuffix(out, "sidecar-init: exit 0\n") {
		t.Errorf("the log does not end with exit code 0:\n%s", out)
	}

	out = runUntil(t, bin, dir, env, "listening on :8080\n", "run", "--", "api", "--listen", ":8080")
	if out != "listening on :8080\n" {
		t.Errorf("run -- api: the output is %q", out)
	}
}

// TestReadmeControl types the commands of the section about another terminal, while the bundle of README.md runs.
func TestReadmeControl(t *testing.T) {
	t.Chdir(top)
	bin := binary(t)
	dir, env := programs(t, bin)
	env = append(env, "SIDECAR_INIT_CONTROL="+filepath.Join(dir, "socket"))
	write(t, filepath.Join(dir, "bundle.yaml"), the(t, "yaml"), 0o644)
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)\n## From another terminal\n.*?\n```sh\n(.*?)```\n").FindSubmatch(text)
	if block == nil {
		t.Fatal("README.md has no such section")
	}
	says := map[string]string{ // what is to be expected of some
		"status": "worker", "logs": "[worker] waiting for jobs", "events": "api",
	}

	run := exec.Command(bin, "run", "-f", "bundle.yaml")
	var log bytes.Buffer
	run.Dir, run.Env, run.Stdout, run.Stderr = dir, env, &log, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines("sidecar-init wait --timeout 20s\n" + string(block[1])) {
		args := strings.Fields(line)[1:]
		var out []byte
		for late := time.Now().Add(20 * time.Second); ; {
			cmd := exec.Command(bin, args...)
			cmd.Dir, cmd.Env = dir, env
			out, err = cmd.CombinedOutput()
			// 69: it has no socket yet; and what a daemon says comes when it comes.
			if cmd.ProcessState.ExitCode() != 69 && strings.Contains(string(out), says[args[0]]) || time.Now().After(late) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil || !strings.Contains(string(out), says[args[0]]) {
			t.Errorf("%s: %v: %s", strings.TrimSpace(line), err, out)
		}
	}
	run.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { run.Process.Kill() })
	defer late.Stop()
	if err := run.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// TestReadmeEmbedding compiles and runs the program of README.md.
func TestReadmeEmbedding(t *testing.T) {
	t.Chdir(top)
	if testing.Short() {
		t.Skip("compiles and runs a program; -short is set")
	}
	dir, env := programs(t, "")
	source, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "embed")
	write(t, source, the(t, "go"), 0o644)
	top, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(top, "internal/readme/main.go"): source},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "overlay.json"), string(overlay), 0o644)
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin, "./internal/readme")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Dir, cmd.Env = dir, append(env, "ENDS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, want := range []string{"started api", "exited api", "started worker", "exited worker"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the program did not say %q:\n%s", want, out)
		}
	}
}

// programs makes a folder with what README's bundle runs, and the environment in which that and bin are found.
func programs(t *testing.T, bin string) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	const script = "#!/bin/sh\ntrap 'exit 0' TERM; trap : HUP\necho %s\n[ -n \"$ENDS\" ] && exit\nwhile :; do sleep 60 & wait $! 2>/dev/null; done\n"
	write(t, filepath.Join(dir, "api"), fmt.Sprintf(script, `"listening on $2"`), 0o755)
	write(t, filepath.Join(dir, "worker"), fmt.Sprintf(script, `"waiting for jobs"`), 0o755)
	path := dir + ":" + filepath.Dir(bin) + ":" + os.Getenv("PATH")
	return dir, append(os.Environ(), "PATH="+path, "SIDECAR_INIT_CONTROL=off")
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// runUntil runs sidecar-init until it has printed each of the lines, ends it with SIGTERM, which must give exit code 0, and
// returns what it printed.
func runUntil(t *testing.T, bin, dir string, env []string, lines string, args ...string) string {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, os.Stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // an error means that it has ended
	killer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer killer.Stop()
	var got strings.Builder
	asked := false
	for buf := make([]byte, 4096); ; {
		n, err := out.Read(buf)
		got.Write(buf[:n])
		if !asked && hasAll(got.String(), lines) {
			asked = true
			cmd.Process.Signal(syscall.SIGTERM)
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("sidecar-init %v: %v\n%s", args, err, got.String())
	}
	return got.String()
}

// hasAll reports whether text has every one of the lines.
func hasAll(text, lines string) bool {
	for line := range strings.Lines(lines) {
		if !strings.Contains(text, line) {
			return false
		}
	}
	return true
}
