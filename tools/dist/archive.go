package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"path"
	"slices"
	"time"
)

// An entry is a file of an archive.
type entry struct {
	name string
	mode int64
	text []byte
}

// archive is a tar archive of the entries, and of the folders that they are in, below top.
func archive(top string, entries []entry, at time.Time) []byte {
	entries = slices.Clone(entries)
	folders := map[string]bool{}
	for i := range entries {
		entries[i].name = path.Join(top, entries[i].name)
		for dir := path.Dir(entries[i].name); dir != "." && !folders[dir]; dir = path.Dir(dir) {
			folders[dir] = true
			entries = append(entries, entry{name: dir + "/", mode: 0o755})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Size: int64(len(e.text)), ModTime: at, Format: tar.FormatUSTAR}
		if e.text == nil {
			h.Typeflag = tar.TypeDir
		}
		must(w.WriteHeader(h))
		_, err := w.Write(e.text)
		must(err)
	}
	must(w.Close())
	return b.Bytes()
}

// gzipped is b compressed, without a name or a time of its own.
func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	must(err)
	_, err = w.Write(b)
	must(err)
	must(w.Close())
	return out.Bytes()
}

// must is for writes into memory.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
