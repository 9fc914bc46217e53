// Command dist makes the files of a release: for each processor a tarball with the binary, its completions, manual pages and notices;
// an image for all of them as an OCI layout; for each a bill of materials (CycloneDX); and the checksums of all.
//
// The same commit gives the same bytes, on whatever machine: every time in the files is that of the commit (or SOURCE_DATE_EPOCH),
// every owner is root, and names are sorted. It is run in the repository's first directory, by make dist.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const name = "sidecar-init"

// A release is what is made.
type release struct {
	out     string // its folder
	version string
	commit  string
	time    time.Time // of the commit
	archs   []string  // GOARCH
	files   []string  // that were made, for the checksums
}

func main() {
	var r release
	var archs string
	flag.StringVar(&r.out, "o", "dist", "the folder, which is made anew")
	flag.StringVar(&archs, "archs", "amd64,arm64,arm,riscv64,386,s390x,ppc64le", "processors, by Go's names")
	flag.Parse()
	r.archs = strings.Split(archs, ",")
	if err := r.make(); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func (r *release) make() error {
	if err := r.identify(); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	binaryOf := func(arch string) string { return filepath.Join(work, arch, name) }
	for _, arch := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(r.archs), runtime.GOARCH)))) {
		if err := build(arch, binaryOf(arch)); err != nil {
			return err
		}
	}
	// What this machine can execute tells the completions, which are the same for all.
	common, err := r.common(binaryOf(runtime.GOARCH))
	if err != nil {
		return err
	}
	for _, arch := range r.archs {
		bin := binaryOf(arch)
		binary, err := os.ReadFile(bin)
		if err != nil {
			return err
		}
		top := fmt.Sprintf("%s-%s-linux-%s", name, r.version, arch)
		entries := append([]entry{{name, 0o755, binary}}, common...)
		if err := r.write(top+".tar.gz", gzipped(archive(top, entries, r.time))); err != nil {
			return err
		}
		sbom, err := materials(bin, r)
		if err != nil {
			return err
		}
		if err := r.write(top+".cdx.json", sbom); err != nil {
			return err
		}
		fmt.Printf("%s: %.1f MB\n", top, float64(len(binary))/1e6)
	}
	if err := r.image(work); err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	var sums bytes.Buffer
	slices.Sort(r.files)
	for _, f := range r.files {
		b, err := os.ReadFile(filepath.Join(r.out, f))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), f)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// identify finds out what is released.
func (r *release) identify() (err error) {
	if r.version, err = output("git", "describe", "--tags", "--always", "--dirty"); err != nil {
		return err
	}
	r.version = strings.TrimPrefix(r.version, "v")
	if r.commit, err = output("git", "rev-parse", "HEAD"); err != nil {
		return err
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		if seconds, err = output("git", "log", "-1", "--format=%ct"); err != nil {
			return err
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	r.time = time.Unix(n, 0).UTC()
	return err
}

// common are the files that are the same for every processor.
func (r *release) common(own string) (entries []entry, err error) {
	for _, c := range []struct{ shell, file string }{
		{"bash", "completions/" + name + ".bash"}, {"zsh", "completions/_" + name}, {"fish", "completions/" + name + ".fish"},
	} {
		text, err := output(own, "completion", c.shell)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{c.file, 0o644, []byte(text + "\n")})
	}
	pages, err := filepath.Glob("docs/man/*.1")
	if err != nil || len(pages) == 0 {
		return nil, errors.Join(err, errors.New("there are no manual pages in docs/man"))
	}
	for _, file := range append(pages, "README.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES") {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		to := filepath.Base(file)
		if strings.HasSuffix(file, ".1") {
			to = "man/man1/" + to
		}
		entries = append(entries, entry{to, 0o644, text})
	}
	return entries, nil
}

// write makes a file of the release.
func (r *release) write(file string, b []byte) error {
	r.files = append(r.files, file)
	return os.WriteFile(filepath.Join(r.out, file), b, 0o644)
}

// build makes the binary for a processor as users would.
func build(arch, bin string) error {
	cmd := exec.Command("make", "-s", "build", "BIN="+bin)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the build for %s: %w", arch, err)
	}
	return nil
}

func output(program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
