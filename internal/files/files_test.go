package files_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/files"
)

func TestEnsure(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	for _, tt := range []struct {
		name   string
		source string // its content; "" if there is none
		target func(t *testing.T, target, source string)
		link   bool   // the target becomes a link to the source
		err    string // SOURCE and TARGET are replaced
	}{
		{name: "nothing is there", source: "s", link: true},
		{name: "the directory is there", source: "s", target: func(t *testing.T, target, _ string) { mkdir(t, filepath.Dir(target)) }, link: true},
		{name: "the same content", source: "s", target: func(t *testing.T, target, _ string) { write(t, target, "s") }},
		{name: "the same content, and much of it", source: big, target: func(t *testing.T, target, _ string) { write(t, target, big) }},
		{name: "a link to it", source: "s", target: func(t *testing.T, target, source string) { symlink(t, source, target) }, link: true},
		{name: "another name of it", source: "s", target: func(t *testing.T, target, source string) {
			mkdir(t, filepath.Dir(target))
			if err := os.Link(source, target); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a link to the same content", source: "s", target: func(t *testing.T, target, source string) {
			write(t, source+".2", "s")
			symlink(t, source+".2", target)
		}},
		{
			name: "too much to compare", source: "s", target: func(t *testing.T, target, source string) {
				write(t, target, "s")
				for _, name := range []string{target, source} {
					if err := os.Truncate(name, 1<<40); err != nil {
						t.Fatal(err)
					}
				}
			},
			err: "b.yaml:1:2: secret s: TARGET is there, and SOURCE is larger than 16 MiB, so they are not compared",
		},
		{
			name: "another content", source: "s", target: func(t *testing.T, target, _ string) { write(t, target, "t") },
			err: "b.yaml:1:2: secret s: TARGET is there, with another content than SOURCE",
		},
		{
			name: "more content", source: "s", target: func(t *testing.T, target, _ string) { write(t, target, "st") },
			err: "b.yaml:1:2: secret s: TARGET is there, with another content than SOURCE",
		},
		{
			name: "another content at the end", source: big + "a", target: func(t *testing.T, target, _ string) { write(t, target, big+"b") },
			err: "b.yaml:1:2: secret s: TARGET is there, with another content than SOURCE",
		},
		{
			name: "a link that leads nowhere", source: "s", target: func(t *testing.T, target, source string) { symlink(t, source+".no", target) },
			link: true,
		},
		{
			name: "a link to a link that leads nowhere", source: "s", target: func(t *testing.T, target, source string) {
				symlink(t, source+".no", source+".2")
				symlink(t, source+".2", target)
			},
			link: true,
		},
		{
			name: "a link to itself", source: "s", target: func(t *testing.T, target, _ string) { symlink(t, target, target) },
			err: "b.yaml:1:2: secret s: cannot look at what is there: stat TARGET: too many levels of symbolic links",
		},
		{
			name: "a directory", source: "s", target: func(t *testing.T, target, _ string) { mkdir(t, target) },
			err: "b.yaml:1:2: secret s: TARGET is there, and is a directory",
		},
		{name: "no source", err: "b.yaml:1:2: secret s: cannot find its file: stat SOURCE: no such file or directory"},
		{
			name: "a file in the way", source: "s", target: func(t *testing.T, target, _ string) { write(t, filepath.Dir(target), "") },
			err: "b.yaml:1:2: secret s: cannot look at what is there: stat TARGET: not a directory",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			source, target := filepath.Join(dir, "source"), filepath.Join(dir, "a", "b", "target")
			if tt.source != "" {
				write(t, source, tt.source)
			}
			if tt.target != nil {
				tt.target(t, target, source)
			}
			list := []files.File{{Kind: "secret", Name: "s", Source: source, Target: target, At: "b.yaml:1:2"}}
			for range 2 { // a restarted container finds what the first start has made
				want := strings.NewReplacer("SOURCE", source, "TARGET", target).Replace(tt.err)
				if got := text(files.Ensure(list)); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if tt.err != "" {
				return
			}
			if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, []byte(tt.source)) {
				t.Errorf("got %.20q, %v, want %.20q", got, err, tt.source)
			}
			if to, err := os.Readlink(target); tt.link && to != source {
				t.Errorf("got a link to %q, %v, want %q", to, err, source)
			}
		})
	}
}

// TestEnsureAll: what can be done is done, and all errors are told.
func TestEnsureAll(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("good"), "good")
	write(t, at("other"), "other")
	err := files.Ensure([]files.File{
		{Kind: "secret", Name: "a", Source: at("no"), Target: at("ta"), At: "b.yaml:1:1"},
		{Kind: "config", Name: "b", Source: at("good"), Target: at("tb")},
		{Kind: "config", Name: "c", Source: at("other"), Target: at("tb"), At: "b.yaml:3:1"}, // two of them want one name
		{Kind: "secret", Name: "d", Source: dir, Target: at("td"), At: "b.yaml:4:1"},
		{Kind: "secret", Name: "e", Source: os.DevNull, Target: at("te"), At: "b.yaml:5:1"},
	})
	want := fmt.Sprintf("b.yaml:1:1: secret a: cannot find its file: stat %[1]s/no: no such file or directory\n"+
		"b.yaml:3:1: config c: %[1]s/tb is there, with another content than %[1]s/other\n"+
		"b.yaml:4:1: secret d: %[1]s is a directory\nb.yaml:5:1: secret e: /dev/null is not a plain file", dir)
	if got := text(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := os.ReadFile(at("tb")); string(got) != "good" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestEnsureReadOnly: where nothing can be made, that is an error. Not even root can make anything in /proc.
func TestEnsureReadOnly(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	write(t, source, "s")
	for target, want := range map[string]string{
		"/proc/no/such": "b.yaml:1:2: secret s: cannot make the directory of /proc/no/such: ",
		"/proc/no":      "b.yaml:1:2: secret s: cannot make a link: ",
	} {
		err := files.Ensure([]files.File{{Kind: "secret", Name: "s", Source: source, Target: target, At: "b.yaml:1:2"}})
		if !strings.HasPrefix(text(err), want) {
			t.Errorf("%s: got %v, want %s", target, err, want)
		}
	}
}

func ExampleEnsure() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	source, target := filepath.Join(dir, "token.txt"), filepath.Join(dir, "run", "secrets", "token")
	if err := os.WriteFile(source, []byte("s3cret"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(files.Ensure([]files.File{{Kind: "secret", Name: "token", Source: source, Target: target}}))
	b, err := os.ReadFile(target)
	fmt.Println(string(b), err)
	// Output:
	// <nil>
	// s3cret <nil>
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	mkdir(t, filepath.Dir(name))
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, name string) {
	t.Helper()
	mkdir(t, filepath.Dir(name))
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}
