package repo_test

import (
	"bytes"
	"errors"
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

// TestDocsSession types everything that docs/control.md says to type, while the bundle of that page runs. What the page
// shows as the answer must come, but for numbers and white space.
func TestDocsSession(t *testing.T) {
	t.Chdir(top)
	session(t, "docs/control.md", "sidecar-init wait --timeout 20s", 0)
}

// TestDocsSymptoms does the same with docs/symptoms.md, whose bundle has a daemon for each thing that goes wrong.
func TestDocsSymptoms(t *testing.T) {
	t.Chdir(top)
	session(t, "docs/symptoms.md", `sidecar-init wait --timeout 20s --for exited killed && sidecar-init status | grep -q "^red  *unhealthy" &&
		sidecar-init status loops | grep -q backoff && sidecar-init logs floods | grep -q end && sidecar-init logs hangs deaf | grep -c up | grep -q 2`, 137)
}

// session types what a page says to type, when ready has succeeded. The bundle ends with that code.
func session(t *testing.T, page, ready string, exit int) {
	t.Helper()
	bin := binary(t)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	blocks := docBlocks(t, page)
	dir, env := programs(t, bin)
	socket := filepath.Join(dir, "socket")
	env = append(env, "SIDECAR_INIT_CONTROL="+socket, "CURL_HOME="+dir)
	write(t, filepath.Join(dir, ".curlrc"), "fail\nsilent\nshow-error\n", 0o644)
	for _, b := range blocks {
		if b.kind() == "bundle" {
			write(t, filepath.Join(dir, "bundle.yaml"), b.text, 0o644)
			break
		}
	}
	run := exec.Command(bin, "run", "-f", "bundle.yaml")
	var log bytes.Buffer
	run.Dir, run.Env, run.Stdout, run.Stderr = dir, env, &log, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { run.Process.Kill() })
	defer late.Stop()

	// typed returns what a line prints, and its exit code.
	typed := func(line string) (string, int) {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, code := typed(ready)
		if code == 0 {
			break
		}
		if code != 69 && code != 1 || time.Now().After(end) { // 69: there is no socket yet
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	expected := regexp.MustCompile(`# exit code (\d+)`)
	for i, b := range blocks {
		if b.lang != "sh" {
			continue
		}
		var got strings.Builder
		for line := range strings.Lines(b.text) {
			line = strings.ReplaceAll(strings.TrimSpace(line), "/run/sidecar-init.sock", socket)
			out, code := typed(line)
			got.WriteString(out)
			want := "0"
			if m := expected.FindStringSubmatch(line); m != nil {
				want = m[1]
			}
			if fmt.Sprint(code) != want {
				t.Errorf("%s: exit code %d, want %s: %s", line, code, want, out)
			}
		}
		if i+1 < len(blocks) && blocks[i+1].lang == "text" && shape(got.String()) != shape(blocks[i+1].text) {
			t.Errorf("%s: got\n%s\nwant\n%s", b.name(), got.String(), blocks[i+1].text)
		}
	}
	run.Process.Signal(syscall.SIGTERM)
	if err := run.Wait(); run.ProcessState.ExitCode() != exit {
		t.Errorf("%v\n%s", err, log.String())
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket has been left behind")
	}
}

// shape is a text without numbers, and with one blank for any.
func shape(text string) string {
	text = regexp.MustCompile(`[0-9][0-9A-Za-z.:-]*`).ReplaceAllString(text, "#")
	return regexp.MustCompile(`[ \t]+`).ReplaceAllString(text, " ")
}
