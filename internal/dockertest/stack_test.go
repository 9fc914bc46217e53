//go:build docker

package dockertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The example of an ordinary stack: its services run in four containers by docker-compose, and in one by sidecar-init, of one image,
// which is made of this machine's programs.

// stackPrograms are the programs of that image, beside those of PostgreSQL.
var stackPrograms = []string{"sh", "ls", "tail", "mv", "grep", "/usr/bin/python3", "/usr/sbin/nginx", "redis-server", "redis-cli"}

// stackImage makes the image, with what the programs need.
func stackImage(t *testing.T) string {
	t.Helper()
	postgres, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(postgres) == 0 {
		t.Skip("there is no PostgreSQL (Debian package postgresql)")
	}
	files := []string{"/bin/sh", "/etc/passwd", "/etc/group", "/usr/lib/postgresql", "/usr/share/postgresql", "/usr/share/zoneinfo"}
	for _, name := range stackPrograms {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip(err)
		}
		files = append(files, path)
	}
	python, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Skip(err)
	}
	files = append(files, python, "/usr/lib/"+filepath.Base(python))
	more, _ := filepath.Glob("/usr/lib/postgresql/*/bin/*")
	modules, _ := filepath.Glob("/usr/lib/postgresql/*/lib/*.so")
	library := regexp.MustCompile(`(/\S+\.so\S*) \(0x`)
	seen := map[string]bool{}
	for _, program := range append(append(append([]string{}, files...), more...), modules...) {
		out, _ := exec.Command("ldd", program).Output() // what is no program of the loader has none
		for _, m := range library.FindAllStringSubmatch(string(out), -1) {
			if !seen[m[1]] {
				seen[m[1]] = true
				files = append(files, m[1])
			}
		}
	}
	dir := t.TempDir()
	top := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(top, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		into := filepath.Join(top, filepath.Dir(f))
		if err := os.MkdirAll(into, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := command("cp", "-RL", f, into); err != nil { // an image has no links of this machine's
			t.Fatal(err)
		}
	}
	if err := command("cp", "-R", "../../examples/stack", "../../bin/sidecar-init", dir); err != nil {
		t.Fatal(err)
	}
	const dockerfile = `FROM scratch
COPY root /
COPY sidecar-init /
COPY --chown=65534:65534 stack /srv/stack
ENV PATH=%s:/usr/sbin:/usr/bin:/sbin:/bin
RUN ["/bin/sh", "-c", "python3 -c 'import os; os.chmod(\"/srv/stack\", 0o777); os.chmod(\"/tmp\", 0o777)'"]
WORKDIR /srv/stack
`
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(fmt.Sprintf(dockerfile, filepath.Dir(postgres[0]))), 0o644); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("sidecar-init-test-stack:%d", os.Getpid())
	t.Cleanup(func() { exec.Command("docker", "rmi", "-f", name).Run() })
	if err := command("docker", "build", "-q", "-t", name, dir); err != nil {
		t.Fatal(err)
	}
	return name
}

// visit asks nginx from inside a container, until it answers.
func visit(t *testing.T, container string) string {
	t.Helper()
	const program = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:18082/', timeout=5).read().decode(), end='')"
	var out []byte
	var err error
	for begin := time.Now(); time.Since(begin) < 2*patience; time.Sleep(100 * time.Millisecond) {
		if out, err = exec.Command("docker", "exec", container, "python3", "-c", program).Output(); err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	t.Fatalf("nobody answers: %v\n%s", err, out)
	return ""
}

func TestStack(t *testing.T) {
	name := stackImage(t)
	t.Run("four containers", func(t *testing.T) {
		if _, err := exec.LookPath("docker-compose"); err != nil {
			t.Skip("there is no docker-compose (Debian package docker-compose)")
		}
		text, err := os.ReadFile("../../examples/stack/compose.yaml")
		if err != nil {
			t.Fatal(err)
		}
		c := &composition{t: t, file: filepath.Join(t.TempDir(), "compose.yaml"), project: fmt.Sprintf("sidecarinitstack%d", os.Getpid())}
		if err := os.WriteFile(c.file, []byte(strings.ReplaceAll(string(text), "image: stack", "image: "+name)), 0o644); err != nil {
			t.Fatal(err)
		}
		defer c.compose("down", "-t", "5")
		c.compose("up", "-d")
		web := strings.TrimSpace(c.compose("ps", "-q", "web"))
		for i := range 2 {
			if got, want := visit(t, web), fmt.Sprintf("visit %d, %d since the cache was started", i+1, i+1); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	t.Run("one container", func(t *testing.T) {
		c := startImage(t, name, nil, "/sidecar-init", "run", "-f", "compose.yaml", "-f", "jobs.yaml")
		if got, want := visit(t, c.name), "visit 1, 1 since the cache was started"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		out, err := exec.Command("docker", "exec", c.name, "/sidecar-init", "job", "run", "backup").CombinedOutput()
		if err != nil || string(out) != "1 visits are in backup.sql\n" {
			t.Errorf("the backup: %v, %s", err, out)
		}
		if _, code := c.stop(); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
	})
}
