package secrets_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bot-bottle/sidecar-init/internal/secrets"
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
			list := []secrets.File{{Kind: "secret", Name: "s", Source: source, Target: target, At: "b.yaml:1:2"}}
			for range 2 { // a restarted container finds what the first start has made
				want := strings.NewReplacer("SOURCE", source, "TARGET", target).Replace(tt.err)
				if got := text(secrets.Ensure(list)); got != want {
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
	err := secrets.Ensure([]secrets.File{
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
		err := secrets.Ensure([]secrets.File{{Kind: "secret", Name: "s", Source: source, Target: target, At: "b.yaml:1:2"}})
		if !strings.HasPrefix(text(err), want) {
			t.Errorf("%s: got %v, want %s", target, err, want)
		}
	}
}

func content(s string) *string { return &s }

// TestWrite: what has no source is written, with an owner and a mode, and only where that can be done.
func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		name string
		made func(t *testing.T, target string)
		file secrets.File
		mode os.FileMode // 0400 unless given
		err  string
	}{
		{name: "nothing is there", file: secrets.File{Content: content("s")}},
		{name: "empty", file: secrets.File{Content: content("")}},
		{name: "a mode", file: secrets.File{Content: content("s"), Mode: 0o440}, mode: 0o440},
		{name: "our own user", file: secrets.File{Content: content("s"), User: fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())}},
		{name: "our own numbers", file: secrets.File{Content: content("s"), UID: fmt.Sprint(os.Geteuid()), GID: fmt.Sprint(os.Getegid())}},
		{name: "another content", made: func(t *testing.T, target string) { write(t, target, "another") }, file: secrets.File{Content: content("s")}},
		{name: "another mode", made: func(t *testing.T, target string) { write(t, target, "s") }, file: secrets.File{Content: content("s")}},
		{name: "a link, which is replaced", made: func(t *testing.T, target string) {
			write(t, target+".to", "kept")
			symlink(t, target+".to", target)
		}, file: secrets.File{Content: content("s")}},
		{name: "a link that leads nowhere", made: func(t *testing.T, target string) { symlink(t, target+".no", target) }, file: secrets.File{Content: content("s")}},
		{name: "a directory", made: mkdir, file: secrets.File{Content: content("s")}, err: "TARGET is there, and is a directory"},
		{
			name: "a file in the way", made: func(t *testing.T, target string) { write(t, filepath.Dir(target), "") }, file: secrets.File{Content: content("s")},
			err: "cannot look at what is there: lstat TARGET: not a directory",
		},
		{name: "not set", file: secrets.File{Variable: "TOKEN"}, err: "the variable TOKEN, whose value it is, is not set"},
		{name: "nobody", file: secrets.File{Content: content("s"), User: "no-such-user"}, err: `there is no user "no-such-user" in /etc/passwd`},
		{name: "no group", file: secrets.File{Content: content("s"), User: ":no-such-group"}, err: `there is no group "no-such-group" in /etc/group`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f := tt.file
			f.Kind, f.Name, f.At, f.Target = "secret", "s", "b.yaml:1:2", filepath.Join(dir, "a", "b", "target")
			f.Mode = max(f.Mode, 0o400)
			if tt.made != nil {
				tt.made(t, f.Target)
			}
			want := ""
			if tt.err != "" {
				want = "b.yaml:1:2: secret s: " + strings.ReplaceAll(tt.err, "TARGET", f.Target)
			}
			var before os.FileInfo
			for range 2 { // the second finds what the first has made, and leaves it alone
				if got := text(secrets.Ensure([]secrets.File{f, f})); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Target), ".sidecar-init*")); len(left) > 0 {
					t.Fatalf("left behind: %v", left)
				}
				if want != "" {
					return
				}
				info, err := os.Lstat(f.Target)
				if err != nil || info.Mode() != max(tt.mode, 0o400) || before != nil && !os.SameFile(before, info) {
					t.Fatalf("got %v, %v; the same file as before: %t", info, err, before == nil || os.SameFile(before, info))
				}
				before = info
			}
			if got, err := os.ReadFile(f.Target); err != nil || string(got) != *f.Content {
				t.Errorf("got %q, %v, want %q", got, err, *f.Content)
			}
			if to, err := os.ReadFile(f.Target + ".to"); err == nil && string(to) != "kept" {
				t.Errorf("what the link led to is %q", to)
			}
		})
	}
}

// TestWriteAll: nothing is written unless all can be, and one target has one content and one owner.
func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("there"), "old")
	write(t, at("source"), "source")
	err := secrets.Ensure([]secrets.File{
		{Kind: "secret", Name: "a", Content: content("new"), Target: at("there"), Mode: 0o400, At: "b.yaml:1:1"},
		{Kind: "secret", Name: "b", Content: content("x"), Target: at("two"), Mode: 0o400, At: "b.yaml:2:1"},
		{Kind: "secret", Name: "c", Content: content("y"), Target: at("two"), Mode: 0o400, At: "b.yaml:3:1"},
		{Kind: "secret", Name: "b", Content: content("x"), Target: at("two"), Mode: 0o444, At: "b.yaml:4:1"},
		{Kind: "config", Name: "d", Source: at("source"), Target: at("two"), At: "b.yaml:5:1"},
	})
	why := fmt.Sprintf("%s is that of secret b (b.yaml:2:1) too, with another content, owner or mode: give each user a target of its own, or both a mode and a uid", at("two"))
	want := "b.yaml:3:1: secret c: " + why + "\nb.yaml:4:1: secret b: " + why + "\nb.yaml:5:1: config d: " + why
	if got := text(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := os.ReadFile(at("there")); string(got) != "old" {
		t.Errorf("it was written all the same: %q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("got %v, %v", left, err)
	}
}

// TestWriteOwner: the file is that of the user. It takes root.
func TestWriteOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	for user, want := range map[string]string{"12345": "12345:0", "12345:678": "12345:678", "root": "0:0", ":678": "0:678"} {
		target := filepath.Join(t.TempDir(), "target")
		if err := secrets.Ensure([]secrets.File{{Content: content("s"), Target: target, User: user, Mode: 0o400}}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		has := info.Sys().(*syscall.Stat_t)
		if got := fmt.Sprintf("%d:%d", has.Uid, has.Gid); got != want || info.Mode() != 0o400 {
			t.Errorf("%s: got %s, %v, want %s", user, got, info.Mode(), want)
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
	fmt.Println(secrets.Ensure([]secrets.File{{Kind: "secret", Name: "token", Source: source, Target: target}}))
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
