//go:build docker

package dockertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestExample builds and runs examples/docker, with an image of busybox made here in the place of the one that it would
// pull, and with the options that its compose.yaml has.
func TestExample(t *testing.T) {
	base := busyboxImage(t)
	example := fmt.Sprintf("sidecar-init-test-example:%d", os.Getpid())
	t.Cleanup(func() { exec.Command("docker", "rmi", "-f", example).Run() })

	// The example takes the binary from the image sidecar-init; the one of this test has another name.
	examples := filepath.Join("..", "..", "examples")
	text, err := os.ReadFile(filepath.Join(examples, "docker", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	const from = "COPY --from=sidecar-init "
	if !bytes.Contains(text, []byte(from)) {
		t.Fatalf("the example does not say %q", from)
	}
	dockerfile := filepath.Join(t.TempDir(), "Dockerfile")
	text = bytes.Replace(text, []byte(from), []byte("COPY --from="+initImage+" "), 1)
	if err := os.WriteFile(dockerfile, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := command("docker", "build", "-f", dockerfile, "--build-arg", "BASE="+base, "-t", example, examples); err != nil {
		t.Fatal(err)
	}

	c := startImage(t, example, []string{
		"-e", "EGRESS_TOKEN_DEMO=x", "--user", "12345", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true",
	})
	c.wait(`\[egress\] up, pid \d+; EGRESS_TOKEN_DEMO is set, with 1 characters`, `\[egress\] routes.txt has 3 routes`,
		`\[pipelock\] no EGRESS_TOKEN_\* in my environment, as it should be`, `\[git-gate\] up, .*`, `\[git-http\] up, .*`,
		`\[supervise\] up, .*; EGRESS_TOKEN_DEMO is not set; .*`)
	c.docker("kill", "-s", "HUP", c.name)
	c.wait(`\[egress\] SIGHUP: reading the routes again`, `\[egress\] routes.txt has 3 routes`)
	c.docker("kill", "-s", "USR1", c.name)
	c.wait(`\[pipelock\] SIGTERM: closing`, `sidecar-init: pipelock restarted .*`, `\[pipelock\] up, .*`)
	c.noZombie()
	if took, code := c.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("docker stop: exit code %d after %s, want 0 at once", code, took)
	}
}

// busyboxImage makes an image of this machine's busybox, which is there until the test ends, and returns its name.
func busyboxImage(t *testing.T) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("no busybox on this machine to make an image with a shell")
	}
	if out, err := exec.Command("ldd", busybox).CombinedOutput(); err == nil && !strings.Contains(string(out), "static") {
		t.Skipf("busybox is not static, which its image needs: %s", out)
	}
	image := fmt.Sprintf("sidecar-init-test-%s:%d", strings.ToLower(t.Name()), os.Getpid())
	t.Cleanup(func() { exec.Command("docker", "rmi", "-f", image).Run() })
	imp := exec.Command("docker", "import", "-", image)
	imp.Stdin = rootfs(t, busybox)
	if out, err := imp.CombinedOutput(); err != nil {
		t.Fatalf("docker import: %v: %s", err, out)
	}
	return image
}

// rootfs is a tar archive of a file system with busybox and its names.
func rootfs(t *testing.T, busybox string) *bytes.Buffer {
	t.Helper()
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	names, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(h *tar.Header, data []byte) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))}, program)
	for _, name := range strings.Fields(string(names)) {
		if name != "busybox" {
			add(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &archive
}
