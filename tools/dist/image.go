package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image makes the image of the Dockerfile for all processors, as an OCI layout in one archive.
func (r *release) image(work string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range r.archs {
		img, platform, err := r.imageFor(arch, filepath.Join(work, arch, name))
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}}).(v1.ImageIndex)
	}
	// The layout's own index names one image, which is the index of all processors: so that a tool finds it by its version.
	all := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: index, Descriptor: v1.Descriptor{Annotations: map[string]string{"org.opencontainers.image.ref.name": r.version}},
	})
	dir := filepath.Join(work, "oci")
	if _, err := layout.Write(dir, all); err != nil {
		return err
	}
	var entries []entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		entries = append(entries, entry{rel, 0o644, text})
		return err
	})
	if err != nil {
		return err
	}
	return r.write(fmt.Sprintf("%s-%s-oci.tar", name, r.version), archive("", entries, r.time))
}

func (r *release) imageFor(arch, bin string) (v1.Image, *v1.Platform, error) {
	binary, err := os.ReadFile(bin)
	if err != nil {
		return nil, nil, err
	}
	notices, err := os.ReadFile("THIRD_PARTY_NOTICES")
	if err != nil {
		return nil, nil, err
	}
	files := archive("", []entry{{name, 0o755, binary}, {"THIRD_PARTY_NOTICES", 0o644, notices}}, r.time)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(gzipped(files))), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, nil, err
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make dist"}})
	if err != nil {
		return nil, nil, err
	}
	platform := &v1.Platform{OS: "linux", Architecture: arch}
	if arch == "arm" {
		platform.Variant = "v7" // Go's GOARM by default
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant, Created: v1.Time{Time: r.time},
		Config: v1.Config{Entrypoint: []string{"/" + name}, StopSignal: "SIGTERM", Labels: map[string]string{
			"org.opencontainers.image.version": r.version, "org.opencontainers.image.revision": r.commit,
		}},
		RootFS:  mustConfig(img).RootFS,
		History: mustConfig(img).History,
	})
	return img, platform, err
}

// mustConfig is the configuration of an image in memory.
func mustConfig(img v1.Image) *v1.ConfigFile {
	c, err := img.ConfigFile()
	must(err)
	return c
}
