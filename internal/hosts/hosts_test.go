package hosts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

const plain = "127.0.0.1 localhost # web\n10.0.0.1 other Other.example\n"

func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		name, before string
		names        []string
		after        string // as before if empty
		err          string
	}{
		{name: "two", before: plain, names: []string{"web", "db"}, after: plain + begin + "127.0.0.1\tweb\n127.0.0.1\tdb\n" + end},
		{name: "no newline at the end", before: "::1 x", names: []string{"web"}, after: "::1 x\n" + begin + "127.0.0.1\tweb\n" + end},
		{name: "an empty file", names: []string{"web"}, after: begin + "127.0.0.1\tweb\n" + end},
		{name: "no names", before: plain},
		{name: "an old block is replaced, and what comes after it stays", before: begin + "127.0.0.1\told\n" + end + plain, names: []string{"web"}, after: plain + begin + "127.0.0.1\tweb\n" + end},
		{name: "an old block is taken away", before: plain + begin + "127.0.0.1\told\n" + end, after: plain},
		{name: "the same block", before: plain + begin + "127.0.0.1\tweb\n" + end, names: []string{"web"}},
		{name: "a block without its end", before: begin + "127.0.0.1\told\n" + plain, names: []string{"web"}, after: plain + begin + "127.0.0.1\tweb\n" + end},
		{name: "by the engine", before: "127.0.0.1 web\n10.0.0.9 web\n", names: []string{"WEB"}},
		{
			name: "something else", before: plain, names: []string{"web", "OTHER", "dns"},
			err: "the name OTHER means 10.0.0.1 already; the name dns means 10.9.9.9 already; start the container with --add-host OTHER=127.0.0.1 --add-host dns=127.0.0.1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "hosts")
			write(t, file, tt.before)
			f := File{Path: file, Ours: true, Lookup: resolver}
			for range 2 {
				c, err := f.Look(tt.names)
				if text(err) != tt.err {
					t.Fatalf("got %v, want %s", err, tt.err)
				}
				if err := c.Write(); err != nil {
					t.Fatal(err)
				}
				want := tt.after
				if want == "" {
					want = tt.before
				}
				if got, err := os.ReadFile(file); err != nil || string(got) != want {
					t.Fatalf("got\n%s, %v\nwant\n%s", got, err, want)
				}
			}
		})
	}
}

// TestWhere: the file is written as PID 1, or where it is a mount, and if it may be; else the flags are told.
func TestWhere(t *testing.T) {
	dir := t.TempDir()
	file, mounts := filepath.Join(dir, "hosts"), filepath.Join(dir, "mountinfo")
	write(t, file, plain)
	write(t, mounts, "20 1 0:1 / / rw - overlay overlay rw\n21 20 0:2 /x /other rw - ext4 /dev/x rw\n")
	f := File{Path: file, Mounts: mounts, Lookup: resolver}
	want := file + " is not this container's alone, as far as can be seen (no mount of its own, and this is not PID 1); start the container with --add-host web=127.0.0.1"
	if _, err := f.Look([]string{"web"}); text(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := f.Look(nil); err != nil {
		t.Errorf("nothing is to be written: got %v", err)
	}
	write(t, mounts, "21 20 0:2 /x "+file+" rw - ext4 /dev/x rw\n")
	c, err := f.Look([]string{"web"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(); err != nil {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		t.Skip("root may write whatever its mode is")
	}
	if err := os.Chmod(file, 0o444); err != nil {
		t.Fatal(err)
	}
	want = "cannot write " + file + ": permission denied; start the container with --add-host db=127.0.0.1"
	if _, err := f.Look([]string{"db"}); text(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func resolver(_ context.Context, name string) ([]string, error) {
	if name == "dns" {
		return []string{"10.9.9.9"}, nil
	}
	return nil, errors.New("no such host")
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
