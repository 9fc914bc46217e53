//go:build linux

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bot-bottle/sidecar-init/internal/testreport"
)

// TestInitramfs: what was written is what another program unpacks.
func TestInitramfs(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("a/b/file", link); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := newInitramfs(&out)
	a.file("a/b/file", 0o640, "five\n")
	a.file("a/empty", 0o755, "")
	a.add("a/link", unix.S_IFLNK|0o777, 0, "b/file")
	a.copy("copied", link)
	a.copy("this", "vmtest_test.go")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if out.Len()%4 != 0 {
		t.Errorf("%d bytes, want a multiple of 4", out.Len())
	}
	to := t.TempDir()
	cmd := exec.Command(busybox, "cpio", "-idm")
	cmd.Dir, cmd.Stdin = to, &out
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	this, err := os.ReadFile("vmtest_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a/b/file": "five\n", "a/empty": "", "a/link": "five\n", "copied": "five\n", "this": string(this)} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %.40q, %v, want %.40q", name, got, err, want)
		}
	}
	for name, want := range map[string]os.FileMode{"a/b": os.ModeDir | 0o755, "a/b/file": 0o640, "a/empty": 0o755} {
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, %v, want %v", name, info, err, want)
		}
	}
	missing := newInitramfs(io.Discard)
	missing.copy("x", filepath.Join(dir, "missing"))
	if err := missing.close(); !os.IsNotExist(err) {
		t.Errorf("a file that is missing: got %v", err)
	}
}

func TestNewest(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-10-cloud-amd64"}, "linux-image-6.1.0-10-cloud-amd64"},
		{[]string{"/7/vmlinuz-6.12.9+deb12-cloud-amd64", "/8/vmlinuz-6.12.8+deb12-cloud-amd64"}, "/7/vmlinuz-6.12.9+deb12-cloud-amd64"},
	} {
		if got := newest(tt.names); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.names, got, tt.want)
		}
	}
}

func TestExtract(t *testing.T) {
	archive := func(names ...string) io.Reader {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, name := range names {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(name))}); err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, name)
		}
		w.Close()
		return &out
	}
	to := filepath.Join(t.TempDir(), "kernel")
	name, err := extract(archive("./boot/config-6", "./boot/vmlinuz-6"), to)
	text, _ := os.ReadFile(to)
	if err != nil || name != "./boot/vmlinuz-6" || string(text) != name {
		t.Errorf("got %q, %v, with the content %q", name, err, text)
	}
	if _, err := extract(archive("./boot/config-6"), to); err == nil {
		t.Error("without a kernel: got no error")
	}
}

// TestEnding: what comes before the last line is handed on, and whether that line came is known.
func TestEnding(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		seen             bool
	}{
		{"whole", "one\ntwo\n" + endOfPlan + "[  9.1] reboot: Power down\n", "one\ntwo\n", true},
		{"crashed", "one\ntw", "one\ntw", false},
		{"mentioned", "not the " + endOfPlan, "not the " + endOfPlan, false},
		{"nothing", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &ending{r: bufio.NewReader(strings.NewReader(tt.text))}
			got, err := io.ReadAll(e)
			if string(got) != tt.want || e.seen != tt.seen || err != nil {
				t.Errorf("got %q, %t, %v, want %q, %t", got, e.seen, err, tt.want, tt.seen)
			}
		})
	}
}

// TestJudge: what cannot be had in an initramfs, or by nobody, is excused; nothing else is.
func TestJudge(t *testing.T) {
	skip := func(pkg, reason string) []testreport.Skip {
		return []testreport.Skip{{Package: pkg, Test: "TestX", Reason: reason}}
	}
	for _, tt := range []struct {
		name string
		sum  testreport.Summary
		ok   bool
	}{
		{"passed", testreport.Summary{Passed: 1}, true},
		{"nothing ran", testreport.Summary{}, false},
		{"failed", testreport.Summary{Passed: 1, Failed: 1, Broken: []string{"p"}}, false},
		{"not root", testreport.Summary{Passed: 1, Skips: skip("6.1 nobody p", "x_test.go:3: only root can")}, true},
		{"not installed", testreport.Summary{Passed: 1, Skips: skip("6.1 root p", "x_test.go:3: nginx is not installed: apt-get")}, true},
		{"a cgroup of nobody", testreport.Summary{Passed: 1, Skips: skip("6.1 nobody p", "cannot make a cgroup")}, true},
		{"a cgroup of root", testreport.Summary{Passed: 1, Skips: skip("6.1 root p", "cannot make a cgroup")}, false},
		{"a namespace", testreport.Summary{Passed: 1, Skips: skip("6.1 nobody p", "no pid namespace as nobody: EPERM")}, false},
	} {
		if err := judge(tt.sum); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}
