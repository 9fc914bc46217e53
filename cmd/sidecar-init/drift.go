package main

import (
	"crypto/sha256"
	"os"
	"slices"
	"sync"

	"github.com/bot-bottle/sidecar-init/internal/bounded"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
	"github.com/bot-bottle/sidecar-init/internal/plan"
	"github.com/bot-bottle/sidecar-init/internal/secrets"
)

// A drift knows whether the files say something else than what runs. It looks when it is asked, and reads only what has changed
// since it looked last.
type drift struct {
	mu      sync.Mutex
	seen    [][sha256.Size]byte // of the files when it was looked last
	changed bool
}

// reset: what the files said when their contents were these runs from now on.
func (d *drift) reset(seen [][sha256.Size]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen, d.changed = seen, false
}

// forget: what was seen says nothing about what runs.
func (d *drift) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = nil
}

// drifted reports whether the files say something else than what runs. Files that are wrong say nothing.
func (r *reloader) drifted() bool {
	d := &r.drift
	d.mu.Lock()
	defer d.mu.Unlock()
	now := r.now.Load()
	seen := sums(inputs(now))
	if slices.Contains(r.flags.files, "-") || slices.Equal(seen, d.seen) {
		return d.changed
	}
	d.seen, d.changed = seen, false
	if next, err := r.read(r.flags, r.daemons, *r.brought.Load()); err == nil && len(next.Daemons) > 0 {
		digest(next)
		p := plan.New(now, next, nil)
		d.changed = !p.Nothing()
	}
	return d.changed
}

// inputs are all files that a bundle is made of: those that it is read from, and its secrets and configs.
func inputs(b *bundle.Bundle) []string {
	all := slices.Clone(b.Inputs)
	for i := range b.Daemons {
		for _, f := range b.Daemons[i].Files {
			if f.Source != "" && !slices.Contains(all, f.Source) {
				all = append(all, f.Source)
			}
		}
	}
	return all
}

// sums stand for the contents of files; all zero for one that cannot be read.
func sums(names []string) [][sha256.Size]byte {
	all := make([][sha256.Size]byte, len(names))
	for i, name := range names {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			continue // a FIFO would block, and give its content away
		}
		if b, err := bounded.ReadFile(name); err == nil {
			all[i] = sha256.Sum256(b)
		}
	}
	return all
}

// digest notes what stands for the contents of the secrets and configs of a bundle.
func digest(b *bundle.Bundle) {
	for i := range b.Daemons {
		for j := range b.Daemons[i].Files {
			f := &b.Daemons[i].Files[j]
			var sum [sha256.Size]byte
			switch {
			case f.Source != "":
				sum = sums([]string{f.Source})[0]
			case f.Content != nil:
				sum = sha256.Sum256([]byte(*f.Content))
			}
			f.Digest = string(sum[:])
		}
	}
}

// filesOf are the secrets and configs of a bundle.
func filesOf(b *bundle.Bundle) (all []secrets.File) {
	for i := range b.Daemons {
		for _, f := range b.Daemons[i].Files {
			all = append(all, secrets.File{
				Kind: f.Kind, Name: f.Name, Source: f.Source, Target: f.Target, At: f.At,
				Content: f.Content, Variable: f.Variable, User: f.User, UID: f.UID, GID: f.GID, Mode: f.Mode,
			})
		}
	}
	return all
}
