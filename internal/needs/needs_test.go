package needs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// root is the file system of a container as far as it is looked at.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"data/file":  "",
		"a b/file":   "",
		"plain/file": "",
		"etc/hosts":  "127.0.0.1 localhost\n10.0.0.1 one ONE.example # a comment\n::1 six\n10.0.0.2 two\n10.0.0.3 two\n",
		"proc/self/mountinfo": "20 1 0:1 / / rw - overlay overlay rw\n21 20 0:2 / " + dir + "/data rw,relatime - ext4 /dev/x rw\n" +
			"22 20 0:3 / " + strings.ReplaceAll(dir, " ", `\040`) + `/a\040b rw - ext4 /dev/y rw` + "\n",
		"proc/sys/net/core/somaxconn":    "4096\n",
		"proc/sys/net/ipv4/tcp_rmem":     "4096\t131072\t6291456\n",
		"proc/sys/kernel/secret/forbids": "1\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("data", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHolds(t *testing.T) {
	l := &look{root: root(t)}
	for _, tt := range []struct {
		kind          bundle.RequirementKind
		target, value string
		want          string // "" holds
	}{
		{bundle.NeedsPath, "/plain/file", "", ""},
		{bundle.NeedsPath, "/gone", "", "/gone is not there"},
		{bundle.NeedsMount, "/data", "", ""},
		{bundle.NeedsMount, "/data/file", "", ""},
		{bundle.NeedsMount, "/a b", "", ""},
		{bundle.NeedsMount, "/link", "", ""},
		{bundle.NeedsMount, "/plain", "", "/plain is no mount: what is written there is lost with the container"},
		{bundle.NeedsMount, "/gone", "", "/gone is not there"},
		{bundle.NeedsHost, "one", "10.0.0.1", ""},
		{bundle.NeedsHost, "One.Example", "10.0.0.1", ""},
		{bundle.NeedsHost, "two", "10.0.0.3", ""},
		{bundle.NeedsHost, "six", "0:0::1", ""},
		{bundle.NeedsHost, "one", "host-gateway", ""},
		{bundle.NeedsHost, "one", "10.0.0.9", "the name one means 10.0.0.1, not 10.0.0.9"},
		{bundle.NeedsHost, "one", "no address", "the name one means 10.0.0.1, not no address"},
		{bundle.NeedsSysctl, "net.core.somaxconn", "4096", ""},
		{bundle.NeedsSysctl, "net.ipv4.tcp_rmem", "4096 131072 6291456", ""},
		{bundle.NeedsSysctl, "net.core.somaxconn", "1024", `the kernel parameter net.core.somaxconn is "4096", not "1024"`},
		{bundle.NeedsSysctl, "net.core.gone", "1", "the kernel parameter net.core.gone is not there"},
		{bundle.NeedsSysctl, "net/../../../etc/hosts", "1", "net/../../../etc/hosts is not a kernel parameter"},
		{bundle.NeedsDevice, "/plain/file", "", "/plain/file is no device"},
		{bundle.NeedsDevice, "/gone", "", "/gone is not there"},
		{bundle.NeedsTmpfs, "/gone", "", "/gone is not there"},
	} {
		if got := l.holds(context.Background(), &bundle.Requirement{Kind: tt.kind, Target: tt.target, Value: tt.value}); got != tt.want {
			t.Errorf("%s %s %s: got %q, want %q", tt.kind, tt.target, tt.value, got, tt.want)
		}
	}
	gone := &look{root: t.TempDir()}
	if got := gone.holds(context.Background(), &bundle.Requirement{Kind: bundle.NeedsMount, Target: "/"}); !strings.Contains(got, "it cannot be found out whether / is a mount") {
		t.Errorf("without /proc: got %q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := l.holds(ctx, &bundle.Requirement{Kind: bundle.NeedsHost, Target: "nobody.invalid", Value: "10.0.0.1"}); got != "the name nobody.invalid means nothing" {
		t.Errorf("a name that nobody knows: got %q", got)
	}
}

// TestMissing: on the machine itself.
func TestMissing(t *testing.T) {
	all := []bundle.Requirement{
		{Kind: bundle.NeedsDevice, Target: "/dev/null"},
		{Kind: bundle.NeedsMount, Target: "/proc"},
		{Kind: bundle.NeedsTmpfs, Target: "/proc", Key: "tmpfs", Flag: []string{"--tmpfs", "/proc"}, File: "b.yaml", Line: 3, Col: 5},
		{Kind: bundle.NeedsShm, Target: "/", Size: 1 << 62, Key: "shm_size", Flag: []string{"--shm-size", "4e"}},
	}
	missing := Missing(all)
	if len(missing) != 2 {
		t.Fatalf("got %v, want two", missing)
	}
	if got, want := missing[0].String(), "b.yaml:3:5: tmpfs: /proc is not a tmpfs; start the container with --tmpfs /proc"; got != want || missing[0].Warning {
		t.Errorf("got %q, want %q", got, want)
	}
	if !missing[1].Warning {
		t.Error("shm_size is more than a warning")
	}
}
