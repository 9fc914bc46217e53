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

// TestReadme types what README tells somebody who knows Docker to type: its two files, in an empty folder, and its commands. Only the
// names of the images are others, since there is no registry to pull busybox from.
func TestReadme(t *testing.T) {
	base := busyboxImage(t)
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(lang string) string {
		m := regexp.MustCompile("(?ms)^```" + lang + "\n(.*?)^```$").FindSubmatch(text)
		if m == nil {
			t.Fatalf("README.md has no block of %s", lang)
		}
		return string(m[1])
	}
	shop := fmt.Sprintf("sidecar-init-test-shop-%d", os.Getpid())
	t.Cleanup(func() { exec.Command("docker", "rmi", "-f", shop).Run() })

	dir := t.TempDir()
	dockerfile := strings.NewReplacer("busybox:1.37", base, "--from=sidecar-init ", "--from="+initImage+" ").Replace(block("dockerfile"))
	for name, text := range map[string]string{"bundle.yaml": block("yaml"), "Dockerfile": dockerfile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	typed := func(line string) *exec.Cmd {
		if !strings.Contains(string(text), line+"\n") {
			t.Fatalf("README.md does not tell to type %q", line)
		}
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(line, "shop", shop))
		cmd.Dir = dir
		return cmd
	}
	if out, err := typed("docker build -t shop .").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := typed("docker run --rm --name shop shop")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("docker", "rm", "-f", shop).Run() })
	waitFor := func(lines string) {
		t.Helper()
		for late := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			got, _ := os.ReadFile(log.Name())
			missing := ""
			for line := range strings.Lines(lines) {
				if !strings.Contains(string(got), strings.TrimSpace(line)) {
					missing = line
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("the log lacks %q:\n%s", missing, got)
			}
		}
	}
	waitFor(block("text"))
	if out, err := typed("docker exec shop /sidecar-init status").CombinedOutput(); err != nil || !strings.Contains(string(out), "worker") {
		t.Errorf("status: %v\n%s", err, out)
	}
	if out, err := typed("docker kill -s USR1 shop").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	waitFor("sidecar-init: worker restarted (pid")
	if out, err := typed("docker stop shop").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if err := run.Wait(); err != nil {
		t.Errorf("the container: %v", err)
	}
	waitFor("sidecar-init: exit 0")
}
