//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/client"
)

// What is put back, or cannot be: a file that can be read once, what a reload has written, a run that its caller leaves.

// TestReloadStandardInput: standard input cannot be read again, which is said; nothing else happens.
func TestReloadStandardInput(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	if _, err := io.WriteString(w, services(daemon("a", "print up; block"))); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s, path := controlled(t, call{place: subreaper, args: []string{"run", "-f", "-"}, stdin: r})
	s.expect("[a] up")
	const want = "-:1:1: it was standard input, which cannot be read again: give the bundle file a name"
	answer, err := client.New(path).Reload(context.Background(), client.ReloadOptions{})
	if err == nil || answer.Applied || strings.Join(answer.Problems, "\n") != want {
		t.Errorf("got %+v, %v, want %s", answer, err, want)
	}
	s.expect("sidecar-init: reload refused: " + want + "; nothing was changed")
	s.signal(syscall.SIGTERM)
	s.exit(0)
	s.never("sidecar-init: a restarted.*")
}

// TestReloadWrittenBack: a reload that is rolled back leaves what the old definitions had written.
func TestReloadWrittenBack(t *testing.T) {
	t.Parallel()
	asRoot.require(t)
	dir := openDir(t)
	file, target := filepath.Join(dir, "bundle.yaml"), filepath.Join(dir, "motd")
	text := func(content, ready string) string {
		return "configs: { motd: { content: " + content + " } }\n" + services(daemon("a", "print up; block",
			"configs: [{ source: motd, target: "+target+" }]", "x-sidecar-init: { ready: { log: '"+ready+"', timeout: 1s } }"))
	}
	write(t, file, text("one", "up"))
	s, path := controlled(t, call{program: shipped(), args: []string{"run", "-f", file}})
	c := client.New(path)
	waitReady(t, c)
	write(t, file, text("two", "never"))
	answer, err := c.Reload(context.Background(), client.ReloadOptions{Rollback: true, Timeout: 2e9})
	if err == nil || !answer.RolledBack {
		t.Errorf("got %+v, %v, want it to be rolled back", answer, err)
	}
	s.expect("sidecar-init: reload rolled back: a was not ready")
	if text, err := os.ReadFile(target); err != nil || string(text) != "one" {
		t.Errorf("what is written is %q (%v), want one", text, err)
	}
	waitReady(t, c)
	s.signal(syscall.SIGTERM)
	s.exit(0)
}

// TestJobCancelled: who presses Ctrl-C cancels the run that he is attached to, and dies by it, which a shell shows as 130; that is also
// what he gets whose run is cancelled by somebody else.
func TestJobCancelled(t *testing.T) {
	t.Parallel()
	s, path := controlled(t, call{place: subreaper, program: shipped(), bundle: services(daemon("web", "block")) + "jobs:\n" +
		job("a", "print up; block", "triggers: { manual: true }")})
	waitReady(t, client.New(path))
	for _, interrupt := range []bool{true, false} {
		cmd := exec.Command(shipped(), "job", "run", "a", "--control", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
			t.Errorf("the output is %q, %v", line, err)
		}
		if interrupt {
			err = cmd.Process.Signal(syscall.SIGINT)
		} else {
			err = client.New(path).CancelJob(context.Background(), "a")
		}
		if err != nil {
			t.Fatal(err)
		}
		s.expect("sidecar-init: job a cancelled")
		_ = cmd.Wait()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if interrupt != status.Signaled() || interrupt && status.Signal() != syscall.SIGINT || !interrupt && status.ExitStatus() != 130 {
			t.Errorf("interrupted %t: got %v", interrupt, cmd.ProcessState)
		}
	}
	s.signal(syscall.SIGTERM)
	s.exit(0)
}
