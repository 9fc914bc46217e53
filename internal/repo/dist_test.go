package repo_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestDist: what `make dist` makes of a commit is the same in two folders, and each of its files is what it should be. (The second build
// finds what the first has compiled. Two that share nothing are compared by hand, before a release.)
func TestDist(t *testing.T) {
	t.Chdir(top)
	if testing.Short() {
		t.Skip("it builds the program twice; -short is set")
	}
	if _, err := os.Stat(".git"); err != nil {
		t.Skip("a release is made of a commit, and here is no repository")
	}
	var made [2]string
	for i := range made {
		dir := filepath.Join(t.TempDir(), strings.Repeat("longer", i), "src")
		run(t, ".", "git", "clone", "--quiet", ".", dir)
		made[i] = filepath.Join(dir, "dist")
		run(t, dir, "make", "-s", "dist", "DISTARCHS="+runtime.GOARCH)
	}
	files := contents(t, made[0])
	again := contents(t, made[1])
	names := slices.DeleteFunc(strings.Fields(run(t, made[0], "ls")), func(n string) bool { return n == "SHA256SUMS" })
	if len(names) != 3 || len(files) != 4 || len(again) != 4 {
		t.Fatalf("got %v, want a tarball, a bill of materials and an image", names)
	}
	for name, b := range files {
		if !bytes.Equal(b, again[name]) {
			t.Errorf("%s: the two builds differ", name)
		}
	}
	for _, name := range names {
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256(files[name]), name); !strings.Contains(string(files["SHA256SUMS"]), line) {
			t.Errorf("SHA256SUMS lacks %q", line)
		}
	}
	var tarball, materials, image string
	for _, n := range names {
		switch {
		case strings.HasSuffix(n, "-linux-"+runtime.GOARCH+".tar.gz"):
			tarball = n
		case strings.HasSuffix(n, ".cdx.json"):
			materials = n
		case strings.HasSuffix(n, "-oci.tar"):
			image = n
		}
	}
	top := strings.TrimSuffix(tarball, ".tar.gz")
	release := untar(t, unzip(t, files[tarball]))
	for _, name := range []string{
		"sidecar-init", "README.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES", "man/man1/sidecar-init.1", "man/man1/sidecar-init-job-run.1",
		"completions/sidecar-init.bash", "completions/_sidecar-init", "completions/sidecar-init.fish",
	} {
		if len(release[top+"/"+name]) == 0 {
			t.Errorf("%s lacks %s", tarball, name)
		}
	}
	bin := filepath.Join(t.TempDir(), "sidecar-init")
	if err := os.WriteFile(bin, release[top+"/sidecar-init"], 0o755); err != nil {
		t.Fatal(err)
	}
	version := strings.TrimPrefix(strings.TrimSuffix(top, "-linux-"+runtime.GOARCH), "sidecar-init-")
	if got := run(t, ".", bin, "version"); !strings.Contains(got, version) {
		t.Errorf("the binary says it is %q, want %s", got, version)
	}
	checkMaterials(t, files[materials], run(t, ".", "go", "version", "-m", bin))
	checkImage(t, untar(t, files[image]), release[top+"/sidecar-init"])
}

// checkMaterials: a bill of materials has each module that the linker has taken, with its sum.
func checkMaterials(t *testing.T, text []byte, linked string) {
	t.Helper()
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal(text, &bom); err != nil || bom.BOMFormat != "CycloneDX" {
		t.Fatalf("got %v, format %q", err, bom.BOMFormat)
	}
	var got, want []string
	for _, c := range bom.Components {
		got = append(got, c.Name+" "+c.Version)
	}
	for line := range strings.Lines(linked) {
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "dep" {
			want = append(want, f[1]+" "+f[2])
		}
	}
	want = append(want, "std "+strings.TrimPrefix(runtime.Version(), "go"))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the bill has %v, the binary %v", got, want)
	}
}

// checkImage: an OCI layout whose one name leads to an image for this processor, with this binary in it.
func checkImage(t *testing.T, layout map[string][]byte, binary []byte) {
	t.Helper()
	type descriptor struct {
		MediaType, Digest string
		Annotations       map[string]string
		Platform          struct{ Architecture string }
	}
	var index, all struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct {
		Architecture string
		Config       struct{ Entrypoint []string }
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	blob := func(digest string) []byte {
		b := layout["blobs/"+strings.Replace(digest, ":", "/", 1)]
		if got := fmt.Sprintf("sha256:%x", sha256.Sum256(b)); got != digest {
			t.Fatalf("the blob %s has the digest %s", digest, got)
		}
		return b
	}
	if !strings.Contains(string(layout["oci-layout"]), "imageLayoutVersion") {
		t.Errorf("it is no OCI layout: %q", layout["oci-layout"])
	}
	errs := json.Unmarshal(layout["index.json"], &index)
	if errs != nil || len(index.Manifests) != 1 || index.Manifests[0].Annotations["org.opencontainers.image.ref.name"] == "" {
		t.Fatalf("index.json: %v %+v", errs, index)
	}
	errs = json.Unmarshal(blob(index.Manifests[0].Digest), &all)
	if errs != nil || len(all.Manifests) != 1 || all.Manifests[0].Platform.Architecture != runtime.GOARCH {
		t.Fatalf("the index: %v %+v", errs, all)
	}
	errs = errors.Join(json.Unmarshal(blob(all.Manifests[0].Digest), &manifest), json.Unmarshal(blob(manifest.Config.Digest), &config))
	if errs != nil || len(manifest.Layers) != 1 || len(config.RootFS.DiffIDs) != 1 {
		t.Fatalf("the manifest: %v %+v %+v", errs, manifest, config)
	}
	if config.Architecture != runtime.GOARCH || !slices.Equal(config.Config.Entrypoint, []string{"/sidecar-init"}) {
		t.Errorf("the configuration is %+v", config)
	}
	layer := unzip(t, blob(manifest.Layers[0].Digest))
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); got != config.RootFS.DiffIDs[0] {
		t.Errorf("the layer has the digest %s, the configuration says %s", got, config.RootFS.DiffIDs[0])
	}
	if files := untar(t, layer); !bytes.Equal(files["sidecar-init"], binary) || len(files["THIRD_PARTY_NOTICES"]) == 0 {
		t.Errorf("the layer has %d files, and another binary than the tarball", len(files))
	}
}

// run runs a program in a folder, and returns what it prints.
func run(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out, stderr.Bytes())
	}
	return string(out)
}

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[path], err = os.ReadFile(filepath.Join(dir, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// untar are the files of an archive, which are root's.
func untar(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s is of %d (%s)", h.Name, h.Uid, h.Uname)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
